//! Which object holds which payload: reserving, referring, collecting, sealing anew (PRODUCT S-1).

use std::time::Duration;

use tp_domain::ids::CopyId;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_store::{ClaimedRun, PayloadPlace, PayloadWant, PayloadWritten};
use uuid::Uuid;

use crate::util::{World, worlds};

const GRACE: Duration = Duration::from_hours(24);

fn want(number: u8) -> PayloadWant {
    PayloadWant { kind: PayloadKind::Version, address: PayloadAddress::new([number; 32]) }
}

fn holder(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

async fn written(claim: &ClaimedRun) -> PayloadWritten {
    let key = claim.payload_keys().await.unwrap().unwrap().active;
    PayloadWritten { key, text_bytes: 100, object_bytes: 60 }
}

/// Reserves, "writes" and refers.
async fn store(claim: &ClaimedRun, number: u8, by: u128) -> CopyId {
    let reserved = claim.payloads_reserve(vec![want(number)]).await.unwrap()[0];
    let written = written(claim).await;
    let address = want(number).address;
    assert!(claim.payload_refer(address, reserved.copy, Some(written), holder(by)).await.unwrap());
    reserved.copy
}

/// A world with a claim whose lease the clock of these stories cannot end.
async fn claimed(world: &World) -> ClaimedRun {
    world.claimed("contoso").await
}

#[tokio::test]
async fn a_payload_is_stored_once_however_often_it_is_wanted() {
    for world in worlds().await {
        let (claim, name) = (claimed(&world).await, world.db.name());
        let wants = vec![want(2), want(1), want(2)];
        let reserved = claim.payloads_reserve(wants).await.unwrap();
        assert_eq!(reserved[0], reserved[2], "{name}");
        assert_ne!(reserved[0].copy, reserved[1].copy);
        assert!(reserved.iter().all(|one| !one.stored));
        assert_eq!(claim.payload_place(want(1).address).await.unwrap(), None, "not written yet");
        let copy = store(&claim, 1, 1).await;
        assert_eq!(copy, reserved[1].copy, "{name}: a pending copy is taken up again");
        let again = claim.payloads_reserve(vec![want(1)]).await.unwrap()[0];
        assert_eq!((again.copy, again.stored), (copy, true));
        assert!(claim.payload_refer(want(1).address, copy, None, holder(2)).await.unwrap());
        let place = PayloadPlace { kind: PayloadKind::Version, address: want(1).address, copy };
        assert_eq!(claim.payload_place(want(1).address).await.unwrap(), Some(place));
        // The second is reserved and not stored.
        let asked = [want(1).address, want(2).address, want(3).address];
        let places = claim.payload_places(&asked).await.unwrap();
        assert_eq!(places.into_values().collect::<Vec<_>>(), [place], "{name}");
        let policies = world.backups("contoso").await;
        assert_eq!(policies.payload_place(want(1).address).await.unwrap(), Some(place));
        let foreign = world.backups("fabrikam").await;
        assert_eq!(foreign.payload_place(want(1).address).await.unwrap(), None);
        let rows = "SELECT count(*) AS n FROM payload_refs";
        assert_eq!(world.store().test_count(rows).await, 2);
    }
}

#[tokio::test]
async fn only_what_nothing_has_needed_for_long_is_condemned() {
    for world in worlds().await {
        let (claim, name) = (claimed(&world).await, world.db.name());
        store(&claim, 1, 1).await;
        store(&claim, 2, 2).await;
        let copy = store(&claim, 3, 3).await;
        assert_eq!(claim.payload_release(holder(2)).await.unwrap(), 1);
        assert_eq!(claim.payload_release(holder(3)).await.unwrap(), 1);
        let none = claim.payloads_condemn(GRACE, 10).await.unwrap();
        assert_eq!(none, [], "{name}: it may be wanted again at once");
        age(&world).await;
        // Wanted again in time: touched, so not old any more.
        assert!(claim.payload_refer(want(3).address, copy, None, holder(4)).await.unwrap());
        let condemned = claim.payloads_condemn(GRACE, 10).await.unwrap();
        let addresses: Vec<_> = condemned.iter().map(|one| one.address).collect();
        assert_eq!(addresses, [want(2).address], "{name}");
        assert_eq!(claim.payload_place(want(2).address).await.unwrap(), None);
        assert!(claim.payload_forget(condemned[0]).await.unwrap());
        assert!(!claim.payload_forget(condemned[0]).await.unwrap());
    }
}

/// The race: a collector sleeps between "this is garbage" and "delete it", and the payload is wanted again.
#[tokio::test]
async fn a_collector_that_slept_can_delete_nothing_that_is_needed() {
    for world in worlds().await {
        let (claim, name) = (claimed(&world).await, world.db.name());
        let old = store(&claim, 1, 1).await;
        // A capture that saw it stored, and goes on only after the collector.
        let seen = claim.payloads_reserve(vec![want(1)]).await.unwrap()[0];
        assert_eq!((seen.copy, seen.stored), (old, true));
        claim.payload_release(holder(1)).await.unwrap();
        age(&world).await;
        let condemned = claim.payloads_condemn(GRACE, 10).await.unwrap();
        assert_eq!(condemned[0].copy, old);
        let late = claim.payload_refer(want(1).address, old, None, holder(2)).await.unwrap();
        assert!(!late, "{name}: the capture learns that it is gone");
        let fresh = claim.payloads_reserve(vec![want(1)]).await.unwrap()[0];
        assert!(!fresh.stored && fresh.copy != old, "{name}: never the same object again");
        let written = written(&claim).await;
        let address = want(1).address;
        assert!(claim.payload_refer(address, fresh.copy, Some(written), holder(2)).await.unwrap());
        // The collector wakes: its object is another one, and its row is not condemned any more.
        let orphans = vec![(address, old), (address, fresh.copy)];
        assert_eq!(claim.payload_orphans(orphans).await.unwrap(), [(address, old)], "{name}");
        assert!(!claim.payload_forget(condemned[0]).await.unwrap(), "{name}");
        assert_eq!(claim.payload_place(address).await.unwrap().unwrap().copy, fresh.copy);
    }
}

#[tokio::test]
async fn referring_and_condemning_at_once_never_lose_a_payload() {
    for world in worlds().await {
        let claim = claimed(&world).await;
        for round in 0..20_u8 {
            let copy = store(&claim, round, 1).await;
            claim.payload_release(holder(1)).await.unwrap();
            age(&world).await;
            let address = want(round).address;
            let (condemned, referred) = tokio::join!(
                claim.payloads_condemn(GRACE, 100),
                claim.payload_refer(address, copy, None, holder(2)),
            );
            let is_gone = condemned.unwrap().iter().any(|one| one.address == address);
            assert_ne!(is_gone, referred.unwrap(), "{} round {round}", world.db.name());
        }
    }
}

#[tokio::test]
async fn payloads_of_a_retired_key_are_sealed_anew_and_then_the_key_goes() {
    for world in worlds().await {
        let (claim, name) = (claimed(&world).await, world.db.name());
        let (console, address) = (world.store().console(), want(1).address);
        let old = store(&claim, 1, 1).await;
        let before = written(&claim).await.key;
        assert_eq!(claim.payloads_outdated(None, 10).await.unwrap(), []);
        console.tenant_key_rotate(world.workspace, world.contoso).await.unwrap().unwrap();
        assert_eq!(console.tenant_keys_prune(world.contoso).await.unwrap(), 0, "{name}: in use");
        let cut_off = claim.payloads_outdated(None, 10).await.unwrap();
        let outdated = claim.payloads_outdated(None, 10).await.unwrap();
        assert_eq!((outdated.len(), outdated[0].place.copy), (1, old));
        assert_eq!(claim.payloads_outdated(Some(address), 10).await.unwrap(), [], "behind it");
        let written = written(&claim).await;
        let quiet = vec![(address, old), (address, outdated[0].to), (address, cut_off[0].to)];
        let orphans = claim.payload_orphans(quiet).await.unwrap();
        assert_eq!(orphans, [(address, cut_off[0].to)], "{name}: what is being written is none");
        assert!(!claim.payload_resealed(cut_off[0], written.key, 61).await.unwrap(), "{name}");
        assert!(claim.payload_resealed(outdated[0], written.key, 61).await.unwrap(), "{name}");
        assert!(!claim.payload_resealed(outdated[0], written.key, 61).await.unwrap(), "{name}");
        let place = claim.payload_place(address).await.unwrap().unwrap();
        assert_eq!(place.copy, outdated[0].to);
        assert_eq!(claim.payloads_outdated(None, 10).await.unwrap(), []);
        assert_eq!(claim.payload_keys_prune().await.unwrap(), 1, "{name}");
        assert_eq!(console.tenant_keys_prune(world.contoso).await.unwrap(), 0);
        // A writer that still had the old key comes too late, and is told.
        let late = PayloadWritten { key: before, text_bytes: 1, object_bytes: 1 };
        let reserved = claim.payloads_reserve(vec![want(9)]).await.unwrap()[0];
        let address = want(9).address;
        let told =
            claim.payload_refer(address, reserved.copy, Some(late), holder(5)).await.unwrap();
        assert!(!told, "{name}: a destroyed key seals nothing that is needed");
    }
}

/// Makes every payload look old: the clock of the world would end the lease.
async fn age(world: &World) {
    let text = "UPDATE payloads SET touched_at = touched_at - 90000000000";
    world.store().test_execute(text).await.unwrap();
}
