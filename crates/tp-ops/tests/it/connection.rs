//! What a check of a connection finds, and how a certificate signs in, over real HTTP.

use serde_json::json;
use tp_catalog::permissions::Needed;
use tp_catalog::registry::Catalog;
use tp_domain::connection::{ConnectionReport, CredentialKind, CredentialState, Found};
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::item::{ItemState, RunItem};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome};
use tp_domain::time::Clock as _;
use tp_sim::faults::Fault;
use tp_store::{CertificateCredential, NewCredential, SystemClock};

use crate::world::{World, worlds};

fn item<'a>(items: &'a [RunItem], key: &str) -> &'a RunItem {
    items.iter().find(|item| item.subject.key == key).unwrap()
}

async fn report(world: &World) -> ConnectionReport {
    world.connection().await.report.unwrap()
}

/// The counts of a check: one for each question.
fn counted(run: &OperationRun, items: &[RunItem]) {
    let count = |state| u64::try_from(items.iter().filter(|i| i.state == state).count()).unwrap();
    assert_eq!(run.counts.total, u64::try_from(items.len()).ok());
    assert_eq!(run.counts.succeeded, count(ItemState::Succeeded));
    assert_eq!(run.counts.failed, count(ItemState::Failed));
    assert_eq!(run.counts.skipped, count(ItemState::Skipped));
}

#[tokio::test]
async fn a_connection_that_reads_everything_is_whole() {
    for world in worlds(None).await {
        let (run, items) = world.verify().await;
        let what = world.db.name();
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{what}: {:?}", run.failures);
        counted(&run, &items);
        assert_eq!(item(&items, "sign-in").state, ItemState::Succeeded);
        assert_eq!(item(&items, "approval").state, ItemState::Succeeded, "off is no fault");
        let writing = item(&items, "permission/DeviceManagementConfiguration.ReadWrite.All");
        assert_eq!(writing.state, ItemState::Skipped, "{what}: restores are a choice");
        let view = world.connection().await;
        let report = view.report.unwrap();
        assert!(report.works());
        assert_eq!(report.run, run.id);
        assert_eq!(report.credential, Some(CredentialKind::Secret));
        let mut granted = world.sim.sim.tenants()[0].permissions.clone();
        granted.sort();
        assert_eq!(view.granted, Some(granted), "{what}");
        assert_eq!(report.licence.found, Found::Yes);
        assert_eq!(report.plans, ["AAD_PREMIUM_P2", "INTUNE_A"]);
        assert_eq!((report.approval.found, report.approval_for.len()), (Found::No, 0));
        assert_eq!(run.context["missing"], 0);
    }
}

#[tokio::test]
async fn what_is_missing_and_what_is_too_much_is_said() {
    for world in worlds(None).await {
        let what = world.db.name();
        let mut granted = world.sim.sim.tenants()[0].permissions.clone();
        let lost = "DeviceManagementScripts.Read.All";
        granted.retain(|name| name != lost && name != "Organization.Read.All");
        granted.extend(["Mail.Read".to_owned(), "Policy.ReadWrite.ConditionalAccess".to_owned()]);
        // A token of before the change: only a new one shows what was consented to since.
        world.sync(SyncInventory::everything()).await;
        world.change(&json!({"permissions": granted, "keep_tokens": true, "maa": true})).await;
        let (run, items) = world.verify().await;
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded, "{what}");
        assert_eq!(run.reason, Some(ReasonCode::PermissionMissing));
        counted(&run, &items);
        let missing = item(&items, &format!("permission/{lost}"));
        assert_eq!(missing.state, ItemState::Failed, "{what}");
        assert_eq!(missing.reason, Some(ReasonCode::PermissionMissing));
        let held = item(&items, "permission/Policy.ReadWrite.ConditionalAccess");
        assert_eq!(held.state, ItemState::Succeeded);
        let report = report(&world).await;
        assert_eq!(report.licence.found, Found::Unknown, "{what}");
        assert_eq!(report.licence.needs.as_deref(), Some("Organization.Read.All"));
        assert_eq!(report.approval.found, Found::Yes);
        assert_eq!(
            report.approval_for,
            ["app", "role", "script", "tenantConfiguration", "unknownFutureValue"]
        );
        let catalog = Catalog::builtin().unwrap();
        let excess = Needed::of_all(&catalog).excess(&report.granted.unwrap());
        assert_eq!(run.context["missing"], 2, "{what}");
        assert_eq!(run.context["more_than_needed"], excess.len());
        assert!(excess.iter().any(|one| one.permission == "Mail.Read"));
    }
}

#[tokio::test]
async fn a_tenant_without_intune_is_found() {
    for world in worlds(None).await {
        world.change(&json!({"licences": ["INTUNE_O365", "AAD_PREMIUM"]})).await;
        let (run, items) = world.verify().await;
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded, "{}", world.db.name());
        assert_eq!(item(&items, "licence").reason, Some(ReasonCode::LicenceMissing));
        let report = report(&world).await;
        assert_eq!(report.licence.found, Found::No);
        assert_eq!(report.plans, ["AAD_PREMIUM", "INTUNE_O365"]);
    }
}

#[tokio::test]
async fn a_sign_in_that_is_refused_is_kept_as_what_it_is() {
    let login = |action: serde_json::Value| -> Vec<Fault> {
        serde_json::from_value(json!([{"match": {"host": "login"}, "action": action}])).unwrap()
    };
    for world in worlds(None).await {
        let what = world.db.name();
        assert_eq!(world.verify().await.0.state.outcome(), Outcome::Succeeded, "{what}");
        let known = world.connection().await.granted.unwrap();
        let cases = [
            (Some(json!({"client_secret": "other"})), None, ReasonCode::CredentialInvalid),
            (Some(json!({"secret_expired": true})), None, ReasonCode::CredentialExpired),
            (
                Some(json!({"secret_expired": false, "consented": false})),
                None,
                ReasonCode::CredentialInvalid,
            ),
            (None, Some(json!({"kind": "aadsts", "number": 700_016})), ReasonCode::AppNotFound),
            (None, Some(json!({"kind": "aadsts", "number": 53_003})), ReasonCode::AuthFailed),
            (None, Some(json!({"kind": "wrong_tid"})), ReasonCode::CredentialInvalid),
        ];
        for (change, fault, reason) in cases {
            if let Some(change) = change {
                world.change(&change).await;
            }
            world.sim.sim.set_faults(fault.map(login).unwrap_or_default());
            let (run, _) = world.verify().await;
            assert_eq!(run.reason, Some(reason), "{what}");
            assert_eq!(run.state.outcome(), Outcome::Failed);
            assert_eq!(run.attempt, 1, "{what}: trying again changes nothing");
            let view = world.connection().await;
            let report = view.report.unwrap();
            assert_eq!((report.token.found, report.token.reason), (Found::No, Some(reason)));
            assert_eq!(report.granted, None);
            assert_eq!(view.granted.as_ref(), Some(&known), "{what}: by the latest token");
        }
        let secret = world.sim.sim.tenants()[0].client_secret.clone();
        world
            .rotate()
            .await
            .credential_set(None, &NewCredential::from(secret), CredentialState::Active, None)
            .await
            .unwrap();
        world.sim.sim.set_faults(Vec::new());
        let (run, _) = world.verify().await;
        assert_eq!(run.reason, Some(ReasonCode::ConsentMissing), "{what}");
        assert_eq!(report(&world).await.consent.found, Found::No);
        world.change(&json!({"consented": true})).await;
        world.sim.sim.set_faults(login(json!({"kind": "wrong_tid"})));
        assert_eq!(world.verify().await.0.reason, Some(ReasonCode::TenantMismatch), "{what}");
        // Consent without a single permission opens nothing.
        world.sim.sim.set_faults(Vec::new());
        world.change(&json!({"permission_set": "none"})).await;
        let (run, items) = world.verify().await;
        assert_eq!(item(&items, "consent").reason, Some(ReasonCode::ConsentMissing), "{what}");
        assert_eq!(run.state.outcome(), Outcome::PartiallySucceeded);
        let view = world.connection().await;
        assert_eq!(view.granted, Some(Vec::new()), "{what}");
        assert!(!view.report.unwrap().works());
    }
}

#[tokio::test]
async fn without_a_credential_a_check_is_blocked_and_says_so() {
    for world in worlds(None).await {
        world.db.store.test_execute("DELETE FROM tenant_credentials").await.unwrap();
        let (run, _) = world.verify().await;
        assert_eq!(run.state.outcome(), Outcome::Blocked, "{}", world.db.name());
        assert_eq!(run.reason, Some(ReasonCode::CredentialMissing));
        assert_eq!(report(&world).await.token.reason, Some(ReasonCode::CredentialMissing));
        assert_eq!(world.sign_ins().await, 0);
    }
}

/// A certificate in the simulator's time, which is the machine's.
fn certificate(world: &World) -> CertificateCredential {
    world.db.clock.set_forward(SystemClock.now().since(world.db.store.now()));
    CertificateCredential::generate("TenantPilot contoso", SystemClock.now()).unwrap()
}

#[tokio::test]
async fn a_certificate_signs_in_once_it_is_registered() {
    for world in worlds(None).await {
        let what = world.db.name();
        let own = certificate(&world);
        let scope = world.rotate().await;
        let new = NewCredential::Certificate(own.clone());
        scope.credential_set(None, &new, CredentialState::Active, None).await.unwrap();
        let (run, _) = world.verify().await;
        assert_eq!(run.reason, Some(ReasonCode::CredentialInvalid), "{what}: not registered");
        world.change(&json!({"certificates": [own.certificate_pem()]})).await;
        let (run, _) = world.verify().await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{what}: {:?}", run.reason);
        assert_eq!(report(&world).await.credential, Some(CredentialKind::Certificate));
        // A login host that knows RS256 only is asked once more, in its way.
        world.change(&json!({"algorithms": ["RS256"]})).await;
        let before = world.sign_ins().await;
        let (run, _) = world.verify().await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{what}: {:?}", run.reason);
        assert_eq!(world.sign_ins().await, before + 2, "{what}");
        world.change(&json!({"algorithms": []})).await;
        assert_eq!(world.verify().await.0.reason, Some(ReasonCode::CredentialInvalid), "{what}");
        // The sync signs in with it as well.
        world.change(&json!({"algorithms": ["PS256"]})).await;
        let run = world.sync(SyncInventory::everything()).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{what}: {:?}", run.failures);
    }
}

#[tokio::test]
async fn a_new_credential_is_signed_in_with_at_once() {
    for world in worlds(None).await {
        let what = world.db.name();
        let run = world.sync(SyncInventory::everything()).await;
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{what}");
        let before = world.sign_ins().await;
        let (wrong, active) = (NewCredential::from("wrong"), CredentialState::Active);
        world.rotate().await.credential_set(None, &wrong, active, None).await.unwrap();
        let run = world.sync(SyncInventory::everything()).await;
        assert_eq!(run.reason, Some(ReasonCode::CredentialInvalid), "{what}: not the old token");
        assert_eq!(world.sign_ins().await, before + 1);
    }
}

#[tokio::test]
async fn a_token_is_renewed_in_the_middle_of_a_run() {
    for world in worlds(None).await {
        world.change(&json!({"token_lifetime_s": 1})).await;
        world.sim.sim.set_latency(std::time::Duration::from_millis(60));
        let run = world.sync(SyncInventory::everything()).await;
        let what = world.db.name();
        assert_eq!(run.state.outcome(), Outcome::Succeeded, "{what}: {:?}", run.failures);
        // Eighty listings of 60 ms, four at once, with tokens that hold half a second.
        assert!(world.sign_ins().await > 1, "{what}");
    }
}
