//! Credentials, what checks found, consent links and warnings, on both databases.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tp_domain::access::{ManageTenant, Need, RotateCredentials, ViewTenant};
use tp_domain::connection::{
    ConnectionReport, CredentialKind, CredentialState, Expiry, ExpiryWarning, Finding, Found,
};
use tp_domain::notification::About;
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use tp_store::{
    Actor, CertificateCredential, CertificateError, ConsentAnswer, ConsentState, Credential,
    CredentialRefused, NewCredential, NewTenant, Refused, TenantScope,
};

use crate::util::{World, at, new_tenant, worlds};

/// How many audit entries there are of an action.
macro_rules! of_action {
    ($action:literal) => {
        concat!("SELECT count(*) AS n FROM audit_entries WHERE action = '", $action, "'")
    };
}

const DAY: Duration = Duration::from_hours(24);

impl World {
    async fn enter<C: Need>(&self, actor: &Actor, slug: &str) -> Result<TenantScope<C>, Refused> {
        self.store().enter::<C>(actor, &at(slug)).await
    }

    async fn rotate(&self) -> TenantScope<RotateCredentials> {
        let owner = self.store().test_actor("owner@example.com").await;
        self.enter(&owner, "contoso").await.unwrap()
    }

    async fn view(&self) -> TenantScope<ViewTenant> {
        self.enter(&self.reader, "contoso").await.unwrap()
    }

    async fn secret(
        &self,
        expires_at: Option<Timestamp>,
    ) -> tp_domain::connection::CredentialFacts {
        let new = NewCredential::Secret { secret: "n3w".into(), expires_at };
        let active = CredentialState::Active;
        self.rotate().await.credential_set(None, &new, active, None).await.unwrap()
    }

    async fn audited(&self, count: &'static str) -> i64 {
        self.store().test_count(count).await
    }
}

#[tokio::test]
async fn a_claim_opens_the_credential_of_its_own_tenant() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let connection = claim.connection().await.unwrap().unwrap();
        let Credential::Secret(secret) = &connection.credential else { panic!("a secret") };
        assert_eq!(secret.expose_secret(), "s3cret");
        assert_eq!(connection.cloud, "global");
        let swap = "UPDATE tenant_credentials SET credential_sealed = (SELECT c.credential_sealed FROM tenant_credentials c JOIN tenants t ON t.id = c.scope_id WHERE t.slug = 'fabrikam') WHERE scope_id = (SELECT id FROM tenants WHERE slug = 'contoso')";
        world.store().test_execute(swap).await.unwrap();
        let moved = claim.connection().await.unwrap();
        assert_eq!(moved.unwrap_err(), ReasonCode::CredentialUnreadable, "{}", world.db.name());
        world.store().test_execute("DELETE FROM tenant_credentials").await.unwrap();
        assert_eq!(claim.connection().await.unwrap().unwrap_err(), ReasonCode::CredentialMissing);
        let off = "UPDATE tenants SET status = 'disabled' WHERE slug = 'contoso'";
        world.store().test_execute(off).await.unwrap();
        assert_eq!(claim.connection().await.unwrap().unwrap_err(), ReasonCode::TenantDisabled);
    }
}

#[tokio::test]
async fn a_new_secret_takes_the_place_of_the_old_one() {
    for world in worlds().await {
        let end = world.db.store.now().plus(DAY * 9);
        let facts = world.secret(Some(end)).await;
        assert_eq!((facts.kind, facts.expires_at), (CredentialKind::Secret, Some(end)));
        assert_eq!(facts.set_by, "Olive Owner");
        let view = world.view().await.connection().await.unwrap();
        assert_eq!(view.active.as_ref(), Some(&facts), "{}", world.db.name());
        assert_eq!(view.pending, None);
        assert_eq!(facts.expiry(world.db.store.now()), Expiry::Soon { days: 9 });
        let claim = world.claimed("contoso").await;
        let connection = claim.connection().await.unwrap().unwrap();
        let Credential::Secret(secret) = connection.credential else { panic!("a secret") };
        assert_eq!(secret.expose_secret(), "n3w");
        let held =
            "SELECT count(*) AS n FROM tenant_credentials WHERE credential_sealed LIKE '%n3w%'";
        assert_eq!(world.store().test_count(held).await, 0);
        // One for each tenant that was added, one for the change.
        assert_eq!(world.audited(of_action!("tenant.credential_set")).await, 3);
        let told = "SELECT count(*) AS n FROM audit_entries WHERE details LIKE '%n3w%' OR details LIKE '%s3cret%'";
        assert_eq!(world.store().test_count(told).await, 0);
    }
}

#[tokio::test]
async fn only_managers_replace_a_credential() {
    for world in worlds().await {
        for actor in [&world.operator, &world.reader] {
            let refused = world.enter::<RotateCredentials>(actor, "contoso").await;
            assert!(matches!(refused, Err(Refused::Forbidden(_))), "{}", world.db.name());
        }
        let foreign = world.enter::<RotateCredentials>(&world.guest, "contoso").await;
        assert!(matches!(foreign, Err(Refused::NotFound)));
        assert!(world.enter::<RotateCredentials>(&world.guest, "fabrikam").await.is_ok());
    }
}

#[tokio::test]
async fn the_first_credential_needs_a_client_id() {
    for world in worlds().await {
        let bare = NewTenant { credential: None, ..new_tenant("bare", 9) };
        world.store().console().tenant_create(world.workspace, bare).await.unwrap();
        let scope: TenantScope<RotateCredentials> =
            world.enter(&world.owner, "bare").await.unwrap();
        let (new, active) = (NewCredential::from("x"), CredentialState::Active);
        let refused = scope.credential_set(None, &new, active, None).await;
        assert!(matches!(refused, Err(CredentialRefused::NoClient)), "{}", world.db.name());
        scope.credential_set(Some("app".to_owned()), &new, active, None).await.unwrap();
        let seen: TenantScope<ViewTenant> = world.enter(&world.owner, "bare").await.unwrap();
        assert_eq!(seen.tenant().client_id.as_deref(), Some("app"));
    }
}

#[tokio::test]
async fn a_key_pair_waits_until_it_is_used() {
    for world in worlds().await {
        let (store, what) = (world.store(), world.db.name());
        let own = CertificateCredential::generate("TenantPilot contoso", store.now()).unwrap();
        let (pem, print) = (own.certificate_pem(), own.thumbprint());
        let new = NewCredential::Certificate(own.clone());
        let scope = world.rotate().await;
        let refused = scope.credential_use(None).await;
        assert!(matches!(refused, Err(CredentialRefused::NonePending)), "{what}");
        scope.credential_set(None, &new, CredentialState::Pending, None).await.unwrap();
        let view = world.view().await;
        let seen = view.connection().await.unwrap();
        assert_eq!(
            seen.active.unwrap().kind,
            CredentialKind::Secret,
            "{what}: still signed in with"
        );
        assert_eq!(seen.pending.unwrap().thumbprint.as_deref(), Some(print.as_str()));
        let shown = view.certificate_pem(CredentialState::Pending).await.unwrap();
        assert_eq!(shown.as_deref(), Some(pem.as_str()));
        assert_eq!(view.certificate_pem(CredentialState::Active).await.unwrap(), None);

        assert!(scope.credential_discard(None).await.unwrap(), "{what}");
        assert!(!scope.credential_discard(None).await.unwrap());
        scope.credential_set(None, &new, CredentialState::Pending, None).await.unwrap();
        let used = scope.credential_use(None).await.unwrap();
        assert_eq!((used.kind, used.state), (CredentialKind::Certificate, CredentialState::Active));
        assert_eq!(view.connection().await.unwrap().pending, None);
        let claim = world.claimed("contoso").await;
        let connection = claim.connection().await.unwrap().unwrap();
        let Credential::Certificate(opened) = connection.credential else { panic!("{what}") };
        assert_eq!(opened.private_key(), own.private_key());
        assert_eq!(opened.certificate(), own.certificate());
        for (action, times) in [
            (of_action!("tenant.credential_prepared"), 2),
            (of_action!("tenant.credential_used"), 1),
            (of_action!("tenant.credential_discarded"), 1),
        ] {
            assert_eq!(world.audited(action).await, times, "{what} {action}");
        }
        world.db.clock.advance(DAY * 800);
        assert_eq!(claim.connection().await.unwrap().unwrap_err(), ReasonCode::CredentialExpired);
        let late = SecretString::from(pem);
        let late = CertificateCredential::from_pem(&late, store.now());
        assert_eq!(late.unwrap_err(), CertificateError::NoKey);
    }
}

fn report(world: &World, run: tp_domain::ids::RunId, granted: Option<&[&str]>) -> ConnectionReport {
    ConnectionReport {
        run,
        checked_at: world.store().now(),
        client_id: "app".to_owned(),
        cloud: "global".to_owned(),
        credential: Some(CredentialKind::Secret),
        token: if granted.is_some() {
            Finding::YES
        } else {
            Finding::no(ReasonCode::CredentialExpired)
        },
        consent: Finding::YES,
        granted: granted.map(|list| list.iter().map(|name| (*name).to_owned()).collect()),
        licence: Finding::YES,
        plans: vec!["INTUNE_A".to_owned()],
        approval: Finding::NO,
        approval_for: Vec::new(),
    }
}

#[tokio::test]
async fn what_a_check_found_is_kept_and_grants_outlive_a_failure() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let good = report(&world, claim.id(), Some(&["Group.Read.All"]));
        claim.connection_report(&good).await.unwrap();
        let view = world.view().await.connection().await.unwrap();
        assert_eq!(view.report.as_ref(), Some(&good), "{}", world.db.name());
        assert_eq!(view.granted, Some(vec!["Group.Read.All".to_owned()]));
        assert_eq!(view.granted_at, Some(good.checked_at));
        world.db.clock.advance(Duration::from_secs(1));
        let bad = report(&world, claim.id(), None);
        claim.connection_report(&bad).await.unwrap();
        let view = world.view().await.connection().await.unwrap();
        assert_eq!(view.report.unwrap().token.found, Found::No);
        assert_eq!(view.granted, Some(vec!["Group.Read.All".to_owned()]), "by the latest token");
        assert_eq!(view.granted_at, Some(good.checked_at));
        let other: TenantScope<ViewTenant> = world.enter(&world.owner, "fabrikam").await.unwrap();
        assert_eq!(other.connection().await.unwrap().granted, None);
        // Another app: what the old one was granted says nothing of it.
        let (new, active) = (NewCredential::from("x"), CredentialState::Active);
        let scope = world.rotate().await;
        scope.credential_set(Some("other".to_owned()), &new, active, None).await.unwrap();
        let view = world.view().await.connection().await.unwrap();
        assert_eq!((view.report, view.granted), (None, None));
        let fleet = world.store().enter_fleet::<ViewTenant>(&world.owner).unwrap();
        let lines = fleet.tenant_summaries().await.unwrap();
        assert!(lines.iter().all(|line| line.connection.active.is_some()));
    }
}

#[tokio::test]
async fn a_consent_link_works_once_in_its_session_and_in_time() {
    for world in worlds().await {
        let (store, hall) = (world.store(), world.store().hall());
        let manage: TenantScope<ManageTenant> = world.enter(&world.owner, "contoso").await.unwrap();
        let ask = async || manage.consent_ask(None).await.unwrap().unwrap();
        let given = ConsentAnswer::Given;
        let state = ask().await;
        let hashed = "SELECT count(*) AS n FROM consent_requests WHERE length(state_hash) = 32";
        assert_eq!(store.test_count(hashed).await, 1, "{}", world.db.name());
        let parsed = ConsentState::parse(state.expose()).unwrap();
        // The owner in another browser is another session.
        let elsewhere = store.test_actor("owner@example.com").await;
        let take =
            async |actor: &Actor| hall.consent_take(actor, &parsed, given, None).await.unwrap();
        assert_eq!(take(&elsewhere).await, None);
        assert_eq!(take(&world.operator).await, None);
        assert_eq!(take(&world.owner).await, Some(world.contoso));
        assert_eq!(take(&world.owner).await, None, "once");
        let late = ask().await;
        world.db.clock.advance(Duration::from_mins(16));
        assert_eq!(hall.consent_take(&world.owner, &late, given, None).await.unwrap(), None);
        let fresh = ask().await;
        let rows = "SELECT count(*) AS n FROM consent_requests";
        assert_eq!(store.test_count(rows).await, 1, "what is over is cleared away");
        let refused = ConsentAnswer::Refused(ReasonCode::ConsentMissing);
        let taken = hall.consent_take(&world.owner, &fresh, refused, None).await.unwrap();
        assert_eq!(taken, Some(world.contoso));
        assert_eq!(world.audited(of_action!("tenant.consent_asked")).await, 3);
        assert_eq!(world.audited(of_action!("tenant.consent_answered")).await, 2);
        for bad in ["", "x", &"a".repeat(42), &"%".repeat(43)] {
            assert!(ConsentState::parse(bad).is_none(), "{bad}");
        }
    }
}

#[tokio::test]
async fn people_are_warned_once_per_threshold() {
    for world in worlds().await {
        let (store, hall) = (world.store(), world.store().hall());
        let upkeep = store.upkeep();
        let warn = async || upkeep.credential_warnings().await.unwrap();
        assert_eq!(warn().await, 0, "{}: nobody has said when it ends", world.db.name());
        let end = store.now().plus(DAY * 31);
        let facts = world.secret(Some(end)).await;
        assert_eq!(warn().await, 0);
        let mut expected = 0;
        for (advance, warning) in [
            (DAY * 2, ExpiryWarning::Month),
            (DAY * 22, ExpiryWarning::Week),
            (DAY * 6, ExpiryWarning::Day),
        ] {
            world.db.clock.advance(advance);
            // Two processes look at once.
            let (one, other) = tokio::join!(warn(), warn());
            assert_eq!(one + other, 1, "{} {warning}", world.db.name());
            assert_eq!(warn().await, 0);
            expected += 1;
            assert_eq!(hall.notification_count(&world.owner).await.unwrap(), expected);
            let list = hall.notification_list(&world.owner, true, 50).await.unwrap();
            let newest = &list[0];
            let kind = CredentialKind::Secret;
            let about = About::Expiry { credential: kind, warning, expires_at: end };
            assert_eq!(newest.about, about);
            assert_eq!(newest.tenant_slug.as_deref(), Some("contoso"));
            assert!(newest.sentence().starts_with("The client secret ends within"));
        }
        for other in [&world.operator, &world.reader, &world.guest] {
            assert_eq!(hall.notification_count(other).await.unwrap(), 0, "cannot replace it");
        }
        world.db.clock.advance(DAY * 2);
        assert_eq!(warn().await, 0, "it is over: runs say so");
        let list = hall.notification_list(&world.owner, false, 2).await.unwrap();
        assert_eq!(list.len(), 2);
        assert!(!hall.notification_read(&world.reader, list[0].id).await.unwrap(), "not theirs");
        assert!(hall.notification_read(&world.owner, list[0].id).await.unwrap());
        assert_eq!(hall.notification_read_all(&world.owner).await.unwrap(), 2);
        assert_eq!(hall.notification_list(&world.owner, true, 50).await.unwrap().len(), 0);
        // A new credential is warned of anew, at its own threshold only.
        let next = world.secret(Some(store.now().plus(DAY * 5))).await;
        assert_ne!(next.id, facts.id);
        assert_eq!(warn().await, 1);
    }
}
