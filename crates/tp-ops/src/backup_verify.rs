//! backup.verify: reads all that a backup set holds and says whether it is what was stored (PRODUCT S-2, A28).
//!
//! Each content is an item of the run: it is opened with its seal, its address is computed anew from its text,
//! and it must be of the policy that the set says it is. The set's own list of contents, sealed when the set
//! was ended, is compared with the database: neither can be changed without the other.

use std::collections::HashSet;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tp_catalog::content::VersionContent;
use tp_domain::backup_verify::VerifyBackup;
use tp_domain::item::{ItemEnd, ItemSubject};
use tp_domain::json::Json;
use tp_domain::operation::OperationKind;
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::WaitingReason;
use tp_engine::operation::{OpContext, Operation, Report, Stop};
use tp_payload::{Canonical, Vault};
use tp_store::{BackupHeld, ClaimedRun, PayloadPlace, capture_key};

use crate::capturing::BUSY_WAIT;
use crate::manifest::{Head, Held, Manifest};
use crate::sign_in::failed;
use crate::stored::{read, vault};
use crate::{Tools, observe};

/// The key of the item that stands for the set's list of contents.
const MANIFEST: &str = "manifest";

/// Contents that are written down together.
const BATCH: usize = 100;

/// Contents that are read at once. The longest has 64 MiB.
const READS_AT_ONCE: usize = 4;

/// Carries out `backup.verify`.
#[derive(Debug)]
pub struct VerifyBackupOperation {
    tools: Tools,
}

/// What is wrong with one content; none when it is what was stored.
type Finding = Option<ReasonCode>;

/// One policy that the set holds, by the database, by its list of contents, or by both.
#[derive(Clone, Debug)]
struct Content {
    policy_type: PolicyType,
    graph_id: String,
    name: Option<String>,
    /// Where its content is; or why that cannot be said.
    address: Result<PayloadAddress, ReasonCode>,
}

impl Content {
    fn key(&self) -> String {
        capture_key(&self.policy_type, &self.graph_id)
    }

    fn subject(&self) -> ItemSubject {
        ItemSubject {
            key: self.key(),
            policy_type: Some(self.policy_type.clone()),
            graph_id: Some(self.graph_id.clone()),
            name: self.name.clone(),
        }
    }
}

impl VerifyBackupOperation {
    /// With the tools of this process.
    pub const fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

impl Operation for VerifyBackupOperation {
    fn kind(&self) -> OperationKind {
        OperationKind::BackupVerify
    }

    fn run<'a>(&'a self, context: OpContext<'a>) -> BoxFuture<'a, Result<Report, Stop>> {
        // It only reads: it can be left at any moment, and what was found stays.
        let run = context.run;
        context.until_stopped(self.verify(run))
    }
}

impl VerifyBackupOperation {
    async fn verify(&self, run: &ClaimedRun) -> Result<Report, Stop> {
        let request =
            VerifyBackup::parse(run.inputs()).map_err(|_| failed(ReasonCode::InternalError))?;
        let Some(set) = run.backup_held(request.backup).await? else {
            return Err(failed(ReasonCode::ItemGone));
        };
        if set.at_work {
            return Err(Stop::Wait { waiting: WaitingReason::ScopeBusy, wait: BUSY_WAIT });
        }
        let vault = vault(&self.tools, run).await?;
        let (types, held) = run.backup_contents(set.id).await?;
        let list = self.list(run, &vault, &set).await?;
        let contents = contents(&held, list.as_ref().and_then(|list| list.as_ref().ok()));
        let mut subjects = Vec::with_capacity(contents.len() + 1);
        if list.is_some() {
            let name = Some("List of contents".to_owned());
            let key = MANIFEST.to_owned();
            subjects.push(ItemSubject { key, policy_type: None, graph_id: None, name });
        }
        subjects.extend(contents.iter().map(Content::subject));
        let items = run.items_plan(subjects).await?;
        let open: HashSet<&str> = items
            .iter()
            .filter(|item| !item.state.is_over())
            .map(|item| item.subject.key.as_str())
            .collect();
        run.progress().phase(format!("Reading {} contents of backup {}", items.len(), set.number));
        if let Some(list) = &list
            && open.contains(MANIFEST)
        {
            let finding = match list {
                Err(reason) => Some(*reason),
                Ok(list) if list.is_of(set.number, set.state, &types, &held) => None,
                Ok(_) => Some(ReasonCode::BackupInconsistent),
            };
            run.items_end(vec![(MANIFEST.to_owned(), end(finding))]).await?;
        }
        let open: Vec<Content> =
            contents.into_iter().filter(|one| open.contains(one.key().as_str())).collect();
        for batch in open.chunks(BATCH) {
            let ends = self.check_all(run, &vault, batch).await?;
            run.items_end(ends).await?;
        }
        let counts = run.counts();
        if !run.backup_verified(set.id, counts.processed(), counts.failed).await? {
            // Deleted meanwhile: what was found missing says nothing.
            return Err(failed(ReasonCode::ItemGone));
        }
        let context = json!({
            "backup": set.number, "checked": counts.processed(), "faulty": counts.failed,
        });
        Ok(Report { failures: run.items_failures().await?, context })
    }

    /// The set's list of contents, or what is wrong with it; none for a set that was left without one.
    async fn list(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        set: &BackupHeld,
    ) -> Result<Option<Result<Manifest, ReasonCode>>, Stop> {
        let Some(address) = set.manifest else { return Ok(None) };
        let head = self.part(run, vault, PayloadKind::Manifest, address).await?;
        let lists = match head.and_then(|head| Head::read(&head).ok_or(ReasonCode::PayloadDamaged))
        {
            Err(reason) => return Ok(Some(Err(reason))),
            Ok(head) => head,
        };
        let mut manifest = Manifest::new(lists);
        for address in manifest.lists() {
            let list = self.part(run, vault, PayloadKind::SetList, address).await?;
            let taken =
                list.and_then(|list| manifest.take(&list).ok_or(ReasonCode::PayloadDamaged));
            if let Err(reason) = taken {
                return Ok(Some(Err(reason)));
            }
        }
        Ok(Some(Ok(manifest)))
    }

    /// A part of the set's list of contents, or what is wrong with it.
    async fn part(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        kind: PayloadKind,
        address: PayloadAddress,
    ) -> Result<Result<Json, ReasonCode>, Stop> {
        let Some(place) = run.payload_place(address).await? else {
            return Ok(Err(ReasonCode::PayloadMissing));
        };
        let content = read(&self.tools, run, vault, kind, place).await?;
        Ok(content.and_then(|content| content.json().map_err(|_| ReasonCode::PayloadDamaged)))
    }

    async fn check_all(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        batch: &[Content],
    ) -> Result<Vec<(String, ItemEnd)>, Stop> {
        let addresses: Vec<PayloadAddress> =
            batch.iter().filter_map(|one| one.address.ok()).collect();
        let places = run.payload_places(&addresses).await?;
        let checks: Vec<BoxFuture<'_, Result<(String, ItemEnd), Stop>>> = batch
            .iter()
            .map(|one| {
                let place = one.address.map(|address| places.get(&address).copied());
                async move {
                    let finding = match place {
                        Err(reason) => Some(reason),
                        Ok(None) => Some(ReasonCode::PayloadMissing),
                        Ok(Some(place)) => self.check(run, vault, one, place).await?,
                    };
                    Ok((one.key(), end(finding)))
                }
                .boxed()
            })
            .collect();
        stream::iter(checks).buffered(READS_AT_ONCE).try_collect().await
    }

    async fn check(
        &self,
        run: &ClaimedRun,
        vault: &Vault,
        one: &Content,
        place: PayloadPlace,
    ) -> Result<Finding, Stop> {
        let content = read(&self.tools, run, vault, PayloadKind::Version, place).await?;
        Ok(content.and_then(|content| self.is_of(&content, one)).err())
    }

    /// Whether a content has the form of a version, and is of the policy that the set says it is.
    fn is_of(&self, content: &Canonical, one: &Content) -> Result<(), ReasonCode> {
        let json = content.json().map_err(|_| ReasonCode::PayloadDamaged)?;
        let read = VersionContent::read(json).map_err(|_| ReasonCode::PayloadDamaged)?;
        let contract = self.tools.catalog.contract(&one.policy_type);
        let is_other = contract.is_some_and(|contract| {
            let object = observe::policy(contract, &read.object);
            object.is_none_or(|object| object.graph_id != one.graph_id)
        });
        if read.policy_type != one.policy_type.as_str() || is_other {
            return Err(ReasonCode::BackupInconsistent);
        }
        Ok(())
    }
}

fn end(finding: Finding) -> ItemEnd {
    match finding {
        None => ItemEnd::Succeeded,
        Some(reason) => ItemEnd::Failed { reason, graph_request_id: None },
    }
}

/// What the set holds. A policy of which the database and a sound list say different things is faulty
/// whatever lies at either address.
fn contents(held: &[Held], list: Option<&Manifest>) -> Vec<Content> {
    let mut contents = Vec::with_capacity(held.len());
    for one in held {
        let (item, address) = one;
        let listed = list.and_then(|list| list.item(&item.policy_type, &item.graph_id));
        let agree = list.is_none_or(|list| list.agrees(one));
        let address = match address {
            _ if !agree => Err(ReasonCode::BackupInconsistent),
            // Not captured, and both say so: there is nothing to read.
            None => continue,
            Some(address) => address.parse().map_err(|_| ReasonCode::BackupInconsistent),
        };
        contents.push(Content {
            policy_type: item.policy_type.clone(),
            graph_id: item.graph_id.clone(),
            name: listed.map_or_else(|| item.name.clone(), |listed| listed.name.clone()),
            address,
        });
    }
    let in_database: HashSet<(&PolicyType, &str)> =
        held.iter().map(|(item, _)| (&item.policy_type, item.graph_id.as_str())).collect();
    let listed = list.map(Manifest::items).into_iter().flatten();
    let lost = listed.filter(|one| !in_database.contains(&(&one.policy_type, &one.graph_id)));
    contents.extend(lost.map(|one| Content {
        policy_type: one.policy_type.clone(),
        graph_id: one.graph_id.clone(),
        name: one.name.clone(),
        address: Err(ReasonCode::BackupInconsistent),
    }));
    contents
}
