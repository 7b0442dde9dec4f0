//! Keys of payloads: made once, rotated under load, destroyed for good (PRODUCT G-8, TRUST A31, 38, 41).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use secrecy::ExposeSecret as _;
use tp_domain::payload::PayloadKeys;
use tp_domain::reason::ReasonCode;
use tp_store::{Keys, Rewrapped};
use uuid::Uuid;

use crate::util::worlds;

fn plain(keys: &PayloadKeys) -> ([u8; 32], Vec<[u8; 32]>) {
    let data = keys.data.iter().map(|(_, key)| *key.expose_secret()).collect();
    (*keys.workspace.expose_secret(), data)
}

#[tokio::test]
async fn a_tenant_has_its_own_data_key_and_shares_the_key_of_the_workspace() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let (one, other) = tokio::join!(claim.payload_keys(), claim.payload_keys());
        let (one, other) = (one.unwrap().unwrap(), other.unwrap().unwrap());
        assert_eq!(plain(&one), plain(&other), "{}: two first uses make one key", world.db.name());
        let seen = world.backups("contoso").await.payload_keys().await.unwrap().unwrap();
        assert_eq!((plain(&seen), seen.active), (plain(&one), one.active));
        let foreign = world.backups("fabrikam").await.payload_keys().await.unwrap().unwrap();
        assert_eq!(plain(&foreign).0, plain(&one).0, "the workspace's key is one");
        assert_ne!(plain(&foreign).1, plain(&one).1, "data keys are not");
    }
}

#[tokio::test]
async fn a_rotated_data_key_stays_for_reading_and_goes_when_nothing_needs_it() {
    for world in worlds().await {
        let (console, name) = (world.store().console(), world.db.name());
        let policies = world.backups("contoso").await;
        let before = policies.payload_keys().await.unwrap().unwrap();
        let new = console.tenant_key_rotate(world.workspace, world.contoso).await.unwrap().unwrap();
        let after = policies.payload_keys().await.unwrap().unwrap();
        assert_eq!(after.active, new, "{name}");
        assert_eq!(plain(&after).1[0], plain(&before).1[0], "the old one is readable");
        assert_eq!(plain(&after).0, plain(&before).0, "addresses stay");
        let listed = console.tenant_key_list(world.contoso).await.unwrap();
        let states: Vec<_> = listed.iter().map(|key| (key.version, key.state.as_str())).collect();
        assert_eq!(states, [(1, "retired"), (2, "active")]);
        assert_eq!(console.tenant_keys_prune(world.contoso).await.unwrap(), 1);
        assert_eq!(policies.payload_keys().await.unwrap().unwrap().data.len(), 1);
        let elsewhere = tp_domain::ids::WorkspaceId::from_uuid(Uuid::from_u128(7));
        assert!(console.tenant_key_rotate(elsewhere, world.contoso).await.unwrap().is_none());
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'tenant.key_rotated'";
        assert_eq!(world.store().test_count(audited).await, 1);
    }
}

#[tokio::test]
async fn destroyed_keys_are_gone_and_no_new_one_hides_that() {
    for world in worlds().await {
        let (console, name) = (world.store().console(), world.db.name());
        let claim = world.claimed("contoso").await;
        claim.payload_keys().await.unwrap().unwrap();
        assert_eq!(console.tenant_keys_destroy(world.workspace, world.contoso).await.unwrap(), 1);
        assert_eq!(console.tenant_keys_destroy(world.workspace, world.contoso).await.unwrap(), 0);
        let refused = claim.payload_keys().await.unwrap().unwrap_err();
        assert_eq!(refused, ReasonCode::TenantDisabled, "{name}");
        assert!(console.tenant_key_rotate(world.workspace, world.contoso).await.unwrap().is_none());
        let kept = "SELECT count(*) AS n FROM tenant_keys WHERE key_sealed IS NOT NULL";
        assert_eq!(world.store().test_count(kept).await, 0, "{name}");
        world.backups("fabrikam").await.payload_keys().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_swapped_key_is_not_taken() {
    for world in worlds().await {
        world.backups("contoso").await.payload_keys().await.unwrap().unwrap();
        world.backups("fabrikam").await.payload_keys().await.unwrap().unwrap();
        let swap = "UPDATE tenant_keys SET key_sealed = (SELECT o.key_sealed FROM tenant_keys o \
                    WHERE o.scope_id <> tenant_keys.scope_id) \
                    WHERE scope_id = (SELECT id FROM tenants WHERE slug = 'contoso')";
        world.store().test_execute(swap).await.unwrap();
        let refused = world.backups("contoso").await.payload_keys().await.unwrap().unwrap_err();
        assert_eq!(refused, ReasonCode::InternalError, "{}", world.db.name());
        world.backups("fabrikam").await.payload_keys().await.unwrap().unwrap();
    }
}

/// A31: everything is read while the master key changes; afterwards the old key is needed by nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_master_key_is_rotated_under_load() {
    for world in worlds().await {
        let (store, name) = (world.store().clone(), world.db.name());
        let claim = Arc::new(world.claimed("contoso").await);
        world.backups("fabrikam").await.payload_keys().await.unwrap().unwrap();
        claim.payload_keys().await.unwrap().unwrap();
        let first = Keys::open(&world.db.keys_file, true).unwrap().active();
        let (end, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (claim, end, reads) =
                    (Arc::clone(&claim), Arc::clone(&end), Arc::clone(&reads));
                tokio::spawn(async move {
                    while !end.load(Ordering::Relaxed) {
                        claim.payload_keys().await.unwrap().unwrap();
                        claim.connection().await.unwrap().unwrap();
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            let new = Keys::rotate(&world.db.keys_file).unwrap();
            let mut done = 0;
            loop {
                let round = store.upkeep().rewrap(1).await.unwrap();
                assert_eq!(round.unreadable, 0, "{name}");
                if round == Rewrapped::default() {
                    break;
                }
                done += round.done;
            }
            // Two credentials, one key of the workspace, two data keys.
            assert_eq!(done, 5, "{name}");
            let uses = store.console().master_key_uses().await.unwrap();
            assert_eq!(uses, [(new, 5)], "{name}");
        }
        end.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.await.unwrap();
        }
        assert!(reads.load(Ordering::Relaxed) > 0);
        Keys::forget(&world.db.keys_file, &first).unwrap();
        store.upkeep().rewrap(1).await.unwrap();
        claim.payload_keys().await.unwrap().unwrap();
        claim.connection().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn every_sealed_column_is_in_the_list_of_those_that_are_sealed_anew() {
    for world in worlds().await {
        let catalogue = match world.store().dialect() {
            tp_store::Dialect::Sqlite => {
                "SELECT m.name || '.' || c.name AS t FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND c.name LIKE '%sealed' ORDER BY 1"
            }
            tp_store::Dialect::Postgres => {
                "SELECT table_name || '.' || column_name AS t FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND column_name LIKE '%sealed' ORDER BY 1"
            }
        };
        let columns = world.store().test_texts(catalogue).await;
        let known = [
            "tenant_credentials.credential_sealed",
            "tenant_keys.key_sealed",
            "user_factors.secret_sealed",
            "workspace_keys.key_sealed",
        ];
        assert_eq!(columns, known, "{}: add it to crates/tp-store/src/rewrap.rs", world.db.name());
    }
}
