//! Two versions of a settings catalog policy, stored as a backup stores them.

use std::time::Duration;

use serde_json::{Value, json};
use tp_catalog::content::VersionContent;
use tp_catalog::secrets::Redactions;
use tp_domain::access::{StartBackup, ViewBackups};
use tp_domain::backup::BackupState;
use tp_domain::backup_create::CreateBackup;
use tp_domain::ids::{TenantId, WorkerId};
use tp_domain::operation::OperationKind;
use tp_domain::payload::PayloadKind;
use tp_domain::policy::PolicyType;
use tp_domain::version::ReferenceNames;
use tp_payload::{Canonical, PayloadStore, Sealer, Vault};
use tp_store::{
    BackupEnd, BackupEntry, Captured, ClaimRequest, ClaimedRun, Ended, HowStarted, PayloadWant,
    PayloadWritten, Store, TenantRef,
};

/// Settings of the policy (issue D).
pub(crate) const SETTINGS: usize = 313;

/// The policy; every tenth setting has another value in the second version.
fn policy(second: bool) -> Value {
    let settings: Vec<Value> = (0..SETTINGS)
        .map(|at| {
            let id = format!("device_vendor_msft_policy_config_area{}_setting{at}", at % 17);
            let value = usize::from(second && at % 10 == 0);
            json!({"id": at.to_string(), "settingInstance": {
                "@odata.type": "#microsoft.graph.deviceManagementConfigurationChoiceSettingInstance",
                "settingDefinitionId": id,
                "choiceSettingValue": {"value": format!("{id}_{value}"), "children": []},
            }})
        })
        .collect();
    json!({"id": "catalog", "name": "Hardening", "settings": settings})
}

async fn claim(store: &Store) -> ClaimedRun {
    store.discover().await.unwrap();
    let request = ClaimRequest {
        worker: WorkerId::from_uuid(uuid::Uuid::from_u128(1)),
        kinds: vec![OperationKind::BackupCreate],
        lease: Duration::from_mins(1),
        per_tenant: 9,
        most: 1,
    };
    store.claim_many(request).await.unwrap().runs.pop().unwrap()
}

/// Makes both versions and gives the address of their comparison.
pub(crate) async fn made(store: &Store, tenant: TenantId, payloads: &PayloadStore) -> String {
    let owner = store.test_actor("owner@example.com").await;
    let scope = store.enter::<StartBackup>(&owner, &TenantRef::Id(tenant)).await.unwrap();
    let key = PolicyType::new("settingsCatalogPolicy").unwrap();
    let mut versions = Vec::new();
    for second in [false, true] {
        scope.run_start(&CreateBackup::everything(), HowStarted::default()).await.unwrap();
        let run = claim(store).await;
        let keys = run.payload_keys().await.unwrap().unwrap();
        let vault = Vault::new(Sealer::new(tenant, &keys).unwrap(), payloads.clone());
        run.steps_plan(std::slice::from_ref(&key)).await.unwrap();
        let set = run.backup_begin(None, true).await.unwrap();
        let content = VersionContent {
            policy_type: key.to_string(),
            object: policy(second).into(),
            assignments: None,
            found: Redactions::default(),
        };
        let content = Canonical::of(&content.into_json()).unwrap();
        let address = vault.sealer().address(PayloadKind::Version, &content);
        let want = PayloadWant { kind: PayloadKind::Version, address };
        let place = run.payloads_reserve(vec![want]).await.unwrap()[0];
        vault.put(PayloadKind::Version, &content, place.copy).await.unwrap();
        let captured = Captured {
            graph_id: "catalog".to_owned(),
            name: Some("Hardening".to_owned()),
            platform: None,
            odata_type: None,
            modified_text: None,
            assignments: 0,
            redactions: 0,
            names: ReferenceNames::default(),
            address,
            copy: place.copy,
            written: Some(PayloadWritten { key: keys.active, text_bytes: 1, object_bytes: 1 }),
        };
        let entry = BackupEntry::Captured(Box::new(captured));
        run.backup_write(set.id, &key, vec![entry]).await.unwrap();
        let end = BackupEnd { state: BackupState::Partial, manifest: None, lists: Vec::new() };
        assert!(run.backup_finish(set.id, end).await.unwrap());
        let ended = Ended {
            outcome: tp_domain::run::Outcome::Succeeded,
            reason: None,
            message: None,
            failures: Vec::new(),
            context: json!({}),
            counts: run.counts(),
        };
        run.finish(ended).await.unwrap();
        let place = TenantRef::Id(tenant);
        let view = store.enter::<ViewBackups>(&owner, &place).await.unwrap();
        let newest = view.versions_of(&key, "catalog", None, 1).await.unwrap();
        versions.push(newest[0].id);
    }
    format!("/t/contoso/compare?left=version:{}&right=version:{}", versions[0], versions[1])
}
