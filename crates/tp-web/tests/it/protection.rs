//! What the pages of a policy and of coverage say of what is captured, and the API that is exact about it.

use axum::http::StatusCode;
use tp_catalog::secrets::Redactions;
use tp_domain::completeness::Completeness;
use tp_domain::policy::{ObservedPolicy, PolicyType};
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use tp_store::TypeEnd;

use crate::backups::{Policy, policy};
use crate::world::{Person, World, worlds};

fn key(text: &str) -> PolicyType {
    PolicyType::new(text).unwrap()
}

fn observed(graph_id: &str, modified: Option<&str>) -> ObservedPolicy {
    ObservedPolicy {
        graph_id: graph_id.to_owned(),
        name: Some("Camera".to_owned()),
        platform: None,
        odata_type: None,
        created_at: None,
        modified_at: modified.and_then(Timestamp::parse),
        scope_tags: Vec::new(),
        assigned: None,
        metadata: serde_json::json!({}),
    }
}

impl World {
    /// A sync that sees these policies of one type, and ends each type as told.
    async fn sync(&self, person: &Person, seen: ObservedPolicy, ends: &[(&str, Completeness)]) {
        let path = "/t/contoso/inventory/sync";
        let started = self.post(person, path, &person.form("&back=/t/contoso/policies")).await;
        assert_eq!(started.status, StatusCode::SEE_OTHER);
        let run = self.claim().await;
        let types: Vec<PolicyType> = ends.iter().map(|(word, _)| key(word)).collect();
        run.steps_plan(&types).await.unwrap();
        run.policies_observe(&types[0], vec![seen]).await.unwrap();
        for (key, (_, completeness)) in types.iter().zip(ends) {
            let end =
                TypeEnd { completeness: completeness.clone(), listed: 1, digest: "d".to_owned() };
            run.type_end(key, end).await.unwrap();
        }
        self.finish(run).await;
    }

    /// The id of the one policy.
    async fn only_policy(&self, person: &Person) -> String {
        let found = self.get(Some(person), "/api/v1/tenants/contoso/policies").await.json();
        found["data"][0]["id"].as_str().unwrap().to_owned()
    }
}

const TYPE: &str = "deviceConfiguration";

#[tokio::test]
async fn the_page_of_a_policy_has_its_settings_once_they_are_captured() {
    for world in worlds().await {
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        world.sync(&operator, observed("a", None), &[(TYPE, Completeness::Complete)]).await;
        let id = world.only_policy(&reader).await;
        let path = format!("/t/contoso/policies/{id}");
        let page = world.get(Some(&reader), &path).await.text;
        assert!(page.contains("Settings are not known yet"), "{}", world.db.name());
        assert!(page.contains("backups.create") && page.contains("aria-disabled=\"true\""));
        let versions = world.get(Some(&reader), &format!("{path}/versions")).await;
        assert_eq!(versions.status, StatusCode::OK);
        assert!(versions.text.contains("No version yet"));
        let live = format!("/t/contoso/compare?left=live:{id}&right=live:{id}");
        assert_eq!(world.get(Some(&reader), &live).await.status, StatusCode::NOT_FOUND);

        world.backup(vec![policy("Camera", "<i>first</i>")]).await;
        let page = world.get(Some(&reader), &path).await.text;
        assert!(page.contains("version 1") && page.contains("&lt;i&gt;first"), "{page}");
        assert!(!page.contains("<i>first"));
        let compared = world.get(Some(&reader), &live).await;
        assert_eq!(compared.status, StatusCode::OK);
        assert!(compared.text.contains("asks Microsoft for nothing"));
        let api = format!("/api/v1/tenants/contoso/compare?left=live:{id}&right=live:{id}");
        let diff = world.get(Some(&reader), &api).await.json();
        assert_eq!(diff["left"]["live"]["since_capture"], "not_told", "{diff}");
        let elsewhere = format!("/t/secret/policies/{id}");
        let owner = world.person("owner").await;
        for path in [
            elsewhere.clone(),
            format!("{elsewhere}/versions"),
            format!("/api/v1/tenants/secret/policies/{id}/versions/1"),
            format!("/api/v1/tenants/secret/dependencies?policy={id}"),
        ] {
            assert_eq!(
                world.get(Some(&owner), &path).await.status,
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn one_policy_is_backed_up_from_its_page() {
    for world in worlds().await {
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        world.sync(&operator, observed("a", None), &[(TYPE, Completeness::Complete)]).await;
        let (id, before) = (world.only_policy(&reader).await, world.runs().await);
        let form = format!("&key=one&policy={id}");
        let refused = world.post(&reader, "/t/contoso/backups", &reader.form(&form)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        for wrong in ["x", &uuid::Uuid::nil().to_string()] {
            let form = operator.form(&format!("&key=w&policy={wrong}"));
            let refused = world.post(&operator, "/t/contoso/backups", &form).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{wrong}");
        }
        assert_eq!(world.runs().await, before, "{}", world.db.name());
        let started = world.post(&operator, "/t/contoso/backups", &operator.form(&form)).await;
        let back = started.header("location").to_owned();
        assert!(back.starts_with(&format!("/t/contoso/policies/{id}?started=")), "{back}");
        assert!(world.get(Some(&operator), &back).await.text.contains("Backup queued."));
        let (_, run) = back.split_once("started=").unwrap();
        let run = world.get(Some(&operator), &format!("/api/v1/tenants/contoso/runs/{run}")).await;
        assert_eq!(run.json()["inputs"]["policies"], serde_json::json!([id]));
    }
}

#[tokio::test]
async fn coverage_says_what_is_seen_and_what_is_protected() {
    for world in worlds().await {
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        let page = world.get(Some(&reader), "/t/contoso/coverage").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("Nothing is known yet") && page.text.contains("inventory.sync"));
        let ends = [
            (TYPE, Completeness::Complete),
            ("deviceManagementScript", Completeness::NotPermitted("Scripts.<b>".to_owned())),
            ("roleScopeTag", Completeness::Partial(ReasonCode::PageLimit)),
            ("assignmentFilter", Completeness::NotCovered(ReasonCode::AppOnlyNotSupported)),
        ];
        world.sync(&operator, observed("a", None), &ends).await;
        let page = world.get(Some(&reader), "/t/contoso/coverage").await.text;
        for words in [
            "Not seen in full",
            "Seen in full",
            "Not covered",
            "Never asked for",
            "page_limit",
            "Scripts.&lt;b&gt;",
            "Nothing is backed up yet",
            "1 of 4 types",
        ] {
            assert!(page.contains(words), "{words} on {}", world.db.name());
        }
        world.backup(vec![policy("Camera", "one")]).await;
        let page = world.get(Some(&reader), "/t/contoso/coverage").await.text;
        assert!(page.contains("1 of 1 types") && page.contains("/t/contoso/backups/1"));
        let api = world.get(Some(&reader), "/api/v1/tenants/contoso/coverage").await.json();
        let rows = api["data"].as_array().unwrap();
        let row = rows.iter().find(|row| row["type"] == TYPE).unwrap();
        assert_eq!((&row["backup"], &row["reading"]), (&"full".into(), &"not_checked".into()));
        let set = world.get(Some(&reader), "/api/v1/tenants/contoso/backups/1").await.json();
        let counts = (&set["types"][0]["saved"], &set["types"][0]["failed"]);
        assert_eq!(counts, (&1.into(), &0.into()), "{set}");
    }
}

#[tokio::test]
async fn numbers_of_a_version_are_as_they_were_written() {
    for world in worlds().await {
        let reader = world.person("reader").await;
        // More digits than a 64-bit number has.
        let object = tp_domain::json::Json::parse(
            br#"{"id":"n","displayName":"N","precise":1.0,"large":12345678901234567890123}"#,
        );
        let exact = Policy {
            key: TYPE,
            graph_id: "n",
            name: "N",
            object: object.unwrap(),
            found: Redactions::default(),
        };
        let set = world.backup(vec![exact]).await;
        let id = world.version(&reader, set).await;
        for path in [
            format!("/api/v1/tenants/contoso/versions/{id}"),
            format!("/t/contoso/versions/{id}/json"),
            format!("/t/contoso/versions/{id}"),
        ] {
            let text = world.get(Some(&reader), &path).await.text;
            assert!(text.contains("12345678901234567890123"), "{path} on {}", world.db.name());
            assert!(text.contains("1.0"), "{path}");
        }
    }
}

/// Today's contract may not know a place that was a script when it was captured: it stays withheld.
#[tokio::test]
async fn what_was_a_script_at_its_capture_stays_withheld() {
    for world in worlds().await {
        let script = |text: &str| Policy {
            key: TYPE,
            graph_id: "a",
            name: "Camera",
            object: serde_json::json!({"id": "a", "displayName": "Camera", "remark": text}).into(),
            found: Redactions { taken: Vec::new(), restricted: vec!["/remark".to_owned()] },
        };
        let (one, two) = (script("echo first"), script("echo second"));
        let sets = (world.backup(vec![one]).await, world.backup(vec![two]).await);
        let (operator, reader) = (world.person("operator").await, world.person("reader").await);
        let left = world.version(&reader, sets.0).await;
        let right = world.version(&reader, sets.1).await;
        let compare = format!("compare?left=version:{left}&right=version:{right}");
        for path in [
            format!("/t/contoso/versions/{right}"),
            format!("/t/contoso/{compare}"),
            format!("/api/v1/tenants/contoso/{compare}"),
            format!("/api/v1/tenants/contoso/versions/{right}"),
        ] {
            let seen = world.get(Some(&operator), &path).await.text;
            assert!(seen.contains("echo second"), "{path}");
            let hidden = world.get(Some(&reader), &path).await.text;
            assert!(!hidden.contains("echo"), "{path} on {}", world.db.name());
        }
        let diff = world.get(Some(&reader), &format!("/api/v1/tenants/contoso/{compare}")).await;
        let diff = diff.json();
        assert_eq!(
            (&diff["summary"]["changed"], &diff["scripts_hidden"]),
            (&1.into(), &true.into())
        );
    }
}
