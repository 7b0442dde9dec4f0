//! Backup sets, versions and comparisons: what is shown to whom, and what of a hostile policy gets through.

use axum::http::StatusCode;
use tp_catalog::content::VersionContent;
use tp_catalog::secrets::{Redaction, Redactions};
use tp_domain::access::StartBackup;
use tp_domain::backup::BackupState;
use tp_domain::backup_create::CreateBackup;
use tp_domain::completeness::Completeness;
use tp_domain::json::Json;
use tp_domain::operation::OperationKind;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::PolicyType;
use tp_domain::version::ReferenceNames;
use tp_payload::{Canonical, Sealer, Vault};
use tp_store::{
    BackupEnd, BackupEntry, Captured, HowStarted, PayloadWant, PayloadWritten, TenantRef,
};

use crate::world::{World, worlds};

const TYPE: &str = "deviceManagementScript";

/// What one policy is captured as.
pub(crate) struct Policy {
    pub(crate) key: &'static str,
    pub(crate) graph_id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) object: Json,
    pub(crate) found: Redactions,
}

pub(crate) fn policy(name: &'static str, description: &str) -> Policy {
    let object = serde_json::json!({
        "@odata.type": "#microsoft.graph.windows10GeneralConfiguration", "id": "a",
        "displayName": name, "description": description, "cameraBlocked": true,
    });
    let (object, found) = (Json::from(object), Redactions::default());
    Policy { key: "deviceConfiguration", graph_id: "a", name, object, found }
}

impl World {
    /// A set of these, made as `backup.create` makes one, into the real store.
    pub(crate) async fn backup(&self, policies: Vec<Policy>) -> u64 {
        let store = &self.db.store;
        let owner = store.test_actor("owner@example.com").await;
        let place = TenantRef::Id(self.contoso);
        let scope = store.enter::<StartBackup>(&owner, &place).await.unwrap();
        scope.run_start(&CreateBackup::everything(), HowStarted::default()).await.unwrap();
        let run = self.claim_of(OperationKind::BackupCreate).await;
        let keys = run.payload_keys().await.unwrap().unwrap();
        let vault = Vault::new(Sealer::new(self.contoso, &keys).unwrap(), self.payloads.clone());
        let types: Vec<PolicyType> =
            policies.iter().map(|one| PolicyType::new(one.key).unwrap()).collect();
        run.steps_plan(&types).await.unwrap();
        let set = run.backup_begin(Some("nightly"), true).await.unwrap();
        for (one, key) in policies.into_iter().zip(types) {
            let content = VersionContent {
                policy_type: one.key.to_owned(),
                object: one.object,
                assignments: None,
                found: one.found,
            };
            let redactions = u64::try_from(content.found.taken.len()).unwrap();
            let content = Canonical::of(&content.into_json()).unwrap();
            let address = vault.sealer().address(PayloadKind::Version, &content);
            let want = PayloadWant { kind: PayloadKind::Version, address };
            let reserved = run.payloads_reserve(vec![want]).await.unwrap()[0];
            let written = if reserved.stored {
                None
            } else {
                vault.put(PayloadKind::Version, &content, reserved.copy).await.unwrap();
                Some(PayloadWritten { key: keys.active, text_bytes: 1, object_bytes: 1 })
            };
            let captured = Captured {
                graph_id: one.graph_id.to_owned(),
                name: Some(one.name.to_owned()),
                platform: None,
                odata_type: None,
                modified_text: None,
                assignments: 0,
                redactions,
                names: ReferenceNames::default(),
                address,
                copy: reserved.copy,
                written,
            };
            let entry = BackupEntry::Captured(Box::new(captured));
            run.backup_write(set.id, &key, vec![entry]).await.unwrap();
            run.backup_type(set.id, &key, &Completeness::Complete, 1).await.unwrap();
        }
        let end = BackupEnd { state: BackupState::Partial, manifest: None, lists: Vec::new() };
        assert!(run.backup_finish(set.id, end).await.unwrap());
        self.finish(run).await;
        set.number
    }

    pub(crate) async fn version(&self, person: &crate::world::Person, set: u64) -> String {
        let items =
            self.get(Some(person), &format!("/api/v1/tenants/contoso/backups/{set}/items")).await;
        items.json()["data"][0]["version"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_tenant_without_backups_says_what_to_do() {
    for world in worlds().await {
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        let page = world.get(Some(&operator), "/t/contoso/backups").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("No backup yet") && page.text.contains("Back up now"));
        let page = world.get(Some(&reader), "/t/contoso/backups").await.text;
        assert!(page.contains("backups.create") && page.contains("aria-disabled=\"true\""));
        let refused = world.post(&reader, "/t/contoso/backups", &reader.form("&key=k&note=")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", world.db.name());
        let form = operator.form("&key=one&note=before+the+change");
        let started = world.post(&operator, "/t/contoso/backups", &form).await;
        assert!(started.header("location").starts_with("/t/contoso/backups?started="));
        let again = world.post(&operator, "/t/contoso/backups", &form).await;
        assert_eq!(again.status, StatusCode::SEE_OTHER);
        assert_eq!(world.runs().await, 1, "a form sent twice starts one run");
    }
}

#[tokio::test]
async fn a_set_shows_what_it_holds_and_hostile_names_stay_text() {
    for world in worlds().await {
        let hostile = "<script>alert(1)</script>\u{202e}";
        let set = world.backup(vec![policy(hostile, "\"><img src=x onerror=alert(1)>")]).await;
        let owner = world.person("owner").await;
        let id = world.version(&owner, set).await;
        for path in [
            "/t/contoso/backups".to_owned(),
            format!("/t/contoso/backups/{set}"),
            format!("/t/contoso/versions/{id}"),
            format!("/t/contoso/compare?left=version:{id}&right=version:{id}"),
        ] {
            let page = world.get(Some(&owner), &path).await;
            assert_eq!(page.status, StatusCode::OK, "{path} {}", page.text);
            assert!(!page.text.contains("<script>alert") && !page.text.contains("<img"), "{path}");
            assert!(!page.text.contains('\u{202e}'), "{path}");
        }
        let page = world.get(Some(&owner), &format!("/t/contoso/versions/{id}")).await.text;
        assert!(page.contains("&lt;img src=x"), "the text itself is there: {}", world.db.name());
        let path = format!("/t/contoso/compare?left=version:{id}&right=version:{id}");
        assert!(world.get(Some(&owner), &path).await.text.contains("Nothing differs"));
        let file = world.get(Some(&owner), &format!("/t/contoso/versions/{id}/json")).await;
        assert!(file.header("content-disposition").starts_with("attachment; filename=\"device"));
        assert_eq!(file.json()["cameraBlocked"], true);
    }
}

#[tokio::test]
async fn versions_are_compared_by_contract() {
    for world in worlds().await {
        let first = world.backup(vec![policy("Camera", "one")]).await;
        let second = world.backup(vec![policy("Camera", "two")]).await;
        let third = world.backup(vec![policy("Camera", "two")]).await;
        let reader = world.person("reader").await;
        let (a, b) = (world.version(&reader, first).await, world.version(&reader, second).await);
        assert_eq!(world.version(&reader, third).await, b, "equal content is the same version");
        let path = format!("/api/v1/tenants/contoso/compare?left=version:{a}&right=version:{b}");
        let diff = world.get(Some(&reader), &path).await.json();
        assert_eq!(diff["summary"]["changed"], 1, "{diff} {}", world.db.name());
        assert_eq!(diff["entries"][0]["pointer"], "/description");
        assert_eq!((&diff["left"]["number"], &diff["right"]["number"]), (&1.into(), &2.into()));
        let path = format!("/t/contoso/compare?left=version:{a}&right=version:{b}");
        let page = world.get(Some(&reader), &path).await.text;
        assert!(page.contains("1 changed, 0 added, 0 removed"), "{page}");
        for bad in ["left=x&right=y", "left=version:1", ""] {
            let refused = world.get(Some(&reader), &format!("/t/contoso/compare?{bad}")).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
            let path = format!("/api/v1/tenants/contoso/compare?{bad}");
            assert_eq!(world.get(Some(&reader), &path).await.status, StatusCode::BAD_REQUEST);
        }
        let unknown =
            format!("/t/contoso/compare?left=version:{a}&right=version:{}", uuid::Uuid::nil());
        assert_eq!(world.get(Some(&reader), &unknown).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn what_is_of_another_tenant_is_not_there() {
    for world in worlds().await {
        let set = world.backup(vec![policy("Camera", "one")]).await;
        let owner = world.person("owner").await;
        let id = world.version(&owner, set).await;
        for path in [
            format!("/t/secret/backups/{set}"),
            format!("/t/secret/versions/{id}"),
            format!("/t/secret/versions/{id}/json"),
            format!("/t/secret/compare?left=version:{id}&right=version:{id}"),
            format!("/api/v1/tenants/secret/versions/{id}"),
            format!("/api/v1/tenants/secret/backups/{set}"),
            format!("/api/v1/tenants/secret/backups/{set}/items"),
        ] {
            assert_eq!(
                world.get(Some(&owner), &path).await.status,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
        // Named with its tenant it is found, by those who may see that one.
        let both =
            format!("/t/secret/compare?left=contoso/version:{id}&right=contoso/version:{id}");
        assert_eq!(world.get(Some(&owner), &both).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn secrets_are_shown_to_nobody_and_scripts_to_some() {
    for world in worlds().await {
        let object = serde_json::json!({
            "id": "s", "displayName": "Install", "scriptContent": "ZWNobyBoZWxsbw==",
            "psk": {"@tenantpilot.redacted": "f00dfeed"},
        });
        let taken = Redaction {
            pointer: "/psk".to_owned(),
            ..serde_json::from_str(
                r#"{"pointer":"/psk","fingerprint":"f00dfeed","by":"contract","reads_as":"clear"}"#,
            )
            .unwrap()
        };
        let found =
            Redactions { taken: vec![taken], restricted: vec!["/scriptContent".to_owned()] };
        let set = world
            .backup(vec![Policy {
                key: TYPE,
                graph_id: "s",
                name: "Install",
                object: object.into(),
                found,
            }])
            .await;
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        let id = world.version(&operator, set).await;
        for (person, may) in [(&operator, true), (&reader, false)] {
            for path in [
                format!("/t/contoso/versions/{id}"),
                format!("/t/contoso/versions/{id}/json"),
                format!("/api/v1/tenants/contoso/versions/{id}"),
            ] {
                let text = world.get(Some(person), &path).await.text;
                assert!(!text.contains("f00dfeed"), "{path}");
                let seen = text.contains("ZWNobyBoZWxsbw==") || text.contains("echo hello");
                assert_eq!(seen, may, "{path} {}", world.db.name());
            }
        }
        let page = world.get(Some(&reader), &format!("/t/contoso/versions/{id}")).await.text;
        assert!(page.contains("scripts.view_content"));
    }
}

#[tokio::test]
async fn a_damaged_or_missing_content_is_said_and_not_shown() {
    for world in worlds().await {
        let set = world.backup(vec![policy("Camera", "one")]).await;
        let reader = world.person("reader").await;
        let id = world.version(&reader, set).await;
        let object = object_file(world.folder.path()).unwrap();
        let mut bytes = std::fs::read(&object).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&object, bytes).unwrap();
        let page = world.get(Some(&reader), &format!("/t/contoso/versions/{id}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("is damaged") && !page.text.contains("cameraBlocked"));
        std::fs::remove_file(&object).unwrap();
        let page = world.get(Some(&reader), &format!("/t/contoso/versions/{id}")).await.text;
        assert!(page.contains("not in the payload store"), "{}", world.db.name());
        let api = world.get(Some(&reader), &format!("/api/v1/tenants/contoso/versions/{id}")).await;
        assert_eq!(api.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(api.json()["code"], "payload_unreadable");
    }
}

/// The one object in the folder.
fn object_file(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            return Some(path);
        }
        if let Some(found) = object_file(&path) {
            return Some(found);
        }
    }
    None
}

#[tokio::test]
async fn a_pinned_set_stays_and_another_goes_when_its_number_is_typed() {
    for world in worlds().await {
        let set = world.backup(vec![policy("Camera", "one")]).await;
        let (owner, operator) = (world.person("owner").await, world.person("operator").await);
        let path = format!("/t/contoso/backups/{set}");
        let refused = world.post(&operator, &path, &operator.form("&note=x&pinned=yes")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let saved = world.post(&owner, &path, &owner.form("&note=keep+it&pinned=yes")).await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
        let page = world.get(Some(&owner), &path).await.text;
        assert!(page.contains("Pinned") && page.contains("keep it"));
        let delete = format!("{path}/delete");
        let kept = world.post(&owner, &delete, &owner.form(&format!("&confirm={set}"))).await;
        assert_eq!(kept.status, StatusCode::CONFLICT, "{}", world.db.name());
        world.post(&owner, &path, &owner.form("&note=")).await;
        let wrong = world.post(&owner, &delete, &owner.form("&confirm=999")).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
        let gone = world.post(&owner, &delete, &owner.form(&format!("&confirm={set}"))).await;
        assert_eq!(gone.status, StatusCode::SEE_OTHER);
        assert_eq!(world.get(Some(&owner), &path).await.status, StatusCode::NOT_FOUND);
    }
}
