//! restore.preview: reads what is there now and freezes what a restore would write (PRODUCT ).
//!
//! An object is what its type and Graph id say it is; names decide nothing. What stands in the way of an
//! object is said at that object, and a plan with such an object cannot be confirmed.

mod found;
mod mapping;
mod node;
mod order;
mod reach;
mod source;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tokio::sync::watch;
use tp_domain::ids::{RestoreId, TenantId};
use tp_domain::item::{ItemEnd, ItemSubject};
use tp_domain::json::Json;
use tp_domain::operation::OperationKind;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::draft::RestoreDraft;
use tp_domain::restore::mapping::Mapping;
use tp_domain::restore::plan::RestorePlan;
use tp_domain::restore::preview::MakeRestorePreview;
use tp_domain::restore::record::RestoreState;
use tp_domain::version::PolicyVersion;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_graph::session::GraphSession;
use tp_payload::{Canonical, Vault};
use tp_store::{ClaimedRun, NewPreview, PayloadWant, RestoreRefused};

use crate::Tools;
use crate::capturing::{TRIES, put};
use crate::sign_in::{Waits, failed, session, showing_waits, stop};
use crate::stored::{payload_stop, vault};
use node::{Prepared, Seen};
use source::Source;

/// Objects that are read at once.
const READS_AT_ONCE: usize = 8;

/// Items that are written down at once.
const BATCH: usize = 50;

/// Carries out `restore.preview`.
#[derive(Debug)]
pub struct PreviewRestoreOperation {
    tools: Tools,
}

impl PreviewRestoreOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for PreviewRestoreOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::RestorePreview
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // It only reads the tenant: it can be left at any moment, and nothing is frozen.
        let run = context.run;
        context.until_stopped(self.preview(run))
    }
}

/// What all objects of a preview share.
struct Preview<'a> {
    tools: &'a Tools,
    run: &'a ClaimedRun,
    session: GraphSession,
    vault: Vault,
    restore: RestoreId,
    /// What restores of this tenant have made anew, by type and the id that it had.
    made_anew: HashMap<(PolicyType, String), String>,
    /// The permissions of the app, as its token says.
    granted: Option<Vec<String>>,
    /// Where what is wanted is read.
    source: Source,
    /// The tenant of the source, where it is not the one that is written to.
    foreign: Option<TenantId>,
    /// What was chosen, for this restore or earlier ones.
    mapping: Mapping,
    /// Why nothing of the source is written.
    unsound: Option<ReasonCode>,
}

impl PreviewRestoreOperation {
    async fn preview(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let request = MakeRestorePreview::parse(run.inputs());
        let request = request.map_err(|_| failed(ReasonCode::InternalError))?;
        let record = run.restore(request.restore).await?;
        let record = record.ok_or_else(|| failed(ReasonCode::ItemGone))?;
        let draft = record.draft.ok_or_else(|| failed(ReasonCode::InternalError))?;
        if !record.state.may_become(RestoreState::Previewed) {
            return Err(Stop::Blocked(ReasonCode::AlreadyActive));
        }
        let connection = run.connection().await?.map_err(Stop::Blocked)?;
        let (waits, mut waiting) = watch::channel(None);
        let session =
            session(&self.tools, run, &connection, Arc::new(Waits(waits))).map_err(failed)?;
        let granted = session.sign_in_anew().await.map_err(|error| stop(run, &error))?.granted;
        let door = run.restore_source(draft.source_tenant).await?.map_err(Stop::Blocked)?;
        let set = door.set(&draft).await?;
        // A set of which a verification has found that it is not what was stored (A28).
        let faulty = set.and_then(|set| set.verified).is_some_and(|seen| !seen.is_sound());
        let mut mapping = run.mapping_known(door.tenant()).await?;
        mapping.lay_over(draft.mapping.clone());
        let preview = Preview {
            tools: &self.tools,
            run,
            restore: request.restore,
            session,
            vault: vault(&self.tools, run).await?,
            made_anew: run.restored_as().await?,
            granted,
            foreign: door.is_foreign().then(|| door.tenant()),
            source: Source { door },
            mapping,
            unsound: faulty.then_some(ReasonCode::BackupInconsistent),
        };
        let (seen, skipped) = showing_waits(run, &mut waiting, preview.plan(&draft)).await?;
        let plan = RestorePlan {
            entra_tenant_id: connection.entra_tenant_id,
            nodes: seen.iter().map(|one| one.node.clone()).collect(),
            enabled_types: BTreeSet::new(),
            stop_on_failure: draft.stop_on_failure,
        };
        let found = preview.keep(PayloadKind::Preview, &found::json(&seen, &skipped)).await?;
        let actions = plan.actions();
        match run.restore_previewed(request.restore, NewPreview { plan, found }).await? {
            Ok(_) => {}
            Err(RestoreRefused::WrongState(_)) => {
                return Err(Stop::Blocked(ReasonCode::AlreadyActive));
            }
            Err(refused) => {
                tracing::error!(run.id = %run.id(), refused = %refused, "a plan was not frozen");
                return Err(failed(ReasonCode::InternalError));
            }
        }
        let context = json!({"restore": request.restore.to_string(), "actions": actions});
        Ok(Report { failures: run.items_failures().await?, context })
    }
}

impl Preview<'_> {
    /// Looks at each object, in the order in which they would be written.
    async fn plan(&self, draft: &RestoreDraft) -> Result<(Vec<Seen>, Vec<String>), Stop> {
        let mut versions = self.source.door.versions(draft).await?;
        versions.retain(|one| draft.wants(&one.policy_type, &one.graph_id));
        order::sort(&self.tools.catalog, &mut versions);
        let subjects = versions.iter().map(|one| self.subject(one)).collect();
        self.run.items_plan(subjects).await?;
        let total = versions.len();
        let mut prepared = Vec::with_capacity(total);
        for batch in versions.chunks(BATCH) {
            self.run.progress().phase(format!("Looking at {} of {total}", prepared.len()));
            let reads: Vec<BoxFuture<'_, Result<Prepared, Stop>>> =
                batch.iter().map(|version| self.look(version).boxed()).collect();
            let looked: Vec<Prepared> =
                stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
            let ends =
                batch.iter().map(|version| (node::key(version, self.foreign), ItemEnd::Succeeded));
            self.run.items_end(ends.collect()).await?;
            prepared.extend(looked);
        }
        self.run.progress().phase("Looking for what the objects refer to".to_owned());
        let mut seen = Vec::with_capacity(total);
        let (bound, skipped) = self.bind(prepared).await?;
        for one in bound {
            seen.push(self.finish(one).await?);
        }
        Ok((seen, skipped))
    }

    /// Stores what belongs to the restore, and says that the restore needs it.
    async fn keep(&self, kind: PayloadKind, content: &Json) -> Result<PayloadAddress, Stop> {
        let content = Canonical::of(content).map_err(|_| failed(ReasonCode::MalformedResponse))?;
        if content.as_bytes().len() > tp_payload::MOST_BYTES {
            return Err(failed(ReasonCode::PayloadTooLarge));
        }
        let address = self.vault.sealer().address(kind, &content);
        for _ in 0..TRIES {
            let want = PayloadWant { kind, address };
            for place in self.run.payloads_reserve(vec![want]).await? {
                let written =
                    put(&self.vault, kind, &content, place).await.map_err(payload_stop)?;
                if self.run.payload_refer(address, place.copy, written, self.restore.uuid()).await?
                {
                    return Ok(address);
                }
            }
        }
        Err(failed(ReasonCode::StorageUnavailable))
    }

    fn subject(&self, version: &PolicyVersion) -> ItemSubject {
        ItemSubject {
            key: node::key(version, self.foreign),
            policy_type: Some(version.policy_type.clone()),
            graph_id: Some(version.graph_id.clone()),
            name: version.name.clone(),
        }
    }
}
