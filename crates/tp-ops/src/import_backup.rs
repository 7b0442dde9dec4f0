//! backup.import: makes a backup set of an uploaded archive (PRODUCT S-2; TRUST T12).
//!
//! The archive is read twice. The first time all of it is checked, and nothing is written; what is wrong
//! anywhere refuses it whole. The second time its policies become versions, and the set says that it was
//! imported: nothing that an archive says counts as what the tenant is.

use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::mpsc;
use tp_archive::{ArchiveError, Fault, Limits, ManifestItem, OwnArchive, StoredContent, Zip};
use tp_catalog::registry::Catalog;
use tp_domain::artefact::ArtefactPiece;
use tp_domain::backup::{BackupState, BackupType, ImportedFrom};
use tp_domain::backup_import::ImportBackup;
use tp_domain::message::Shown;
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{FailedItem, Failure, WaitingReason};
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_payload::Vault;
use tp_store::{BackupEntry, ClaimedRun, OpenBackup};

use crate::capturing::{BUSY_WAIT, Names, Prepared, Target, keep, prepare_archived, write};
use crate::pieces::PieceReader;
use crate::sign_in::failed;
use crate::stored::vault;
use crate::{Tools, manifest, observe};

/// Policies that are stored and written down together.
const BATCH: usize = 100;

/// Policies that wait to be stored.
const WAITING: usize = 16;

/// What we call ourselves as the maker of an archive.
const OWN: &str = "tenantpilot";

/// Carries out `backup.import`.
#[derive(Debug)]
pub struct ImportBackupOperation {
    tools: Tools,
}

/// An archive that was checked whole.
type Checked = OwnArchive<PieceReader>;

/// A policy of the archive, as it is read the second time.
type Policy = Result<(ManifestItem, StoredContent), ArchiveError>;

impl ImportBackupOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for ImportBackupOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::BackupImport
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        Box::pin(async move {
            let OpContext { run, stop, cancel } = context;
            tokio::select! {
                () = stop.cancelled() => Err(Stop::Interrupted),
                () = cancel.cancelled() => {
                    manifest::close(run).await?;
                    Err(Stop::Canceled)
                }
                result = self.import(run) => result,
            }
        })
    }
}

impl ImportBackupOperation {
    async fn import(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let request =
            ImportBackup::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        let Some((_, pieces)) = run.upload(request.upload).await? else {
            return self.done_before(run).await;
        };
        let vault = vault(&self.tools, run).await?;
        let trouble = Arc::new(OnceLock::new());
        run.progress().phase("Checking the archive".to_owned());
        let archive = self.checked(run, &vault, pieces, &trouble).await?;
        let types = archive.manifest().types.clone();
        let keys: Vec<PolicyType> = types.iter().map(|one| one.policy_type.clone()).collect();
        if !run.hold_types(Some(&keys)).await? {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        let from = from(&archive);
        let set = run.backup_begin_import(&from).await?;
        run.steps_plan(&keys).await?;
        let new_versions = self.take_in(run, &vault, set, archive, &trouble).await?;
        for one in &types {
            run.step_end(&one.policy_type, &one.completeness, one.listed).await?;
        }
        manifest::finish(run, set, &vault).await?;
        run.upload_remove(request.upload).await?;
        run.progress().total(run.counts().processed());
        let context = json!({
            "backup": set.number, "new_versions": new_versions, "not_understood": 0,
            "source": from.tool,
        });
        Ok(Report { failures: run.items_failures().await?, context })
    }

    /// An upload is removed when its import is done: a worker that comes after that has nothing left to do.
    async fn done_before(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let Some(set) = run.backup_begun().await? else { return Err(failed(ReasonCode::ItemGone)) };
        let held = run.backup_held(set.number).await?;
        if held.is_none_or(|held| held.state == BackupState::Creating) {
            return Err(failed(ReasonCode::ItemGone));
        }
        let context = json!({"backup": set.number});
        Ok(Report { failures: run.items_failures().await?, context })
    }

    /// Reads the whole archive and checks everything about it. Nothing is written.
    async fn checked(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        pieces: Vec<ArtefactPiece>,
        trouble: &Arc<OnceLock<ReasonCode>>,
    ) -> Result<Checked, Stop> {
        let tenant = run.tenant().await?.ok_or_else(|| failed(ReasonCode::InternalError))?;
        let reader = PieceReader::open(run, vault, pieces, Arc::clone(trouble)).await?;
        let (catalog, id) = (Arc::clone(&self.tools.catalog), tenant.entra_tenant_id.to_string());
        let checked = tokio::task::spawn_blocking(move || check(reader, &catalog, &id)).await;
        match checked.map_err(|_| failed(ReasonCode::InternalError))? {
            Ok(Some(archive)) => Ok(archive),
            Ok(None) => Err(refused(ReasonCode::ArchiveOfAnotherTenant, None)),
            Err(error) => Err(unreadable(&error, trouble)),
        }
    }

    /// Makes versions of all that the archive holds. Says how many of them are new.
    async fn take_in(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        set: OpenBackup,
        archive: Checked,
        trouble: &OnceLock<ReasonCode>,
    ) -> Result<u64, Stop> {
        let mut missing = archive.manifest().missing.clone();
        let types = archive.manifest().types.clone();
        let total = archive.manifest().items.len();
        let (give, mut policies) = mpsc::channel(WAITING);
        let reader = tokio::task::spawn_blocking(move || hand_over(archive, &give));
        let (mut done, mut new_versions) = (0, 0);
        let mut batch: Vec<(ManifestItem, StoredContent)> = Vec::with_capacity(BATCH);
        loop {
            let next: Option<Policy> = policies.recv().await;
            let next = next.transpose().map_err(|error| unreadable(&error, trouble))?;
            let is_other = |one: &ManifestItem| {
                batch.first().is_some_and(|(first, _)| first.policy_type != one.policy_type)
            };
            if batch.len() == BATCH || next.as_ref().is_none_or(|(one, _)| is_other(one)) {
                done += batch.len();
                new_versions += self.keep(run, vault, set, std::mem::take(&mut batch)).await?;
                run.progress().phase(format!("Importing: {done} of {total}"));
            }
            match next {
                Some(policy) => batch.push(policy),
                None => break,
            }
        }
        reader.await.map_err(|_| failed(ReasonCode::InternalError))?;
        for one in types {
            let lost = missing.extract_if(.., |lost| lost.policy_type == one.policy_type);
            let lost: Vec<BackupEntry> = lost
                .map(|lost| BackupEntry::Failed {
                    graph_id: lost.graph_id,
                    name: lost.name,
                    reason: lost.reason,
                    graph_request_id: None,
                })
                .collect();
            let BackupType { policy_type, completeness, listed } = one;
            write(run, Target::Set(set), &policy_type, lost).await?;
            run.backup_type(set.id, &policy_type, &completeness, listed).await?;
        }
        Ok(new_versions)
    }

    /// Stores policies of one type, and writes down their versions.
    async fn keep(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        set: OpenBackup,
        policies: Vec<(ManifestItem, StoredContent)>,
    ) -> Result<u64, Stop> {
        let Some(key) = policies.first().map(|(one, _)| one.policy_type.clone()) else {
            return Ok(0);
        };
        let mut prepared: Vec<Prepared> = Vec::with_capacity(policies.len());
        let mut lost: Vec<BackupEntry> = Vec::new();
        for (item, content) in policies {
            let observed = self.tools.catalog.contract(&key).and_then(|contract| {
                Some((contract, observe::policy(contract, &content.content.object)?))
            });
            let ready = match observed {
                // A type that this version of the program does not know any more.
                None => Err(ReasonCode::UnsupportedType),
                Some((contract, observed)) => {
                    prepare_archived(contract, vault, observed, content.content, item.names)
                }
            };
            match ready {
                Ok(ready) => prepared.push(ready),
                Err(reason) => lost.push(BackupEntry::Failed {
                    graph_id: item.graph_id,
                    name: item.name,
                    reason,
                    graph_request_id: None,
                }),
            }
        }
        let target = Target::Set(set);
        write(run, target, &key, lost).await?;
        keep(run, vault, &Names::default(), target, &key, prepared).await
    }
}

/// Checks the archive whole; none when it is another tenant's.
fn check(
    reader: PieceReader,
    catalog: &Catalog,
    tenant: &str,
) -> Result<Option<Checked>, ArchiveError> {
    let mut archive = OwnArchive::open(Zip::open(reader, Limits::BACKUP)?)?;
    if archive.manifest().source.entra_tenant_id != tenant {
        return Ok(None);
    }
    for item in archive.manifest().items.clone() {
        let content = archive.read(&item)?;
        let observed = catalog
            .contract(&item.policy_type)
            .map(|contract| observe::policy(contract, &content.content.object));
        // What the manifest calls it is what it is.
        let is_other =
            observed.is_some_and(|one| one.is_none_or(|object| object.graph_id != item.graph_id));
        if is_other {
            return Err(ArchiveError::at(Fault::ContentWrong, &item.path));
        }
    }
    Ok(Some(archive))
}

/// Reads the policies again, type by type, for as long as somebody takes them.
fn hand_over(mut archive: Checked, give: &mpsc::Sender<Policy>) {
    let mut items = archive.manifest().items.clone();
    items.sort_by(|one, other| {
        (&one.policy_type, &one.graph_id).cmp(&(&other.policy_type, &other.graph_id))
    });
    for item in items {
        let policy = archive.read(&item).map(|content| (item, content));
        let is_last = policy.is_err();
        if give.blocking_send(policy).is_err() || is_last {
            return;
        }
    }
}

fn from(archive: &Checked) -> ImportedFrom {
    let manifest = archive.manifest();
    ImportedFrom {
        tool: OWN.to_owned(),
        backup: Some(manifest.source.backup),
        created_at: Some(manifest.source.created_at.clone()),
        root: Some(manifest.root()),
    }
}

/// Why an archive cannot be read: because of what it is, or of where it lies.
fn unreadable(error: &ArchiveError, trouble: &OnceLock<ReasonCode>) -> Stop {
    match trouble.get() {
        Some(reason) => failed(*reason),
        None => refused(error.fault.reason(), Some(error)),
    }
}

/// The archive is refused, with the stable word of what is wrong and the file that it is about.
fn refused(reason: ReasonCode, error: Option<&ArchiveError>) -> Stop {
    let entry = error.and_then(|error| error.entry.clone());
    let item = entry.map(|path| FailedItem {
        policy_type: None,
        graph_id: None,
        name: Some(path),
        graph_request_id: None,
        permission: None,
    });
    let said = error.map(|error| Shown::Said(error.fault.sentence(), error.fault.as_str()));
    let message = reason.message(said.as_slice());
    let failure = Failure { code: reason, message, count: 1, items: item.into_iter().collect() };
    Stop::Failed { reason, failures: vec![failure] }
}
