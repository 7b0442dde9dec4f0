//! Keys, contents and stores for the tests.

use std::path::Path;

use aws_lc_rs::rand;
use secrecy::SecretBox;
use tp_domain::ids::{CopyId, DataKeyId, TenantId};
use tp_domain::json::Json;
use tp_domain::payload::{KeyMaterial, PayloadKeys};
use tp_payload::{Canonical, Location, PayloadStore, Sealer};
use uuid::Uuid;

pub(crate) fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn copy(number: u128) -> CopyId {
    CopyId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn key(number: u128) -> DataKeyId {
    DataKeyId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn material() -> [u8; 32] {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).unwrap();
    bytes
}

fn boxed(bytes: [u8; 32]) -> KeyMaterial {
    SecretBox::new(Box::new(bytes))
}

/// The keys of a tenant: that of the workspace, and data keys by number, of which the last is active.
pub(crate) fn keys(workspace: [u8; 32], data: &[(u128, [u8; 32])]) -> PayloadKeys {
    PayloadKeys {
        workspace: boxed(workspace),
        active: key(data.last().unwrap().0),
        data: data.iter().map(|(number, bytes)| (key(*number), boxed(*bytes))).collect(),
    }
}

/// A sealer of that tenant with fresh keys.
pub(crate) fn sealer(number: u128) -> Sealer {
    Sealer::new(tenant(number), &keys(material(), &[(1, material())])).unwrap()
}

pub(crate) fn content(text: &str) -> Canonical {
    Canonical::of(&Json::parse(text.as_bytes()).unwrap()).unwrap()
}

/// A policy of some length, with its number in it.
pub(crate) fn policy(number: usize) -> Canonical {
    content(&format!(
        r#"{{"displayName":"Policy {number}","settings":[{}],"limit":1e2}}"#,
        vec![format!(r#"{{"id":{number},"value":"text of setting"}}"#); 20].join(",")
    ))
}

pub(crate) fn folder_store(folder: &Path) -> PayloadStore {
    PayloadStore::open(&Location::Folder(folder.to_path_buf()), []).unwrap()
}
