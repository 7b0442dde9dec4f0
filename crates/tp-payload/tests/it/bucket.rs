//! Payloads in a bucket: the same story as in a folder, against a real S3 server that speaks over a socket
//! and checks signatures.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tp_domain::payload::PayloadKind;
use tp_payload::{ObjectName, PayloadError, PayloadStore, Put, SealError, Vault};

use crate::util::{copy, policy, sealer, tenant};

const KIND: PayloadKind = PayloadKind::Version;

/// A server with one bucket, `backups`, below a folder. Says how many connections were made.
async fn server(folder: &Path) -> (String, Arc<AtomicUsize>) {
    std::fs::create_dir(folder.join("backups")).unwrap();
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single("test-id", "test-secret"));
    let service = service.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let met = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&met);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let service = service.clone();
            tokio::spawn(async move {
                let http = Builder::new(TokioExecutor::new());
                let _ = http.serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    (url, met)
}

fn open(url: &str, secret: &str) -> PayloadStore {
    let settings = [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test-id"),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_PROFILE", "what is not known is passed over"),
    ];
    PayloadStore::open(&"s3://backups/tp/one".parse().unwrap(), settings).unwrap()
}

#[tokio::test]
async fn a_bucket_keeps_what_a_folder_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let (url, met) = server(folder.path()).await;
    let store = open(&url, "test-secret");
    let probe = store.probe(copy(99)).await.unwrap();
    assert!(probe.keeps_existing);
    let vault = Vault::new(sealer(1), store.clone());
    let sealed = vault.put(KIND, &policy(1), copy(1)).await.unwrap();
    let other = vault.put(KIND, &policy(700), copy(2)).await.unwrap();
    assert_eq!(vault.get(KIND, sealed.address, copy(1)).await.unwrap(), policy(1));
    assert_eq!(vault.get(KIND, other.address, copy(2)).await.unwrap(), policy(700));
    let name = ObjectName { tenant: tenant(1), address: sealed.address, copy: copy(1) };
    assert_eq!(store.put(&name, b"other".to_vec()).await.unwrap(), Put::Present);
    let again = vault.put(KIND, &policy(1), copy(1)).await.unwrap();
    assert_eq!(again.bytes, sealed.bytes, "what is there is left");
    let mut listed: Vec<_> = store.list(Some(tenant(1))).try_collect().await.unwrap();
    listed.sort_by_key(|one| one.bytes);
    let names: Vec<_> = listed.iter().map(|one| one.name.unwrap().copy).collect();
    assert_eq!(names, [copy(1), copy(2)], "the trial object is gone");
    assert_eq!(listed[0].bytes, sealed.bytes.len() as u64);
    assert!(listed[0].written_at.micros() > 1_600_000_000_000_000);
    let none: Vec<_> = store.list(Some(tenant(2))).try_collect().await.unwrap();
    assert_eq!(none, []);
    store.delete(&name).await.unwrap();
    assert_eq!(store.exists(&name).await.unwrap(), None);
    assert_eq!(store.get(&name).await, Err(PayloadError::Missing));
    assert!(met.load(Ordering::SeqCst) > 0, "it went over the socket");
}

#[tokio::test]
async fn a_damaged_object_in_a_bucket_is_found_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = server(folder.path()).await;
    let vault = Vault::new(sealer(1), open(&url, "test-secret"));
    let sealed = vault.put(KIND, &policy(1), copy(1)).await.unwrap();
    let text = sealed.address.to_string();
    let path = format!(
        "backups/tp/one/v1/{}/{}/{text}-{}",
        tenant(1),
        &text[..2],
        copy(1).uuid().simple()
    );
    let file = folder.path().join(path);
    let mut changed = std::fs::read(&file).unwrap();
    assert_eq!(changed, sealed.bytes);
    changed[60] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let refused = vault.get(KIND, sealed.address, copy(1)).await;
    assert_eq!(refused, Err(PayloadError::Seal(SealError::Altered)));
    vault.put(KIND, &policy(1), copy(1)).await.unwrap();
    assert_eq!(vault.get(KIND, sealed.address, copy(1)).await.unwrap(), policy(1));
}

#[tokio::test]
async fn a_bucket_that_is_gone_or_refuses_says_so_and_shows_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let (url, _) = server(folder.path()).await;
    let wrong = open(&url, "wrong-secret");
    assert_eq!(wrong.probe(copy(1)).await, Err(PayloadError::Denied));
    assert!(!format!("{wrong:?}").contains("secret"), "{wrong:?}");
    // Plain http to another machine is not spoken unless it is said.
    let settings = [
        ("AWS_ENDPOINT_URL", "http://storage.example"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let far = PayloadStore::open(&"s3://backups".parse().unwrap(), settings).unwrap();
    assert_eq!(far.probe(copy(1)).await, Err(PayloadError::Unavailable));
}
