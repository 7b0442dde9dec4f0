//! Preview, confirm and restore through the real payload store: what was planted is found, what is confirmed
//! is written, and nothing else is.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tp_domain::access::{PreviewRestore, StartRestorePreview};
use tp_domain::backup_create::CreateBackup;
use tp_domain::ids::RestoreId;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::{Chosen, RestoreDraft};
use tp_domain::restore::outcome::ItemOutcome;
use tp_domain::restore::plan::{FrozenPlan, NodeAction};
use tp_domain::restore::preview::MakeRestorePreview;
use tp_domain::run::Outcome;
use tp_store::{Confirmed, HowStarted, TenantRef};

use super::{Bench, benches};

const TYPES: [&str; 5] = [
    "deviceCategory",
    "deviceConfiguration",
    "deviceCompliancePolicy",
    "deviceManagementScript",
    "settingsCatalogPolicy",
];

impl Bench {
    /// Backs up these types and gives the set's number.
    pub(super) async fn backed_up(&self, keys: &[&str]) -> u64 {
        let types = keys.iter().map(|key| PolicyType::new(key).unwrap()).collect();
        let run = self.world.backup(CreateBackup::of_types(types, false)).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{run:?}");
        self.world.backups().await.backup_list(None, 1).await.unwrap()[0].number
    }

    /// Makes a preview by a run of its own.
    pub(super) async fn previewed(&self, draft: &RestoreDraft) -> (RestoreId, FrozenPlan) {
        self.world.db.clock.advance(Duration::from_secs(1));
        let contoso = TenantRef::parse("contoso").unwrap();
        let store = &self.world.db.store;
        let actor = store.test_actor("owner@example.com").await;
        let scope = store.enter::<PreviewRestore>(&actor, &contoso).await.unwrap();
        let id = scope.restore_create(draft, None).await.unwrap();
        let start = store.enter::<StartRestorePreview>(&actor, &contoso).await.unwrap();
        let request = MakeRestorePreview { restore: id };
        let run = start.run_start(&request, HowStarted::default()).await.unwrap().run().id;
        assert_eq!(self.world.worker.work_queue().await, 1);
        let run = self.run(run).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{} {run:?}", self.name());
        let record = scope.restore_get(id).await.unwrap().unwrap();
        assert!(record.preview.is_some(), "what was found is kept");
        (id, scope.restore_plan(id).await.unwrap().unwrap())
    }

    /// Confirms a plan and carries it out with the worker that has all operations.
    pub(super) async fn carried_out(&self, id: RestoreId, plan: &FrozenPlan) -> Outcome {
        let confirm = self.say(plan.hash());
        let scope = self.scope().await;
        let confirmed = scope.restore_confirm(id, confirm, HowStarted::default()).await;
        let Confirmed::Run(started) = confirmed.unwrap() else { unreachable!() };
        assert_eq!(self.world.worker.work_queue().await, 1);
        self.run(started.run().id).await.state.outcome()
    }
}

/// The actions of a plan, by the object's key.
pub(super) fn actions(plan: &FrozenPlan) -> BTreeMap<String, NodeAction> {
    plan.plan().nodes.iter().map(|node| (node.key.clone(), node.action)).collect()
}

#[tokio::test]
async fn what_was_changed_and_deleted_behind_the_back_comes_back() {
    for bench in benches().await {
        bench.fill(&TYPES).await;
        let set = bench.backed_up(&TYPES).await;
        let mut planted: BTreeMap<String, NodeAction> = BTreeMap::new();
        for key in TYPES {
            for (index, id) in bench.ids(key).await.into_iter().enumerate() {
                let action = match index {
                    0 => {
                        bench.behind(key, &id, Some(json!({"description": "changed"}))).await;
                        NodeAction::Update
                    }
                    1 => {
                        bench.behind(key, &id, None).await;
                        NodeAction::Create
                    }
                    _ => NodeAction::Unchanged,
                };
                planted.insert(format!("{key}/{id}"), action);
            }
        }
        let draft = RestoreDraft::of_backup(set);
        let (id, plan) = bench.previewed(&draft).await;
        assert_eq!(actions(&plan), planted, "{}", bench.name());
        let since = bench.mark().await;
        assert_eq!(bench.carried_out(id, &plan).await, Outcome::Succeeded, "{}", bench.name());
        let items = bench.items(id).await;
        let writes = planted.values().filter(|action| action.writes()).count();
        assert_eq!(items.len(), writes);
        for item in &items {
            let result = item.result.as_ref().unwrap();
            assert_eq!(result.outcome, ItemOutcome::Verified, "{item:?}");
            assert_eq!(item.safety.is_some(), item.action == "update", "kept before it is changed");
        }
        let intents = bench.intents(id).await.into_iter();
        let planned: Vec<(String, String)> =
            intents.map(|intent| (intent.asked.method, intent.asked.path)).collect();
        let log = bench.written(since).await.into_iter();
        let written: Vec<(String, String)> = log.map(|(method, path, _)| (method, path)).collect();
        assert_eq!(planned, written, "nothing but the plan was written");
        // What was made anew has another id, and is known by it.
        let (_, again) = bench.previewed(&draft).await;
        let mut rest = actions(&again);
        rest.retain(|_, action| *action != NodeAction::Unchanged);
        assert_eq!(rest, BTreeMap::new(), "{}", bench.name());
        assert_eq!(again.plan().nodes.len(), planted.len());
    }
}

#[tokio::test]
async fn an_object_is_bound_to_what_is_made_with_it_and_refused_without_it() {
    for bench in benches().await {
        const TEMPLATE: &str = "notificationMessageTemplate";
        const POLICY: &str = "deviceCompliancePolicy";
        bench.fill(&[TEMPLATE, POLICY]).await;
        let template = bench.ids(TEMPLATE).await.remove(0);
        let policy = bench.ids(POLICY).await.remove(0);
        let rules: Value = json!([{"ruleName": "PasswordRequired", "scheduledActionConfigurations": [
            {"actionType": "block", "gracePeriodHours": 0, "notificationTemplateId": "00000000-0000-0000-0000-000000000000",
             "notificationMessageCCList": []},
            {"actionType": "notification", "gracePeriodHours": 24,
             "notificationTemplateId": template, "notificationMessageCCList": []},
        ]}]);
        bench.behind(POLICY, &policy, Some(json!({"scheduledActionsForRule": rules}))).await;
        let set = bench.backed_up(&[TEMPLATE, POLICY]).await;
        bench.behind(TEMPLATE, &template, None).await;
        bench.behind(POLICY, &policy, None).await;
        // The policy alone would point to nothing.
        let policy_type = PolicyType::new(POLICY).unwrap();
        let chosen = Chosen { policy_type, graph_id: policy.clone() };
        let mut alone = RestoreDraft::of_backup(set);
        alone.items = Some([chosen].into());
        let (_, plan) = bench.previewed(&alone).await;
        let blocked = NodeAction::Blocked(ReasonCode::ReferenceMissing);
        assert_eq!(plan.plan().nodes[0].action, blocked, "{}", bench.name());
        // With the template it points to the one that is made.
        let (id, plan) = bench.previewed(&RestoreDraft::of_backup(set)).await;
        let node = plan.plan().nodes.iter().find(|node| node.key.ends_with(&policy)).unwrap();
        assert_eq!((node.action, node.binds.len()), (NodeAction::Create, 1), "{node:?}");
        let outcome = bench.carried_out(id, &plan).await;
        let made = bench.items(id).await;
        assert_eq!(outcome, Outcome::Succeeded, "{} {made:?}", bench.name());
        let new = |key: &str| {
            let item = made.iter().find(|item| item.policy_type.as_str() == key).unwrap();
            item.result.as_ref().unwrap().graph_id.clone().unwrap()
        };
        let live = bench.read(POLICY, &new(POLICY)).await.unwrap();
        let actions = &Value::from(&live.object)["scheduledActionsForRule"][0];
        let found = actions["scheduledActionConfigurations"].as_array().unwrap().iter();
        let mut ids = found.filter_map(|one| one["notificationTemplateId"].as_str());
        let made = new(TEMPLATE);
        assert!(ids.any(|id| id == made), "{} {actions}", bench.name());
    }
}

#[tokio::test]
async fn without_the_permission_or_with_a_damaged_payload_nothing_is_written() {
    for bench in benches().await {
        bench.fill(&["deviceCategory"]).await;
        let set = bench.backed_up(&["deviceCategory"]).await;
        let id = bench.ids("deviceCategory").await.remove(0);
        bench.behind("deviceCategory", &id, Some(json!({"description": "changed"}))).await;
        bench.change(json!({"permission_set": "read"})).await;
        let (_, plan) = bench.previewed(&RestoreDraft::of_backup(set)).await;
        let action = actions(&plan)[&format!("deviceCategory/{id}")];
        assert_eq!(action, NodeAction::Blocked(ReasonCode::PermissionMissing), "{}", bench.name());
        bench.change(json!({"permission_set": "write"})).await;
        spoil(bench.world.folder());
        let (_, plan) = bench.previewed(&RestoreDraft::of_backup(set)).await;
        for action in actions(&plan).values() {
            let damaged = NodeAction::Blocked(ReasonCode::PayloadDamaged);
            assert_eq!(*action, damaged, "{}", bench.name());
        }
    }
}

/// Flips a bit of every object of the payload store.
fn spoil(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoil(&path);
        } else {
            let mut bytes = std::fs::read(&path).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
}
