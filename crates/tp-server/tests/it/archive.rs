//! `backup verify-archive` needs no server, no database and no key.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tp_archive::{ItemFacts, SetFacts, Source, Writer};
use tp_domain::backup::{BackupState, BackupType};
use tp_domain::completeness::Completeness;
use tp_domain::policy::PolicyType;
use tp_domain::version::ReferenceNames;

const CONTENT: &str = r#"{"assignments":null,"format":1,"object":{"displayName":"A","id":"1"},"redactions":[],"restricted":[],"type":"roleScopeTag"}"#;

/// An archive of one policy, and its root hash.
fn archive() -> (Vec<u8>, String) {
    let key = PolicyType::new("roleScopeTag").unwrap();
    let mut writer = Writer::new(Vec::new());
    let facts = ItemFacts {
        policy_type: key.clone(),
        graph_id: "1".to_owned(),
        name: Some("A".to_owned()),
        names: ReferenceNames::default(),
        captured_at: "2026-01-17T14:01:02.000Z".to_owned(),
    };
    writer.add(facts, CONTENT.as_bytes()).unwrap();
    let source = Source {
        entra_tenant_id: "11111111-2222-3333-4444-555555555555".to_owned(),
        tenant: "Con\u{1b}[31mtoso".to_owned(),
        backup: 3,
        state: BackupState::Complete,
        created_at: "2026-01-17T14:00:00.000Z".to_owned(),
        completed_at: None,
        note: None,
    };
    let types =
        vec![BackupType { policy_type: key, completeness: Completeness::Complete, listed: 1 }];
    let (bytes, manifest) = writer.finish(SetFacts { source, types, missing: Vec::new() }).unwrap();
    (bytes, manifest.root())
}

fn verify(folder: &Path, file: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tenantpilot"))
        .args(["backup", "verify-archive", file])
        .args(more)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn an_archive_is_checked_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, root) = archive();
    std::fs::write(folder.path().join("sound.zip"), &bytes).unwrap();
    let sound = verify(folder.path(), "sound.zip", &["-o", "json", "--root", &root]);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    let said: Value = serde_json::from_slice(&sound.stdout).unwrap();
    assert_eq!((&said["sound"], &said["root"]), (&true.into(), &root.as_str().into()));
    assert_eq!((&said["backup"], &said["types"][0]["policies"]), (&3.into(), &1.into()));

    let table = verify(folder.path(), "sound.zip", &[]);
    assert_eq!(table.stdout, b"roleScopeTag\tcomplete\t\t1\t1\t0\n", "{table:?}");
    assert!(!table.stderr.contains(&0x1b), "{table:?}");
    assert!(String::from_utf8(table.stderr).unwrap().contains(&root));

    let other = verify(folder.path(), "sound.zip", &["--root", &"0".repeat(64)]);
    assert_eq!(other.status.code(), Some(3), "{other:?}");

    std::fs::write(folder.path().join("cut.zip"), &bytes[..bytes.len() / 2]).unwrap();
    let cut = verify(folder.path(), "cut.zip", &["-o", "json"]);
    assert_eq!(cut.status.code(), Some(3), "{cut:?}");
    let said: Value = serde_json::from_slice(&cut.stdout).unwrap();
    assert_eq!(
        (&said["fault"], &said["reason_code"]),
        (&"truncated".into(), &"archive_unreadable".into())
    );

    let missing = verify(folder.path(), "nowhere.zip", &[]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}
