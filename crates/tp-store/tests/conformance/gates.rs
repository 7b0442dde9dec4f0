//! Gates and the authority of a run before it begins (PRODUCT A-6).

use std::time::Duration;

use tp_domain::access::{ManageSettings, Role, ViewSettings};
use tp_domain::gate::GateKind;
use tp_domain::inventory_sync::SyncInventory;
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_store::{HowStarted, NewGate, Refused, StartRefused};

use crate::util::worlds;

fn gate(kind: GateKind) -> NewGate {
    NewGate { kind, note: "Change freeze\u{7}".to_owned(), expires_at: None }
}

#[tokio::test]
async fn a_closed_gate_stops_starts_and_what_is_queued() {
    for world in worlds().await {
        let sync = GateKind::Kind(OperationKind::InventorySync);
        world.start("contoso", SyncInventory::everything()).await;
        let whole = world.whole::<ManageSettings>().await;
        whole.gate_close(gate(sync), None).await.unwrap();
        let scope = world.sync_scope("fabrikam").await;
        let refused = scope.run_start(&SyncInventory::everything(), HowStarted::default()).await;
        let Err(StartRefused::GateClosed(closed)) = refused else { panic!("{refused:?}") };
        assert_eq!(closed.note, "Change freeze", "{}", world.db.name());
        let claim = world.claim(1).await.unwrap();
        assert_eq!(claim.refused(), Some(ReasonCode::GateClosed));
        assert_eq!(claim.still_allowed().await.unwrap(), Some(ReasonCode::GateClosed));
        assert!(whole.gate_open(sync, None).await.unwrap());
        assert!(!whole.gate_open(sync, None).await.unwrap(), "it is open");
        assert_eq!(claim.still_allowed().await.unwrap(), None);
        assert!(scope.run_start(&SyncInventory::everything(), HowStarted::default()).await.is_ok());
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action LIKE 'gate.%'";
        assert_eq!(world.store().test_count(audited).await, 2);
        let seen = world.whole::<ViewSettings>().await.gate_list().await.unwrap();
        assert!(seen.is_empty());
    }
}

#[tokio::test]
async fn a_gate_over_everything_expires() {
    for world in worlds().await {
        let until = world.store().now().plus(Duration::from_mins(10));
        let closed = NewGate { expires_at: Some(until), ..gate(GateKind::All) };
        assert!(world.store().console().gate_close_everywhere(closed).await.unwrap());
        let seen = world.whole::<ViewSettings>().await.gate_list().await.unwrap();
        assert_eq!(seen.len(), 1, "{}", world.db.name());
        let scope = world.sync_scope("contoso").await;
        let all = SyncInventory::everything();
        let start = || scope.run_start(&all, HowStarted::default());
        assert!(matches!(start().await, Err(StartRefused::GateClosed(_))));
        world.db.clock.advance(Duration::from_mins(10));
        assert!(start().await.is_ok());
        let console = world.store().console();
        let opened = console.gate_open_everywhere(GateKind::All).await.unwrap();
        assert!(opened, "the row was there, without effect");
    }
}

#[tokio::test]
async fn a_run_whose_initiator_lost_the_right_is_refused_before_it_begins() {
    for world in worlds().await {
        let start = || world.start("contoso", SyncInventory::everything());
        let console = world.store().console();
        let operator = world.operator.user();
        start().await;
        console.member_set(world.workspace, None, operator, Role::Reader).await.unwrap();
        let claim = world.claim(1).await.unwrap();
        assert_eq!(claim.refused(), Some(ReasonCode::AuthorityLost), "{}", world.db.name());
        console.member_set(world.workspace, None, operator, Role::Operator).await.unwrap();
        assert_eq!(claim.still_allowed().await.unwrap(), None);
        let disable = "UPDATE users SET status = 'disabled' WHERE email = 'operator@example.com'";
        world.store().test_execute(disable).await.unwrap();
        assert_eq!(claim.still_allowed().await.unwrap(), Some(ReasonCode::AuthorityLost));
        let enable = "UPDATE users SET status = 'active' WHERE email = 'operator@example.com'";
        world.store().test_execute(enable).await.unwrap();
        let off = "UPDATE tenants SET status = 'disabled' WHERE slug = 'contoso'";
        world.store().test_execute(off).await.unwrap();
        assert_eq!(claim.still_allowed().await.unwrap(), Some(ReasonCode::TenantDisabled));
    }
}

#[tokio::test]
async fn a_workspace_opens_for_its_own_members_only() {
    for world in worlds().await {
        let store = world.store();
        let whole = store.enter_workspace::<ViewSettings>(&world.reader, world.workspace).await;
        assert!(whole.is_ok(), "{}", world.db.name());
        let manage = store.enter_workspace::<ManageSettings>(&world.reader, world.workspace).await;
        assert!(matches!(manage, Err(Refused::Forbidden(_))));
        let guest = store.enter_workspace::<ViewSettings>(&world.guest, world.workspace).await;
        assert!(matches!(guest, Err(Refused::NotFound)), "a member of one tenant only");
        let other = tp_domain::ids::WorkspaceId::from_uuid(uuid::Uuid::from_u128(9));
        let foreign = store.enter_workspace::<ViewSettings>(&world.owner, other).await;
        assert!(matches!(foreign, Err(Refused::NotFound)));
    }
}
