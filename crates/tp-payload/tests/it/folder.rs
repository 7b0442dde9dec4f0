//! Payloads in a folder.

use futures_util::TryStreamExt as _;
use tp_domain::payload::PayloadKind;
use tp_payload::{ObjectName, PayloadError, Put, Vault};

use crate::util::{copy, folder_store, policy, sealer, tenant};

const KIND: PayloadKind = PayloadKind::Version;

#[tokio::test]
async fn what_is_put_is_got_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder_store(folder.path());
    let vault = Vault::new(sealer(1), store.clone());
    let sealed = vault.put(KIND, &policy(1), copy(1)).await.unwrap();
    assert_eq!(vault.get(KIND, sealed.address, copy(1)).await.unwrap(), policy(1));
    let name = ObjectName { tenant: tenant(1), address: sealed.address, copy: copy(1) };
    let seen = store.exists(&name).await.unwrap().unwrap();
    assert_eq!((seen.name, seen.bytes), (Some(name), sealed.bytes.len() as u64));
    let listed: Vec<_> = store.list(Some(tenant(1))).try_collect().await.unwrap();
    assert_eq!(listed, [seen]);
    assert_eq!(store.put(&name, b"other".to_vec()).await.unwrap(), Put::Present);
    assert_eq!(vault.get(KIND, sealed.address, copy(1)).await.unwrap(), policy(1));
    assert!(store.delete(&name).await.unwrap());
    assert!(!store.delete(&name).await.unwrap());
    assert_eq!(store.exists(&name).await.unwrap(), None);
    assert_eq!(store.get(&name).await, Err(PayloadError::Missing));
    let left: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(left, []);
}
