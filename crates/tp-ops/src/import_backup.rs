//! backup.import: makes a backup set of an uploaded archive (PRODUCT S-2; TRUST T12).
//!
//! The archive is read twice. The first time all of it is checked, and nothing is written; what is wrong
//! anywhere refuses it whole. The second time its policies become versions, and the set says that it was
//! imported: nothing that an archive says counts as what the tenant is.

mod foreign;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::mpsc;
use tp_archive::{
    ArchiveError, Fault, Limits, ManifestItem, MissingItem, OwnArchive, StoredContent, Zip,
};
use tp_catalog::registry::Catalog;
use tp_domain::artefact::ArtefactPiece;
use tp_domain::backup::{BackupState, BackupType, ImportedFrom};
use tp_domain::backup_import::ImportBackup;
use tp_domain::json::Json;
use tp_domain::message::Shown;
use tp_domain::operation::OperationKind;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{FailedItem, Failure, WaitingReason};
use tp_domain::version::ReferenceNames;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_graph::full::FullObject;
use tp_payload::Vault;
use tp_store::{BackupEntry, ClaimedRun, OpenBackup};

use crate::capturing::{
    BUSY_WAIT, Names, Prepared, Target, keep, prepare_archived, prepare_foreign, write,
};
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

/// What the first reading of an archive has shown.
struct Plan {
    from: ImportedFrom,
    types: Vec<BackupType>,
    missing: Vec<MissingItem>,
    total: usize,
    /// What of it became no policy, or not the whole of one.
    failures: Vec<Failure>,
    not_understood: u64,
    source: Source,
}

/// Where the second reading takes the policies from.
enum Source {
    Own(Box<OwnArchive<PieceReader>>),
    /// A folder of another tool, and the ids of what it has only names for.
    Foreign(HashMap<(String, String), String>),
}

/// A policy of the archive, as it is read the second time.
struct Item {
    key: PolicyType,
    graph_id: String,
    name: Option<String>,
    names: ReferenceNames,
    body: Body,
}

enum Body {
    /// The content of a version, without its secrets.
    Stored(StoredContent),
    /// As another tool has saved it: with them.
    Raw(Json, Option<Vec<Json>>),
}

/// What one run imports.
#[derive(Clone, Copy)]
struct Import<'a> {
    tools: &'a Tools,
    run: &'a ClaimedRun,
    vault: &'a Vault,
    pieces: &'a [ArtefactPiece],
    trouble: &'a Arc<OnceLock<ReasonCode>>,
}

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
            return done_before(run).await;
        };
        let (vault, trouble) = (vault(&self.tools, run).await?, Arc::new(OnceLock::new()));
        let import =
            Import { tools: &self.tools, run, vault: &vault, pieces: &pieces, trouble: &trouble };
        run.progress().phase("Checking the archive".to_owned());
        let plan = import.checked().await?;
        let keys: Vec<PolicyType> = plan.types.iter().map(|one| one.policy_type.clone()).collect();
        if !run.hold_types(Some(&keys)).await? {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        let set = run.backup_begin_import(&plan.from).await?;
        run.steps_plan(&keys).await?;
        let new_versions = import.take_in(set, plan.source, plan.total).await?;
        import.end_types(set, &plan.types, plan.missing).await?;
        manifest::finish(run, set, &vault).await?;
        run.upload_remove(request.upload).await?;
        run.progress().total(run.counts().processed());
        let context = json!({
            "backup": set.number, "new_versions": new_versions,
            "not_understood": plan.not_understood, "source": plan.from.tool,
        });
        let mut failures = run.items_failures().await?;
        failures.extend(plan.failures);
        Ok(Report { failures, context })
    }
}

/// An upload is removed when its import is done: a worker that comes after that has nothing left to do.
async fn done_before(run: &ClaimedRun) -> Result<Report, Stop> {
    let Some(set) = run.backup_begun().await? else { return Err(failed(ReasonCode::ItemGone)) };
    let held = run.backup_held(set.number).await?;
    if held.is_none_or(|held| held.state == BackupState::Creating) {
        return Err(failed(ReasonCode::ItemGone));
    }
    let context = json!({"backup": set.number});
    Ok(Report { failures: run.items_failures().await?, context })
}

impl Import<'_> {
    async fn reader(&self) -> Result<PieceReader, Stop> {
        PieceReader::open(self.run, self.vault, self.pieces.to_vec(), Arc::clone(self.trouble))
            .await
    }

    /// Reads the whole archive and checks everything about it. Nothing is written.
    async fn checked(&self) -> Result<Plan, Stop> {
        let tenant = self.run.tenant().await?.ok_or_else(|| failed(ReasonCode::InternalError))?;
        let (reader, catalog) = (self.reader().await?, Arc::clone(&self.tools.catalog));
        let id = tenant.entra_tenant_id.to_string();
        let checked = tokio::task::spawn_blocking(move || {
            let zip = Zip::open(reader, Limits::BACKUP)?;
            if OwnArchive::is_one(&zip) {
                check(zip, &catalog, &id).map(|archive| Checked::Own(archive.map(Box::new)))
            } else {
                foreign::check(zip, &catalog).map(Checked::Foreign)
            }
        });
        let checked = checked.await.map_err(|_| failed(ReasonCode::InternalError))?;
        let of_another = || refused(ReasonCode::ArchiveOfAnotherTenant, None);
        match checked.map_err(|error| unreadable(&error, self.trouble))? {
            Checked::Own(archive) => Ok(own(*archive.ok_or_else(of_another)?)),
            Checked::Foreign(seen) => {
                let is_own =
                    |id: &String| id.eq_ignore_ascii_case(&tenant.entra_tenant_id.to_string());
                if !seen.tenant.as_ref().is_none_or(is_own) {
                    return Err(of_another());
                }
                let ids = self.run.ids_of_names(seen.wanted.clone()).await?;
                Ok(seen.plan(ids))
            }
        }
    }

    /// Makes versions of all that the archive holds. Says how many of them are new.
    async fn take_in(&self, set: OpenBackup, source: Source, total: usize) -> Result<u64, Stop> {
        let (give, mut policies) = mpsc::channel(WAITING);
        let reader = match source {
            Source::Own(archive) => tokio::task::spawn_blocking(move || hand_over(*archive, &give)),
            Source::Foreign(ids) => {
                let (reader, catalog) = (self.reader().await?, Arc::clone(&self.tools.catalog));
                tokio::task::spawn_blocking(move || {
                    foreign::hand_over(reader, &catalog, &ids, &give);
                })
            }
        };
        let (mut done, mut new_versions) = (0, 0);
        let mut batch: Vec<Item> = Vec::with_capacity(BATCH);
        loop {
            let next: Option<Result<Item, ArchiveError>> = policies.recv().await;
            let next = next.transpose().map_err(|error| unreadable(&error, self.trouble))?;
            let is_other = |one: &Item| batch.first().is_some_and(|first| first.key != one.key);
            if batch.len() == BATCH || next.as_ref().is_none_or(is_other) {
                done += batch.len();
                new_versions += self.keep(set, std::mem::take(&mut batch)).await?;
                self.run.progress().phase(format!("Importing: {done} of {total}"));
            }
            match next {
                Some(policy) => batch.push(policy),
                None => break,
            }
        }
        reader.await.map_err(|_| failed(ReasonCode::InternalError))?;
        Ok(new_versions)
    }

    /// Says for each type how much of it there is, and what is missing.
    async fn end_types(
        &self,
        set: OpenBackup,
        types: &[BackupType],
        mut missing: Vec<MissingItem>,
    ) -> Result<(), Stop> {
        for BackupType { policy_type, completeness, listed } in types {
            let lost = missing.extract_if(.., |lost| lost.policy_type == *policy_type);
            let lost: Vec<BackupEntry> =
                lost.map(|lost| entry(lost.graph_id, lost.name, lost.reason)).collect();
            write(self.run, Target::Set(set), policy_type, lost).await?;
            self.run.backup_type(set.id, policy_type, completeness, *listed).await?;
            self.run.step_end(policy_type, completeness, *listed).await?;
        }
        Ok(())
    }

    /// Stores policies of one type, and writes down their versions.
    async fn keep(&self, set: OpenBackup, policies: Vec<Item>) -> Result<u64, Stop> {
        let Some(key) = policies.first().map(|one| one.key.clone()) else { return Ok(0) };
        let mut prepared: Vec<Prepared> = Vec::with_capacity(policies.len());
        let mut lost: Vec<BackupEntry> = Vec::new();
        for item in policies {
            let (graph_id, name) = (item.graph_id.clone(), item.name.clone());
            match self.prepare(item) {
                Ok(ready) => prepared.push(ready),
                Err(reason) => lost.push(entry(graph_id, name, reason)),
            }
        }
        let target = Target::Set(set);
        write(self.run, target, &key, lost).await?;
        keep(self.run, self.vault, &Names::default(), target, &key, prepared).await
    }

    fn prepare(&self, item: Item) -> Result<Prepared, ReasonCode> {
        let object = match &item.body {
            Body::Stored(stored) => &stored.content.object,
            Body::Raw(object, _) => object,
        };
        // None is a type that this version of the program does not know any more.
        let contract = self.tools.catalog.contract(&item.key).ok_or(ReasonCode::UnsupportedType)?;
        let observed = observe::policy(contract, object).ok_or(ReasonCode::MalformedResponse)?;
        match item.body {
            Body::Stored(stored) => {
                prepare_archived(contract, self.vault, observed, stored.content, item.names)
            }
            Body::Raw(object, assignments) => {
                let full = FullObject { id: None, object, assignments, faults: Vec::new() };
                prepare_foreign(contract, self.vault, observed, full, item.names)
            }
        }
    }
}

/// What kind of archive was checked; none when it is one of ours and of another tenant.
enum Checked {
    Own(Option<Box<OwnArchive<PieceReader>>>),
    Foreign(foreign::Seen),
}

fn entry(graph_id: String, name: Option<String>, reason: ReasonCode) -> BackupEntry {
    BackupEntry::Failed { graph_id, name, reason, graph_request_id: None }
}

/// Checks an archive of ours whole; none when it is another tenant's.
fn check(
    zip: Zip<PieceReader>,
    catalog: &Catalog,
    tenant: &str,
) -> Result<Option<OwnArchive<PieceReader>>, ArchiveError> {
    let mut archive = OwnArchive::open(zip)?;
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

/// What an archive of ours says of itself.
fn own(archive: OwnArchive<PieceReader>) -> Plan {
    let manifest = archive.manifest();
    Plan {
        from: ImportedFrom {
            tool: OWN.to_owned(),
            backup: Some(manifest.source.backup),
            created_at: Some(manifest.source.created_at.clone()),
            root: Some(manifest.root()),
        },
        types: manifest.types.clone(),
        missing: manifest.missing.clone(),
        total: manifest.items.len(),
        failures: Vec::new(),
        not_understood: 0,
        source: Source::Own(Box::new(archive)),
    }
}

/// Reads the policies again, type by type, for as long as somebody takes them.
fn hand_over(
    mut archive: OwnArchive<PieceReader>,
    give: &mpsc::Sender<Result<Item, ArchiveError>>,
) {
    let mut items = archive.manifest().items.clone();
    items.sort_by(|one, other| {
        (&one.policy_type, &one.graph_id).cmp(&(&other.policy_type, &other.graph_id))
    });
    for item in items {
        let read = archive.read(&item);
        let is_last = read.is_err();
        let ManifestItem { policy_type, graph_id, name, names, .. } = item;
        let policy = read.map(|content| Item {
            key: policy_type,
            graph_id,
            name,
            names,
            body: Body::Stored(content),
        });
        if give.blocking_send(policy).is_err() || is_last {
            return;
        }
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
