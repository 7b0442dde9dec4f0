//! What must be true of a contract before anything runs by it.
//!
//! `structure` looks at the contract and its neighbours, and is run at start-up. `csdl` holds it against
//! Microsoft's property lists when a file with them is given.

mod csdl;

use std::collections::BTreeSet;

use tp_domain::policy::PolicyType;

pub use csdl::csdl;

use crate::assignments::{Assignments, AssignmentsWrite};
use crate::contract::{Contract, Incremental, ListShape, Parent, Wall};
use crate::fields::{ReferenceKind, Target, When};
use crate::parts::{Order, PartOf, SubPath, Subresource, Way, Ways};
use crate::registry::Catalog;
use crate::writes::{FollowUp, WriteCall};

/// Something that is wrong with a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The type's key.
    pub key: String,
    /// What is wrong.
    pub fault: String,
}

/// Query options that a contract may send.
const OPTIONS: [&str; 5] = ["$select", "$expand", "$top", "$orderby", "$filter"];

/// The file name that belongs to a key.
pub fn file_of(key: &str) -> String {
    let mut name = String::new();
    let letters: Vec<char> = key.chars().collect();
    for (index, letter) in letters.iter().enumerate() {
        let starts_word = letter.is_ascii_uppercase()
            && index > 0
            && (letters[index - 1].is_ascii_lowercase()
                || letters[index - 1].is_ascii_digit()
                || letters.get(index + 1).is_some_and(char::is_ascii_lowercase));
        if starts_word {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name + ".json"
}

/// What is wrong with a contract by itself and beside the others.
pub fn structure(contract: &Contract, catalog: &Catalog) -> Vec<Fault> {
    let mut findings = Findings { contract, faults: Vec::new() };
    findings.reading();
    findings.permissions();
    for part in &contract.subresources {
        findings.part(part);
    }
    if let Some(assignments) = &contract.assignments {
        findings.assignments(assignments);
    }
    findings.writes();
    findings.fields(catalog);
    findings.changes();
    findings.parent(catalog);
    findings.faults
}

struct Findings<'a> {
    contract: &'a Contract,
    faults: Vec<Fault>,
}

impl Findings<'_> {
    fn must(&mut self, is_so: bool, fault: impl Into<String>) {
        if !is_so {
            self.faults.push(Fault { key: self.contract.key.clone(), fault: fault.into() });
        }
    }

    /// A path below the version whose placeholders are among these.
    fn path(&mut self, path: &str, placeholders: &[&str]) {
        let plain =
            |letter: char| letter.is_ascii_alphanumeric() || "/{}-_.'()=@$".contains(letter);
        let is_path = path.starts_with('/') && !path.contains("..") && path.chars().all(plain);
        self.must(is_path, format!("{path} is not a path below the version"));
        for part in path.split('{').skip(1) {
            let name = part.split_once('}').map_or("", |(name, _)| name);
            self.must(placeholders.contains(&name), format!("{path}: nothing gives {{{name}}}"));
        }
    }

    fn options<'a>(&mut self, options: impl Iterator<Item = &'a String>) {
        for option in options {
            let known = OPTIONS.contains(&option.as_str());
            let allowed = OPTIONS.join(", ");
            self.must(known, format!("{option} is not a query option; allowed: {allowed}"));
        }
    }

    fn reading(&mut self) {
        let contract = self.contract;
        self.path(&contract.list.path, &["parentId"]);
        self.path(&contract.item.path, &["parentId", "id"]);
        self.options(contract.list.query.keys().chain(contract.item.query.keys()));
        let singleton = contract.list.shape == ListShape::Singleton;
        self.must(
            !singleton || contract.list.client_filter.is_empty(),
            "a singleton has nothing to filter",
        );
        self.must(
            singleton != contract.item.path.contains("{id}"),
            "the path of an object needs {id}, that of a singleton has none",
        );
        self.must(
            !contract.odata_type_required || !contract.odata_types.is_empty(),
            "a type that must be named needs its names",
        );
    }

    fn permissions(&mut self) {
        let contract = self.contract;
        let permissions = &contract.permissions;
        self.must(!permissions.read.is_empty(), "reading needs a permission");
        let writable = contract.create.is_some() || contract.update.is_some();
        self.must(
            !writable || !permissions.write.is_empty(),
            "what can be written needs a permission for it",
        );
        self.must(
            permissions.delegated_only == (permissions.app_read == Wall::Closed),
            "delegatedOnly and appRead contradict each other",
        );
    }

    fn ways(&mut self, name: &str, ways: &Ways) {
        let given = match ways.prefer {
            Way::Inline | Way::Item => true,
            Way::ListExpand => ways.list_expand.is_some(),
            Way::ItemExpand => ways.item_expand.is_some(),
            Way::SubPath => ways.sub_path.as_ref().is_some_and(|path| path.each.is_none()),
            Way::PerChild => ways.sub_path.as_ref().is_some_and(|path| path.each.is_some()),
            Way::Call => ways.call.is_some(),
        };
        self.must(given, format!("{name}: the preferred way is not described"));
        if let Some(SubPath { path, query, each, .. }) = &ways.sub_path {
            self.path(path, &["parentId", "id", "childId", "odataType"]);
            self.options(query.keys());
            self.must(
                each.is_some() == path.contains("{childId}"),
                format!("{name}: {{childId}} and each belong together"),
            );
        }
        if let Some(call) = &ways.call {
            self.path(&call.path, &["parentId", "id", "ref"]);
            self.must(
                call.each.is_some() == call.path.contains("{ref}"),
                format!("{name}: {{ref}} and each belong together"),
            );
        }
    }

    fn part(&mut self, part: &Subresource) {
        let contract = self.contract;
        let name = &part.name;
        let same = contract.subresources.iter().filter(|other| other.name == *name).count();
        self.must(same == 1, format!("{name}: two parts have this name"));
        self.must(name != "assignments", "assignments are no sub-resource");
        self.ways(name, &part.read);
        self.types(name, &part.when);
        let whole = part.read.list_expand.as_ref().is_none_or(|expand| expand.whole);
        self.must(
            part.part != PartOf::Payload || part.read.prefer != Way::ListExpand || whole,
            format!("{name}: settings are not taken from an expansion that is not proved whole"),
        );
        self.must(
            part.order != Order::Set || !part.identity.is_empty(),
            format!("{name}: a set needs an identity of its elements"),
        );
    }

    fn assignments(&mut self, assignments: &Assignments) {
        self.ways("assignments", &assignments.read);
        let whole = assignments.read.list_expand.as_ref().is_none_or(|expand| expand.whole);
        self.must(
            assignments.read.prefer != Way::ListExpand || whole,
            "assignments are not taken from an expansion that is not proved whole",
        );
        let Some(write) = &assignments.write else { return };
        self.path(write.path(), &["parentId", "id"]);
        if let AssignmentsWrite::PerTarget { delete_path, .. } = write {
            self.path(delete_path, &["parentId", "id", "assignmentId"]);
            self.must(
                delete_path.ends_with("{assignmentId}"),
                "an assignment is deleted by its own path",
            );
        }
    }

    fn writes(&mut self) {
        let contract = self.contract;
        let singleton = contract.list.shape == ListShape::Singleton;
        self.must(
            !singleton || (contract.create.is_none() && contract.delete.is_none()),
            "a singleton is neither created nor deleted",
        );
        for call in [
            contract.create.as_ref().map(|create| &create.call),
            contract.update.as_ref().map(|update| &update.call),
        ]
        .into_iter()
        .flatten()
        {
            self.write_call(call);
        }
        if let Some(delete) = &contract.delete {
            self.path(&delete.path, &["parentId", "id"]);
        }
        if let Some(create) = &contract.create {
            self.must(
                create.id_from_caller == create.call.path.contains("{id}"),
                "a created object has no {id} yet, unless the caller chooses it",
            );
        }
    }

    fn write_call(&mut self, call: &WriteCall) {
        let mut known = vec!["parentId", "id"];
        known.extend(call.placeholders.keys().map(String::as_str));
        self.path(&call.path, &known);
        self.must(!call.success.is_empty(), format!("{}: no status of success", call.path));
        for FollowUp { name, path, each, when, success, .. } in &call.then {
            self.path(path, &["parentId", "id", "childId"]);
            self.types(name, when);
            self.must(!success.is_empty(), format!("{name}: no status of success"));
            self.must(
                each.is_some() || !path.contains("{childId}"),
                format!("{name}: {{childId}} needs each"),
            );
        }
    }

    fn fields(&mut self, catalog: &Catalog) {
        let contract = self.contract;
        for secret in &contract.secrets {
            self.types(secret.at.as_str(), &secret.when);
            if let Some(reveal) = &secret.reveal {
                let gives =
                    |part: &&Subresource| part.part == PartOf::Secret && part.name == *reveal;
                self.must(
                    contract.subresources.iter().any(|part| gives(&part)),
                    format!("{}: no part {reveal} gives the secret", secret.at),
                );
            }
        }
        for encoded in &contract.encoded {
            self.types(encoded.at.as_str(), &encoded.when);
        }
        for missing in &contract.not_returned {
            let when = When { types: missing.types.clone(), beside: None };
            self.types("notReturned", &when);
        }
        let filters = contract.assignments.as_ref().is_some_and(|one| one.filters);
        let refers = contract.references.iter().any(|one| one.kind == ReferenceKind::Filter);
        self.must(filters == refers, "filters of assignments and references to them go together");
        for reference in &contract.references {
            self.types(reference.at.as_str(), &reference.when);
            if let Target::Type(key) = &reference.to {
                let known = PolicyType::new(key).ok().and_then(|key| catalog.contract(&key));
                self.must(known.is_some(), format!("{}: {key} is no policy type", reference.at));
            }
            self.must(
                contract.assignments.is_some() || reference.at.root() != Some("assignments"),
                format!("{}: the type has no assignments", reference.at),
            );
        }
        let stripped = contract.strip_on_write.iter().chain(&contract.ignore_in_diff);
        let assigned = stripped.filter(|at| at.root() == Some("assignments")).count();
        self.must(assigned == 0, "what assignments lose stands in assignments.strip");
    }

    /// Concrete types that a rule names must be ones of the contract.
    fn types(&mut self, place: &str, when: &When) {
        let known: BTreeSet<&str> = self
            .contract
            .odata_types
            .iter()
            .chain([&self.contract.entity_type])
            .map(String::as_str)
            .collect();
        for name in when.types.iter().filter(|name| !known.contains(name.as_str())) {
            let fault = format!("{place}: {name} is no concrete type of {}", self.contract.key);
            self.must(false, fault);
        }
    }

    fn changes(&mut self) {
        let contract = self.contract;
        let changes = &contract.changes;
        let timed = matches!(changes.incremental, Incremental::Sound | Incremental::OwnMembers);
        self.must(
            !timed || changes.last_modified.is_some(),
            "reading by time of change needs a member that holds it",
        );
        self.must(
            (changes.incremental != Incremental::OwnMembers)
                || !changes.may_change_unseen.is_empty(),
            "name the parts that may change unseen",
        );
        for name in &changes.may_change_unseen {
            let known = (name == "assignments" && contract.assignments.is_some())
                || contract.subresources.iter().any(|part| part.name == *name);
            self.must(known, format!("changes: {name} is no part"));
        }
    }

    fn parent(&mut self, catalog: &Catalog) {
        let list = &self.contract.list;
        let nested = list.path.contains("{parentId}");
        self.must(nested || list.parent.is_none(), "a parent needs {parentId} in the path");
        self.must(!nested || list.parent.is_some(), "a path with {parentId} needs a parent");
        if let Some(Parent::PolicyType { policy_type }) = &list.parent {
            let parent = PolicyType::new(policy_type).ok().and_then(|key| catalog.contract(&key));
            self.must(
                parent.is_some_and(|parent| parent.list.parent.is_none()),
                "the parent must be a type without a parent of its own",
            );
        }
    }
}
