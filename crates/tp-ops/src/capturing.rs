//! Capturing policies in full: what a backup and a capture of single policies share.
//!
//! Each type is a step of its own, as in a sync, and the inventory learns what the listing told. What is
//! committed after each hundred policies is what a run goes on from when it is taken over.

mod capture;
mod tally;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::watch;
use tp_catalog::contract::Contract;
use tp_domain::completeness::Completeness;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{RunStep, Waiting};
use tp_engine::operation::Stop;
use tp_graph::session::GraphSession;
use tp_payload::Vault;
use tp_store::{BackupEntry, BackupWritten, ClaimedRun, OpenBackup, StoreError};

use crate::Tools;
use crate::sign_in::{failed, showing_waits};

pub(crate) use capture::{Names, Prepared, capture_one, prepare_archived, prepare_foreign, put};
pub(crate) use tally::Tally;
use types::TypeRead;

/// Types that are read at once. Each is bounded by Graph's limits; more would only wait there.
const TYPES_AT_ONCE: usize = 4;

/// How long a run waits before it asks again whether another has let go of its types.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(2);

/// How often a payload that vanished between its storing and its reference is stored again.
pub(crate) const TRIES: usize = 3;

/// Where it is written down what became of policies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// In a backup set.
    Set(OpenBackup),
    /// At the items of the run.
    Items,
}

/// Chosen policies, by type: their Graph ids.
pub(crate) type Chosen = BTreeMap<PolicyType, BTreeSet<String>>;

/// What all types of one run share.
#[derive(Debug)]
pub(crate) struct Capturing<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) run: &'a ClaimedRun,
    pub(crate) target: Target,
    pub(crate) session: GraphSession,
    pub(crate) vault: Vault,
    pub(crate) names: Names,
    /// The chosen policies; none when whole types are chosen.
    pub(crate) chosen: Option<Chosen>,
}

impl Capturing<'_> {
    /// Reads all types whose steps are not complete, and counts them up.
    pub(crate) async fn read_types(
        &self,
        steps: &[RunStep],
        waiting: &mut watch::Receiver<Option<Waiting>>,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let open = steps.iter().filter(|step| step.completeness != Some(Completeness::Complete));
        // What policies refer to first: their captures keep its names.
        let is_foundation = |key: &PolicyType| {
            self.tools.catalog.contract(key).is_some_and(Contract::is_foundation)
        };
        let (foundations, policies): (Vec<PolicyType>, Vec<PolicyType>) =
            open.map(|step| step.policy_type.clone()).partition(is_foundation);
        let progress = self.run.progress();
        progress.phase(tally.phase());
        for types in [foundations, policies] {
            let reads: Vec<BoxFuture<'_, Read>> =
                types.into_iter().map(|key| self.read_type(key).boxed()).collect();
            let mut reads = stream::iter(reads).buffer_unordered(TYPES_AT_ONCE);
            while let Some(read) = showing_waits(self.run, waiting, reads.next()).await {
                tally.add(read?);
                progress.phase(tally.phase());
            }
        }
        Ok(())
    }

    /// Whether everything is read in full, whatever the listing says of its last change.
    const fn is_full(&self) -> bool {
        match &self.target {
            Target::Set(set) => set.is_full_pass,
            Target::Items => true,
        }
    }
}

/// Writes down what became of some policies of one type.
pub(crate) async fn write(
    run: &ClaimedRun,
    target: Target,
    key: &PolicyType,
    entries: Vec<BackupEntry>,
) -> Result<BackupWritten, StoreError> {
    match target {
        Target::Set(set) => run.backup_write(set.id, key, entries).await,
        Target::Items => run.capture_write(key, entries).await,
    }
}

/// Stores contents and writes down the versions; says how many of them are new.
pub(crate) async fn keep(
    run: &ClaimedRun,
    vault: &Vault,
    names: &Names,
    target: Target,
    key: &PolicyType,
    mut prepared: Vec<Prepared>,
) -> Result<u64, Stop> {
    let mut new_versions = 0;
    for _ in 0..TRIES {
        if prepared.is_empty() {
            return Ok(new_versions);
        }
        let captured = capture::store(run, vault, names, &prepared).await?;
        let entries =
            captured.into_iter().map(|one| BackupEntry::Captured(Box::new(one))).collect();
        let written = write(run, target, key, entries).await?;
        new_versions += written.new_versions;
        // Collected as garbage in between, or sealed anew: from the start with those.
        let mut place = 0;
        prepared.retain(|_| {
            place += 1;
            written.again.contains(&(place - 1))
        });
    }
    if prepared.is_empty() { Ok(new_versions) } else { Err(failed(ReasonCode::StorageUnavailable)) }
}

/// A type that was read, or not.
type Read = Result<TypeRead, Stop>;
