//! The whole way of a memory: the simulated tenant is synced and backed up, changes behind our back, is backed
//! up again; pages, API and verbs then say what changed (specs/004-snapshots, diff.md).

use std::time::Duration;

use serde_json::{Value, json};
use tp_client::Client;

use crate::process::{Installation, database_urls, is_completed, run};

const LIMIT: Duration = Duration::from_mins(2);
const TENANT: &str = "/api/v1/tenants/contoso";

impl Installation {
    async fn back_up(&self) -> u64 {
        let body = json!({"kind": "backup.create", "inputs": {}});
        let path = format!("{TENANT}/runs");
        let run = self.client().post(&path, &body, None).await.unwrap();
        let run = self.until(run["id"].as_str().unwrap(), LIMIT, is_completed).await;
        assert_eq!(run["outcome"], "succeeded", "{run}");
        run["context"]["backup"].as_u64().unwrap()
    }

    fn verb(&self, args: &[&str]) -> (i32, String, String) {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = [
            pair("TENANTPILOT_SERVER", &self.url()),
            pair("TENANTPILOT_TOKEN", &self.token),
            pair("TENANTPILOT_TENANT", "contoso"),
        ];
        let done = run(args, &environment, "");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr))
    }

    async fn page(&self, path: &str) -> String {
        let page = self.client().get_text(path).await;
        page.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// Changes an object as an administrator does in the portal.
async fn change(installation: &Installation, policy: &Value, patch: Value) {
    let sim = Client::new(&installation.sim, None).unwrap();
    let tenants = sim.get("/__sim/tenants").await.unwrap();
    let body = json!({
        "tenant": tenants["tenants"][0]["id"], "type": policy["type"], "action": "change",
        "id": policy["graph_id"], "patch": patch,
    });
    sim.post("/__sim/objects", &body, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_between_two_backups_is_on_the_pages_and_in_the_verbs() {
    for database in database_urls().await {
        let installation = Installation::new(database.as_deref(), 0, None);
        let _server = installation.serve(&["serve"]).await;
        installation.add_tenant().await;
        let sync = installation.start_sync(json!({})).await;
        installation.until(sync["id"].as_str().unwrap(), LIMIT, is_completed).await;
        let client = installation.client();
        let first = installation.back_up().await;

        let path = format!("{TENANT}/policies?type=deviceConfiguration&limit=1");
        let policy = client.list(&path, 1).await.unwrap().remove(0);
        let id = policy["id"].as_str().unwrap();
        let patch = json!({
            "description": "changed <b>behind</b> our back",
            // As Intune does: a backup reads again what the listing shows to have changed.
            "lastModifiedDateTime": "2031-01-17T14:01:02.1234567Z",
        });
        change(&installation, &policy, patch).await;
        let second = installation.back_up().await;
        assert_eq!(second, first + 1);

        // The set is whole, and says so by type and by policy.
        let set = client.get(&format!("{TENANT}/backups/{second}")).await.unwrap();
        assert_eq!((&set["state"], &set["failed_items"]), (&"complete".into(), &0.into()), "{set}");
        assert_eq!(set["new_versions"], 1, "one policy has changed: {set}");
        let types = set["types"].as_array().unwrap();
        let saved: u64 = types.iter().filter_map(|one| one["saved"].as_u64()).sum();
        assert_eq!(set["items"], saved, "{database:?}");
        let items = client.list(&format!("{TENANT}/backups/{second}/items"), 9_999).await.unwrap();
        assert_eq!(u64::try_from(items.len()).unwrap(), saved);

        // Two versions, and exactly this difference.
        let versions = client.list(&format!("{TENANT}/policies/{id}/versions"), 99).await.unwrap();
        assert_eq!(versions.len(), 2);
        let of = |at: usize| versions[at]["id"].as_str().unwrap();
        let path = format!("{TENANT}/compare?left=version:{}&right=live:{id}", of(1));
        let diff = client.get(&path).await.unwrap();
        let entries = diff["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{diff}");
        assert_eq!(entries[0]["pointer"], "/description");
        assert_eq!(diff["right"]["live"]["policy"], *id);
        let whole = client.get(&format!("{TENANT}/policies/{id}/versions/2")).await.unwrap();
        assert_eq!(whole["payload"]["description"], "changed <b>behind</b> our back");

        pages(&installation, id, [of(1), of(0)], second).await;
        verbs(&installation, id, second);
        dependencies(&installation).await;
    }
}

async fn pages(installation: &Installation, policy: &str, versions: [&str; 2], set: u64) {
    let [left, right] = versions;
    let compare = format!("/t/contoso/compare?left=version:{left}&right=version:{right}");
    for (path, says) in [
        ("/t/contoso/backups".to_owned(), "Backup 2"),
        (format!("/t/contoso/backups/{set}"), "Complete"),
        (format!("/t/contoso/policies/{policy}"), "changed &lt;b&gt;behind"),
        (format!("/t/contoso/policies/{policy}/versions"), "Version 2"),
        (format!("/t/contoso/versions/{right}"), "changed &lt;b&gt;behind"),
        (compare, "changed &lt;b&gt;behind"),
        (
            format!("/t/contoso/compare?left=version:{left}&right=live:{policy}"),
            "asks Microsoft for nothing",
        ),
        ("/t/contoso/coverage".to_owned(), "Seen in full"),
    ] {
        let page = installation.page(&path).await;
        assert!(page.contains(says), "{path} does not say {says}");
        assert!(!page.contains("<b>behind"), "{path}");
    }
}

fn verbs(installation: &Installation, policy: &str, set: u64) {
    let good = |args: &[&str]| {
        let (code, out, talk) = installation.verb(args);
        assert_eq!(code, 0, "{args:?}: {out} {talk}");
        out
    };
    assert_eq!(good(&["backup", "list"]).lines().count(), 2);
    assert!(good(&["backup", "view", &set.to_string()]).contains("deviceConfiguration"));
    let held = good(&["backup", "view", &set.to_string(), "--policies", "--state", "failed"]);
    assert!(held.is_empty(), "{held}");
    assert_eq!(good(&["policy", "versions", policy]).lines().count(), 2);
    let diff = good(&["policy", "diff", policy]);
    assert!(diff.starts_with("changed\t") || diff.starts_with("added\t"), "{diff}");
    let (code, _, talk) = installation.verb(&["policy", "diff", policy, "--exit-code"]);
    assert_eq!(code, 9, "{talk}");
    let same = ["policy", "diff", policy, "--from", "2", "--to", "2", "--exit-code"];
    assert_eq!(installation.verb(&same).0, 0);
    let text = good(&["policy", "export", policy]);
    let exported: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exported["type"], "deviceConfiguration");
    assert_eq!(exported["object"]["description"], "changed <b>behind</b> our back");
    let file = installation.folder().join("policy.json").display().to_string();
    let first = ["policy", "export", policy, "--number", "1", "--to", &file];
    good(&first);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_ne!(kept["object"]["description"], exported["object"]["description"]);
    assert_eq!(installation.verb(&first).0, 2, "a file that is there stays as it is");
    let unknown = uuid::Uuid::nil().to_string();
    assert_eq!(installation.verb(&["policy", "versions", &unknown]).0, 6);
    assert_eq!(installation.verb(&["backup", "view", "99"]).0, 6);
    let (code, out, talk) =
        installation.verb(&["backup", "create", "--policy", policy, "--note", "one", "--wait"]);
    assert_eq!(code, 0, "{out} {talk}");
}

/// Some policy of the estate is assigned to a group; the API names it.
async fn dependencies(installation: &Installation) {
    let client = installation.client();
    let policies = client.list(&format!("{TENANT}/policies?limit=200"), 9_999).await.unwrap();
    for policy in &policies {
        let id = policy["id"].as_str().unwrap();
        let found = client.get(&format!("{TENANT}/dependencies?policy={id}")).await.unwrap();
        let data = found["data"].as_array().unwrap();
        if let Some(group) = data.iter().find(|one| one["kind"] == "group") {
            assert!(!group["pointers"].as_array().unwrap().is_empty(), "{group}");
            return;
        }
    }
    panic!("no policy of the estate refers to a group");
}
