//! Reading an object before and after a write.

use std::time::Duration;

use tp_domain::reason::ReasonCode;
use tp_domain::restore::outcome::ItemOutcome;
use tp_graph::full::FullObject;

use super::Patience;
use super::end::Worked;
use super::item::{Item, Ready};

/// A longer wait for Graph is not slept through between two looks.
const LONGEST_LOOK: Duration = Duration::from_mins(5);

impl Item<'_> {
    /// The object as it is now; none when it is not there.
    pub(super) async fn read(&self, ready: &Ready<'_>) -> Worked<Option<FullObject>> {
        let (id, parent) = (self.id.as_deref(), self.node.parent.as_deref());
        let read = self.work.session.read_one(ready.contract, id, parent).await;
        read.map_err(|error| self.unreadable(&error))
    }

    /// The object after a write: a new one may stay unreadable for a while (PROTOCOL 9.6).
    pub(super) async fn look(&self, ready: &Ready<'_>) -> Worked<FullObject> {
        let slow = ready.contract.create.as_ref().and_then(|create| create.readable_after_seconds);
        let slow = Duration::from_secs(u64::from(slow.unwrap_or(0))).min(LONGEST_LOOK);
        let mut slept = Duration::ZERO;
        for wait in self.waits() {
            let (id, parent) = (self.id.as_deref(), self.node.parent.as_deref());
            match self.work.session.read_one(ready.contract, id, parent).await {
                Ok(Some(live)) => return Ok(live),
                Ok(None) => {}
                Err(error) if self.done.is_empty() => return Err(self.unreadable(&error)),
                Err(error) if error.postponed().is_some() => return Err(self.unreadable(&error)),
                Err(_) => break,
            }
            let wait = wait.max(slow / 8);
            tokio::time::sleep(wait).await;
            slept += wait;
            if slept > slow.max(Duration::from_mins(1)) {
                break;
            }
        }
        Err(self.ended(ItemOutcome::WrittenButDiffers, ReasonCode::NotReadBack, None, None))
    }

    /// The object after the last write: a reading may be a moment older than the write.
    pub(super) async fn settled(&self, ready: &Ready<'_>) -> Worked<FullObject> {
        let mut live = self.look(ready).await?;
        for wait in self.waits().take(2) {
            if ready.differences(&live).is_empty() {
                break;
            }
            tokio::time::sleep(wait).await;
            live = self.look(ready).await?;
        }
        Ok(live)
    }

    /// The pauses between looks: each twice as long as the one before.
    pub(super) fn waits(&self) -> impl Iterator<Item = Duration> + use<> {
        let Patience { first, looks } = self.work.operation.patience;
        (0..looks).map(move |look| first.saturating_mul(1 << look.min(10)))
    }
}
