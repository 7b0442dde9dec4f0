//! Folders of other tools: what is taken of them, and what is said of the rest.
//!
//! Such a folder says nothing of its completeness, so no type of it is ever complete. Of a policy without an
//! id nobody can say which one it is, whatever its name: it gets an id of its own, and a restore of it makes
//! a new object.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tp_archive::{
    ArchiveError, ForeignFolder, ForeignPolicy, Found, LeftFile, Limits, Remark, Zip,
};
use tp_catalog::registry::Catalog;
use tp_domain::backup::{BackupType, ImportedFrom};
use tp_domain::completeness::Completeness;
use tp_domain::hex::hex;
use tp_domain::json::Json;
use tp_domain::message::Shown;
use tp_domain::policy::PolicyType;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{FailedItem, Failure};

use super::{Body, Item, Plan, Source};
use crate::observe;
use crate::pieces::PieceReader;

/// So many files and policies of one failure are named.
const MOST_ITEMS: usize = 100;

/// What the first reading of a folder has shown.
pub(super) struct Seen {
    tool: &'static str,
    /// The tenant that it says it was made of, by Microsoft's id.
    pub(super) tenant: Option<String>,
    /// Names that stand for ids, by kind.
    pub(super) wanted: BTreeSet<(String, String)>,
    counts: BTreeMap<PolicyType, u64>,
    failures: Vec<Failure>,
    not_understood: u64,
}

/// Reads the whole folder. An error refuses it.
pub(super) fn check(zip: Zip<PieceReader>, catalog: &Catalog) -> Result<Seen, ArchiveError> {
    let folder = ForeignFolder::open(zip, catalog)?;
    let mut seen = Seen {
        tool: folder.tool().as_str(),
        tenant: folder.tenant().map(|tenant| tenant.id.clone()),
        wanted: BTreeSet::new(),
        counts: BTreeMap::new(),
        failures: Vec::new(),
        not_understood: 0,
    };
    for found in folder {
        match found? {
            Found::Policy(policy) => seen.policy(&policy),
            Found::Left(file) => seen.left(&file),
        }
    }
    Ok(seen)
}

impl Seen {
    fn policy(&mut self, policy: &ForeignPolicy) {
        *self.counts.entry(policy.policy_type.clone()).or_default() += 1;
        let mut is_whole = true;
        for remark in &policy.remarks {
            match remark {
                Remark::NameForId { kind, name, .. } => {
                    self.wanted.insert((kind.clone(), name.clone()));
                }
                Remark::ReferenceLost { .. }
                | Remark::PartNotSaved { .. }
                | Remark::LeftOut { .. }
                | Remark::CutOff { .. } => is_whole = false,
            }
        }
        if !is_whole {
            let item = FailedItem {
                policy_type: Some(policy.policy_type.clone()),
                graph_id: policy.id.clone(),
                name: Some(policy.name.clone()),
                graph_request_id: None,
                permission: None,
            };
            let said =
                Shown::Said("The tool does not save all of these policies.", "part_not_saved");
            self.fail(ReasonCode::CompletenessUnknown, said, item);
        }
    }

    fn left(&mut self, file: &LeftFile) {
        if !file.why.loses() {
            return;
        }
        self.not_understood += 1;
        let item = FailedItem {
            policy_type: None,
            graph_id: None,
            name: Some(file.path.clone()),
            graph_request_id: None,
            permission: None,
        };
        let said = Shown::Said(file.why.sentence(), file.why.as_str());
        self.fail(ReasonCode::FileNotUnderstood, said, item);
    }

    fn fail(&mut self, code: ReasonCode, said: Shown<'_>, item: FailedItem) {
        let message = code.message(&[said]);
        match self.failures.iter_mut().find(|failure| failure.message == message) {
            Some(failure) => {
                failure.count += 1;
                if failure.items.len() < MOST_ITEMS {
                    failure.items.push(item);
                }
            }
            None => self.failures.push(Failure { code, message, count: 1, items: vec![item] }),
        }
    }

    /// What is to be done. `ids` are those of the wanted names that stand for one object.
    pub(super) fn plan(self, ids: HashMap<(String, String), String>) -> Plan {
        let unknown = || Completeness::Partial(ReasonCode::CompletenessUnknown);
        let total = self.counts.values().sum::<u64>();
        Plan {
            from: ImportedFrom {
                tool: self.tool.to_owned(),
                backup: None,
                created_at: None,
                root: None,
            },
            types: self
                .counts
                .into_iter()
                .map(|(policy_type, listed)| BackupType {
                    policy_type,
                    completeness: unknown(),
                    listed,
                })
                .collect(),
            missing: Vec::new(),
            total: usize::try_from(total).unwrap_or(usize::MAX),
            failures: self.failures,
            not_understood: self.not_understood,
            source: Source::Foreign(ids),
        }
    }
}

/// Reads the policies again, for as long as somebody takes them.
pub(super) fn hand_over(
    reader: PieceReader,
    catalog: &Catalog,
    ids: &HashMap<(String, String), String>,
    give: &mpsc::Sender<Result<Item, ArchiveError>>,
) {
    let folder = Zip::open(reader, Limits::BACKUP);
    let folder = match folder.and_then(|zip| ForeignFolder::open(zip, catalog)) {
        Ok(folder) => folder,
        Err(error) => {
            // Nobody is there any more to be told: then it does not matter.
            let _ = give.blocking_send(Err(error));
            return;
        }
    };
    for found in folder {
        let policy = match found {
            Ok(Found::Left(_)) => continue,
            Ok(Found::Policy(policy)) => Ok(item(*policy, catalog, ids)),
            Err(error) => Err(error),
        };
        let is_last = policy.is_err();
        if give.blocking_send(policy).is_err() || is_last {
            return;
        }
    }
}

fn item(
    mut policy: ForeignPolicy,
    catalog: &Catalog,
    ids: &HashMap<(String, String), String>,
) -> Item {
    policy.fill(&mut |kind, name| ids.get(&(kind.to_owned(), name.to_owned())).cloned());
    let contract = catalog.contract(&policy.policy_type);
    let known = contract.and_then(|contract| observe::policy(contract, &policy.object));
    let graph_id = if let Some(known) = known {
        known.graph_id
    } else {
        let id = own_id(&policy);
        if let Some(members) = policy.object.as_object_mut() {
            members.insert("id", Json::from(id.as_str()));
        }
        id
    };
    Item {
        key: policy.policy_type,
        graph_id,
        name: Some(policy.name),
        names: policy.names,
        body: Body::Raw(policy.object, policy.assignments),
    }
}

/// The id of a policy that has none: of its type and its files, the same each time. It has the form of an
/// id and is none of Graph's.
fn own_id(policy: &ForeignPolicy) -> String {
    let mut hash = Sha256::new();
    for part in
        std::iter::once(policy.policy_type.as_str()).chain(policy.files.iter().map(String::as_str))
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digits = hex(&hash.finalize());
    let part = |from: usize, to: usize| &digits[from..to];
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}
