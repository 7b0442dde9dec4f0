//! backup.export: packs a backup set into an archive that can be downloaded (PRODUCT S-2).
//!
//! The same set gives the same bytes, so an export that is begun anew stores nothing twice. A set of which
//! one content cannot be read is not exported: an archive that says less than the set would be believed.

use std::io;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tp_archive::{ItemFacts, MissingItem, SetFacts, Source, Writer};
use tp_domain::backup::{BackupSet, BackupState};
use tp_domain::backup_export::ExportBackup;
use tp_domain::item::{ItemEnd, ItemSubject};
use tp_domain::operation::OperationKind;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::reason::ReasonCode;
use tp_domain::run::{FailedItem, Failure, WaitingReason};
use tp_domain::time::Timestamp;
use tp_domain::version::PolicyVersion;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_payload::{Canonical, Vault};
use tp_store::{ArtefactEnd, ClaimedRun};

use crate::Tools;
use crate::capturing::BUSY_WAIT;
use crate::pieces::{self, PieceWriter};
use crate::sign_in::failed;
use crate::stored::{read, vault};

/// The key of the run's one item.
const ARCHIVE: &str = "archive";

/// Contents whose places are asked for together.
const BATCH: usize = 100;

/// Contents that are read at once. The longest has 64 MiB.
const READS_AT_ONCE: usize = 4;

/// Contents and pieces that wait for the packer, and for the store.
const WAITING: usize = 4;

/// Carries out `backup.export`.
#[derive(Debug)]
pub struct ExportBackupOperation {
    tools: Tools,
}

/// What the packer is given.
enum Next {
    Policy(Box<(ItemFacts, Canonical)>),
    /// That was all. Without it there is no archive.
    End(Box<SetFacts>),
}

impl ExportBackupOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for ExportBackupOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::BackupExport
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // What was packed so far is removed by whoever takes the run over, or in time.
        let run = context.run;
        context.until_stopped(self.export(run))
    }
}

impl ExportBackupOperation {
    async fn export(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let request =
            ExportBackup::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        let held = run.backup_held(request.backup).await?;
        let held = held.ok_or_else(|| failed(ReasonCode::ItemGone))?;
        if held.at_work {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        let found = run.backup_with_versions(request.backup).await?;
        let (set, mut versions) = found.ok_or_else(|| failed(ReasonCode::ItemGone))?;
        if set.state == BackupState::Creating {
            // Its run died: nobody has said what is missing in it.
            return Err(failed(ReasonCode::BackupInconsistent));
        }
        // How a database sorts texts is its own matter.
        versions.sort_by(|one, other| {
            (&one.policy_type, &one.graph_id).cmp(&(&other.policy_type, &other.graph_id))
        });
        let facts = facts(run, &set).await?;
        let subject = ItemSubject {
            key: ARCHIVE.to_owned(),
            policy_type: None,
            graph_id: None,
            name: Some(format!("Archive of backup {}", set.number)),
        };
        run.items_plan(vec![subject]).await?;
        let vault = vault(&self.tools, run).await?;
        let artefact = run.artefact_begin(set.number).await?;
        let (give, policies) = mpsc::channel(WAITING);
        let (out, pieces) = mpsc::channel(WAITING);
        let packer = tokio::task::spawn_blocking(move || pack(policies, PieceWriter::new(out)));
        let feed = self.feed(run, &vault, &versions, facts, give);
        let store = pieces::store(run, &vault, artefact, pieces);
        tokio::try_join!(feed, store)?;
        let packed = packer.await.ok().and_then(Result::ok);
        let end = packed.ok_or_else(|| failed(ReasonCode::InternalError))?;
        let context = json!({
            "backup": set.number, "bytes": end.bytes, "policies": versions.len(), "root": end.root,
        });
        if !run.artefact_finish(artefact, set.number, end).await? {
            // Removed with its set.
            return Err(failed(ReasonCode::ItemGone));
        }
        run.items_end(vec![(ARCHIVE.to_owned(), ItemEnd::Succeeded)]).await?;
        Ok(Report { failures: Vec::new(), context })
    }

    /// Reads all contents and gives them to the packer, in their order.
    async fn feed(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        versions: &[PolicyVersion],
        facts: SetFacts,
        give: mpsc::Sender<Next>,
    ) -> Result<(), Stop> {
        // A packer that is gone has said why: it is asked afterwards.
        let gone = |_| failed(ReasonCode::InternalError);
        for (number, batch) in versions.chunks(BATCH).enumerate() {
            run.progress().phase(format!("Packing: {} of {}", number * BATCH, versions.len()));
            let addresses: Vec<PayloadAddress> = batch.iter().map(|one| one.address).collect();
            let places = run.payload_places(&addresses).await?;
            let reads: Vec<BoxFuture<'_, Result<Canonical, Stop>>> = batch
                .iter()
                .map(|version| {
                    let place = places.get(&version.address).copied();
                    let read = async move {
                        let place =
                            place.ok_or_else(|| lost(version, ReasonCode::PayloadMissing))?;
                        let kind = PayloadKind::Version;
                        let content = read(&self.tools, run, vault, kind, place).await?;
                        content.map_err(|reason| lost(version, reason))
                    };
                    Box::pin(read) as BoxFuture<'_, _>
                })
                .collect();
            let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
            let mut batch = batch.iter();
            while let (Some(content), Some(version)) = (reads.next().await, batch.next()) {
                let policy = Box::new((item(version), content?));
                give.send(Next::Policy(policy)).await.map_err(gone)?;
            }
        }
        give.send(Next::End(Box::new(facts))).await.map_err(|_| failed(ReasonCode::InternalError))
    }
}

/// A content that cannot be read: the run says which.
fn lost(version: &PolicyVersion, code: ReasonCode) -> Stop {
    let item = FailedItem {
        policy_type: Some(version.policy_type.clone()),
        graph_id: Some(version.graph_id.clone()),
        name: version.name.clone(),
        graph_request_id: None,
        permission: None,
    };
    let failure = Failure { code, message: code.message(&[]), count: 1, items: vec![item] };
    Stop::Failed { reason: code, failures: vec![failure] }
}

fn item(version: &PolicyVersion) -> ItemFacts {
    ItemFacts {
        policy_type: version.policy_type.clone(),
        graph_id: version.graph_id.clone(),
        name: version.name.clone(),
        names: version.names.clone(),
        captured_at: version.created_at.rfc3339(),
    }
}

/// What the archive says of the set.
async fn facts(run: &ClaimedRun, set: &BackupSet) -> Result<SetFacts, Stop> {
    let tenant = run.tenant().await?.ok_or_else(|| failed(ReasonCode::InternalError))?;
    let (types, held) = run.backup_contents(set.id).await?;
    let mut missing: Vec<MissingItem> = held
        .into_iter()
        .filter_map(|(item, _)| {
            let reason = item.reason?;
            let (policy_type, graph_id, name) = (item.policy_type, item.graph_id, item.name);
            Some(MissingItem { policy_type, graph_id, name, reason })
        })
        .collect();
    missing.sort_by(|one, other| {
        (&one.policy_type, &one.graph_id).cmp(&(&other.policy_type, &other.graph_id))
    });
    let mut types = types;
    types.sort_by(|one, other| one.policy_type.cmp(&other.policy_type));
    let source = Source {
        entra_tenant_id: tenant.entra_tenant_id.to_string(),
        tenant: tenant.name,
        backup: set.number,
        state: set.state,
        created_at: set.created_at.rfc3339(),
        completed_at: set.completed_at.map(Timestamp::rfc3339),
        note: set.note.clone(),
    };
    Ok(SetFacts { source, types, missing })
}

/// Packs what comes. On a thread of its own.
fn pack(mut policies: mpsc::Receiver<Next>, sink: PieceWriter) -> io::Result<ArtefactEnd> {
    let mut writer = Writer::new(sink);
    while let Some(next) = policies.blocking_recv() {
        match next {
            Next::Policy(policy) => writer.add(policy.0, policy.1.as_bytes())?,
            Next::End(facts) => {
                let (sink, manifest) = writer.finish(*facts)?;
                return sink.end(Some(manifest.root()));
            }
        }
    }
    Err(io::ErrorKind::BrokenPipe.into())
}
