//! payloads.prune: the housekeeping of a tenant's stored contents.
//!
//! Why none of it can delete what is needed, whatever sleeps or dies when: decision 0013. What is done is
//! done: a run that is taken over goes on with what is still there.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tp_domain::ids::{CopyId, TenantId};
use tp_domain::operation::OperationKind;
use tp_domain::payload::PayloadAddress;
use tp_domain::payloads_prune::GRACE;
use tp_domain::reason::ReasonCode;
use tp_domain::run::Failure;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_payload::{ObjectName, Vault};
use tp_store::{ClaimedRun, Outdated};

use crate::Tools;
use crate::sign_in::failed;
use crate::stored::{fault, payload_stop, vault};

/// Objects that are dealt with together.
const BATCH: u32 = 100;

/// Objects that are deleted or written at once.
const AT_ONCE: usize = 8;

/// Carries out `payloads.prune`.
#[derive(Debug)]
pub struct PrunePayloadsOperation {
    tools: Tools,
    grace: Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    resealed: u64,
    keys_destroyed: u64,
    files: u64,
    deleted: u64,
    orphans: u64,
    unfinished: usize,
}

/// An object that no row names.
type Orphan = (PayloadAddress, CopyId);

impl PrunePayloadsOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self::with_grace(tools, GRACE)
    }

    /// The same with another grace. Nothing that is needed depends on it: with none, captures that are under
    /// way store again what was just removed.
    pub const fn with_grace(tools: Tools, grace: Duration) -> Self {
        Self { tools, grace }
    }
}

impl Operation for PrunePayloadsOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::PayloadsPrune
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // Between two steps the store and the database may disagree; what is left is an orphan.
        let run = context.run;
        context.until_stopped(self.prune(run))
    }
}

impl PrunePayloadsOperation {
    async fn prune(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let tenant = run.claimed().tenant().ok_or_else(|| failed(ReasonCode::InternalError))?;
        let (mut done, mut failures) = (Done::default(), Vec::new());
        match vault(&self.tools, run).await {
            Ok(vault) => self.reseal(run, &vault, &mut done, &mut failures).await?,
            // The tenant's keys were destroyed: nothing can be sealed anew, but garbage goes all the same.
            Err(Stop::Failed { reason: ReasonCode::TenantDisabled, .. }) => {}
            Err(stop) => return Err(stop),
        }
        // What they held can be condemned by this run already.
        done.files = run.artefacts_expire().await?;
        run.progress().add(done.files, 0, 0);
        done.keys_destroyed = run.payload_keys_prune().await?;
        self.condemned(run, tenant, &mut done).await?;
        self.orphans(run, tenant, &mut done).await?;
        run.progress().phase("Removing what was being written when a machine stopped");
        let before = run.now().minus(GRACE);
        let swept = self.tools.payloads.remove_unfinished(before).await.map_err(payload_stop)?;
        done.unfinished = swept;
        run.progress().add(u64::try_from(swept).unwrap_or(u64::MAX), 0, 0);
        run.progress().total(run.counts().processed());
        let context = json!({
            "resealed": done.resealed,
            "keys_destroyed": done.keys_destroyed,
            "files": done.files,
            "deleted": done.deleted,
            "orphans": done.orphans,
            "unfinished": done.unfinished,
        });
        Ok(Report { failures, context })
    }

    /// Seals with the newest key what older ones have sealed.
    async fn reseal(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        done: &mut Done,
        failures: &mut Vec<Failure>,
    ) -> Result<(), Stop> {
        run.progress().phase("Sealing contents with the newest key");
        let mut after = None;
        loop {
            let outdated = run.payloads_outdated(after, BATCH).await?;
            let Some(last) = outdated.last() else { return Ok(()) };
            after = Some(last.place.address);
            let work: Vec<BoxFuture<'_, Result<Resealed, Stop>>> =
                outdated.into_iter().map(|one| reseal(run, vault, one).boxed()).collect();
            let mut work = stream::iter(work).buffer_unordered(AT_ONCE);
            while let Some(one) = work.try_next().await? {
                match one {
                    Resealed::Done => {
                        done.resealed += 1;
                        run.progress().add(1, 0, 0);
                    }
                    Resealed::NotNeeded => {}
                    Resealed::Faulty(reason) => {
                        run.progress().add(0, 1, 0);
                        add(failures, reason);
                    }
                }
            }
        }
    }

    /// Deletes what nothing has needed for the grace: the object first, then its row.
    async fn condemned(
        &self,
        run: &ClaimedRun,
        tenant: TenantId,
        done: &mut Done,
    ) -> Result<(), Stop> {
        run.progress().phase("Removing contents that nothing needs");
        loop {
            let condemned = run.payloads_condemn(self.grace, BATCH).await?;
            let mut forgotten = 0;
            for one in &condemned {
                self.delete(tenant, (one.address, one.copy)).await?;
                if run.payload_forget(*one).await? {
                    forgotten += 1;
                    run.progress().add(1, 0, 0);
                }
            }
            done.deleted += forgotten;
            // Without any forgotten, all of them were wanted again meanwhile.
            if condemned.is_empty() || forgotten == 0 {
                return Ok(());
            }
        }
    }

    /// Deletes objects that no row names: left by captures, sealings and deletions that were cut off.
    async fn orphans(
        &self,
        run: &ClaimedRun,
        tenant: TenantId,
        done: &mut Done,
    ) -> Result<(), Stop> {
        run.progress().phase("Looking for objects that nothing names");
        let before = run.now().minus(self.grace);
        let mut objects = self.tools.payloads.list(Some(tenant)).try_chunks(500);
        while let Some(chunk) = objects.next().await {
            let chunk = chunk.map_err(|error| payload_stop(error.1))?;
            let old: Vec<Orphan> = chunk
                .into_iter()
                .filter(|object| object.written_at < before)
                .filter_map(|object| object.name.map(|name| (name.address, name.copy)))
                .collect();
            for orphan in run.payload_orphans(old).await? {
                if self.delete(tenant, orphan).await? {
                    done.orphans += 1;
                    run.progress().add(1, 0, 0);
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, tenant: TenantId, (address, copy): Orphan) -> Result<bool, Stop> {
        let name = ObjectName { tenant, address, copy };
        self.tools.payloads.delete(&name).await.map_err(payload_stop)
    }
}

/// What came of sealing one content anew.
enum Resealed {
    Done,
    /// It is sealed so already, or nothing needs it any more.
    NotNeeded,
    Faulty(ReasonCode),
}

async fn reseal(run: &ClaimedRun, vault: &Vault, one: Outdated) -> Result<Resealed, Stop> {
    let place = one.place;
    let sealed = match vault.reseal(place.kind, place.address, place.copy, one.to).await {
        Ok(Some(sealed)) => sealed,
        // The key that we have was the newest, and is not any more: the next run has the newer one.
        Ok(None) => return Ok(Resealed::NotNeeded),
        Err(error) => {
            let reason = fault(error).ok_or_else(|| payload_stop(error))?;
            tracing::warn!(run.id = %run.id(), reason = %reason, "a stored content cannot be sealed anew");
            return Ok(Resealed::Faulty(reason));
        }
    };
    let object_bytes = u64::try_from(sealed.bytes.len()).unwrap_or(u64::MAX);
    let moved = run.payload_resealed(one, sealed.key, object_bytes).await?;
    Ok(if moved { Resealed::Done } else { Resealed::NotNeeded })
}

fn add(failures: &mut Vec<Failure>, code: ReasonCode) {
    match failures.iter_mut().find(|failure| failure.code == code) {
        Some(failure) => failure.count += 1,
        None => {
            failures.push(Failure {
                code,
                message: code.message(&[]),
                count: 1,
                items: Vec::new(),
            });
        }
    }
}
