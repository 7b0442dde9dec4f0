//! Items: one row each, from the last committed on.

use std::time::Duration;

use tp_domain::item::{ItemEnd, ItemState, ItemSubject};
use tp_domain::reason::ReasonCode;
use tp_domain::run::Outcome;
use tp_store::ItemFilter;

use crate::util::{LEASE, key, succeeded, worlds};

fn subjects(count: u32) -> Vec<ItemSubject> {
    (0..count)
        .map(|number| ItemSubject {
            key: format!("roleScopeTag/{number}"),
            policy_type: Some(key("roleScopeTag")),
            graph_id: Some(number.to_string()),
            name: Some(format!("Tag {number}\0")),
        })
        .collect()
}

#[tokio::test]
async fn a_run_goes_on_from_its_last_committed_item() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let id = claim.id();
        let items = claim.items_plan(subjects(5)).await.unwrap();
        assert!(items.iter().all(|item| item.state == ItemState::Pending));
        for item in &items[..2] {
            assert!(claim.item_begin(&item.subject.key).await.unwrap());
            assert!(claim.item_end(&item.subject.key, ItemEnd::Succeeded).await.unwrap());
        }
        assert!(!claim.item_begin(&items[0].subject.key).await.unwrap(), "it has ended");
        assert!(!claim.item_end(&items[0].subject.key, ItemEnd::Succeeded).await.unwrap());
        assert_eq!(claim.counts().succeeded, 2, "{}", world.db.name());
        // In the middle of the third the worker dies, before any progress was written.
        claim.item_begin(&items[2].subject.key).await.unwrap();
        world.db.clock.advance(LEASE + Duration::from_secs(1));
        world.store().upkeep().sweep(LEASE).await.unwrap();
        let heir = world.claim(2).await.unwrap();
        assert_eq!((heir.counts().succeeded, heir.counts().total), (2, Some(5)));
        let items = heir.items_plan(subjects(5)).await.unwrap();
        let states: Vec<ItemState> = items.iter().map(|item| item.state).collect();
        let words: Vec<&str> = states.into_iter().map(ItemState::as_str).collect();
        assert_eq!(words, ["succeeded", "succeeded", "running", "pending", "pending"]);
        let refused = ItemEnd::Failed {
            reason: ReasonCode::GraphRefused,
            graph_request_id: Some("request-7".to_owned()),
        };
        heir.item_begin(&items[2].subject.key).await.unwrap();
        heir.item_end(&items[2].subject.key, refused).await.unwrap();
        let gone = ItemEnd::Skipped(ReasonCode::ItemGone);
        heir.item_end(&items[3].subject.key, gone).await.unwrap();
        heir.item_end(&items[4].subject.key, ItemEnd::Succeeded).await.unwrap();
        let failures = heir.items_failures().await.unwrap();
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].code, failures[0].count), (ReasonCode::GraphRefused, 1));
        assert_eq!(failures[0].items[0].graph_request_id.as_deref(), Some("request-7"));
        let ended = tp_store::Ended { outcome: Outcome::PartiallySucceeded, ..succeeded() };
        heir.finish(ended).await.unwrap();
        let run = world.run("contoso", id).await;
        let counts = run.counts;
        assert_eq!(
            (counts.total, counts.succeeded, counts.failed, counts.skipped),
            (Some(5), 3, 1, 1),
            "counted from the rows, not from what was said"
        );
        let scope = world.runs("contoso").await;
        let failed =
            ItemFilter { state: Some(ItemState::Failed), limit: 10, ..ItemFilter::default() };
        let failed = scope.run_items(id, failed).await.unwrap();
        assert_eq!(failed.len(), 1);
        assert_eq!((failed[0].attempts, failed[0].reason), (2, Some(ReasonCode::GraphRefused)));
        let rest = ItemFilter { after: Some(3), limit: 10, ..ItemFilter::default() };
        assert_eq!(scope.run_items(id, rest).await.unwrap().len(), 1);
        let all = ItemFilter { limit: 10, ..ItemFilter::default() };
        let foreign = world.runs("fabrikam").await;
        assert!(foreign.run_items(id, all).await.unwrap().is_empty(), "another tenant's run");
    }
}

#[tokio::test]
async fn many_items_end_in_one_transaction_and_once() {
    for world in worlds().await {
        let claim = world.claimed("contoso").await;
        let items = claim.items_plan(subjects(4)).await.unwrap();
        let key = |place: usize| items[place].subject.key.clone();
        claim.item_end(&key(0), ItemEnd::Succeeded).await.unwrap();
        let reason = ReasonCode::PayloadDamaged;
        let ends = vec![
            (key(0), ItemEnd::Succeeded),
            (key(1), ItemEnd::Succeeded),
            (key(2), ItemEnd::Failed { reason, graph_request_id: None }),
            (key(3), ItemEnd::Skipped(ReasonCode::StillNeeded)),
            ("unknown".to_owned(), ItemEnd::Succeeded),
        ];
        assert_eq!(claim.items_end(ends.clone()).await.unwrap(), 3, "{}", world.db.name());
        assert_eq!(claim.items_end(ends).await.unwrap(), 0);
        let counts = claim.counts();
        assert_eq!((counts.succeeded, counts.failed, counts.skipped), (2, 1, 1));
        assert_eq!(claim.items_failures().await.unwrap()[0].code, reason);
        let id = claim.id();
        world.db.clock.advance(LEASE + Duration::from_secs(1));
        world.store().upkeep().sweep(LEASE).await.unwrap();
        let late = claim.items_end(vec![(key(0), ItemEnd::Succeeded)]).await;
        assert!(matches!(late, Err(tp_store::StoreError::LeaseLost)), "{late:?}");
        let heir = world.claim(2).await.unwrap();
        assert_eq!((heir.id(), heir.counts().processed()), (id, 4), "counted from the rows");
    }
}
