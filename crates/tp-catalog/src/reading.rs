//! How an object is read in full, derived from its contract: which requests, in which order.
//!
//! An object in full is the listed object, with the reply of the single GET (if one is needed) laid over
//! it member by member, and with the parts put in. Assignments are kept beside it.

use std::collections::BTreeMap;

use crate::contract::Contract;
use crate::parts::{PartOf, Subresource, Way, Ways};

/// The requests that read a type's objects in full.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// Query of the listing, with every expansion that is taken.
    pub list_query: BTreeMap<String, String>,
    /// Query of the single GET; none where no object needs one.
    pub item_query: Option<BTreeMap<String, String>>,
    /// Parts with requests of their own, in the order in which they must be read.
    pub parts: Vec<&'a Subresource>,
    /// The path of the assignments, where they have a request of their own.
    pub assignments_path: Option<&'a str>,
}

impl Reading<'_> {
    /// Requests for one object beside the listing, where each part fits on one page. Not counted: parts
    /// below children and parts that only some objects have.
    pub fn requests_per_object(&self) -> usize {
        let parts = self.parts.iter().filter(|part| {
            part.any_positive.is_empty() && part.when.types.is_empty() && !part.is_nested()
        });
        usize::from(self.item_query.is_some())
            + parts.count()
            + usize::from(self.assignments_path.is_some())
    }
}

impl Subresource {
    /// Whether it is read below each child of another part.
    pub fn is_nested(&self) -> bool {
        self.read.prefer == Way::PerChild
    }
}

impl Contract {
    /// The requests that read its objects in full: the settings and the assignments.
    pub fn reading(&self) -> Reading<'_> {
        let payload = || self.subresources.iter().filter(|part| part.part == PartOf::Payload);
        let mut list = Expansions::of(&self.list.query);
        let mut item = Expansions::of(&self.item.query);
        let assignments = self.assignments.as_ref().map(|assignments| &assignments.read);
        let mut needs_item = !self.item.list_is_complete;
        for ways in payload().map(|part| &part.read).chain(assignments) {
            match ways.prefer {
                Way::ListExpand => {
                    list.add(ways.list_expand.as_ref().map(|expand| expand.expand.as_str()));
                }
                Way::ItemExpand => item.add(ways.item_expand.as_deref()),
                _ => {}
            }
            needs_item |= ways.needs_item();
        }
        let own = |way| matches!(way, Way::SubPath | Way::PerChild | Way::Call);
        Reading {
            list_query: list.query(),
            item_query: needs_item.then(|| item.query()),
            parts: payload().filter(|part| own(part.read.prefer)).collect(),
            assignments_path: assignments
                .filter(|ways| ways.prefer == Way::SubPath)
                .and_then(|ways| ways.sub_path.as_ref())
                .map(|sub_path| sub_path.path.as_str()),
        }
    }

    /// The requests that read one object afresh: what a listing would bring is asked of the object, or by
    /// the part's own path where the object cannot be asked for it.
    pub fn reading_of_one(&self) -> Reading<'_> {
        let of_listing = |ways: &Ways| {
            matches!(ways.prefer, Way::ListExpand | Way::Inline) && ways.item_expand.is_none()
        };
        let own = |ways: &Ways| {
            matches!(ways.prefer, Way::SubPath | Way::PerChild | Way::Call)
                || (ways.prefer == Way::ListExpand && of_listing(ways))
        };
        let payload = self.subresources.iter().filter(|part| part.part == PartOf::Payload);
        let assignments = self.assignments.as_ref().map(|assignments| &assignments.read);
        Reading {
            list_query: BTreeMap::new(),
            item_query: Some(self.item_query_in_full()),
            parts: payload.filter(|part| own(&part.read)).collect(),
            assignments_path: assignments
                .filter(|ways| ways.prefer == Way::SubPath || of_listing(ways))
                .and_then(|ways| ways.sub_path.as_ref())
                .map(|sub_path| sub_path.path.as_str()),
        }
    }

    /// The query of a single GET of an object in full, for reading one object afresh.
    pub fn item_query_in_full(&self) -> BTreeMap<String, String> {
        let mut item = Expansions::of(&self.item.query);
        let payload = self.subresources.iter().filter(|part| part.part == PartOf::Payload);
        let assignments = self.assignments.as_ref().map(|assignments| &assignments.read);
        for ways in payload.map(|part| &part.read).chain(assignments) {
            // A part with a path of its own is read there: its expansion gives one page at most.
            if matches!(ways.prefer, Way::ItemExpand | Way::ListExpand) {
                item.add(ways.item_expand.as_deref());
            }
        }
        item.query()
    }
}

/// A query and its expansions, each once.
struct Expansions {
    rest: BTreeMap<String, String>,
    expansions: Vec<String>,
}

impl Expansions {
    fn of(query: &BTreeMap<String, String>) -> Self {
        let mut rest = query.clone();
        let expansions = rest.remove("$expand").map_or_else(Vec::new, |text| split(&text));
        Self { rest, expansions }
    }

    fn add(&mut self, expand: Option<&str>) {
        if let Some(expand) = expand.filter(|one| !self.expansions.iter().any(|has| has == one)) {
            self.expansions.push(expand.to_owned());
        }
    }

    fn query(self) -> BTreeMap<String, String> {
        let mut query = self.rest;
        if !self.expansions.is_empty() {
            query.insert("$expand".to_owned(), self.expansions.join(","));
        }
        query
    }
}

/// Splits at the commas that are in no brackets.
fn split(text: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let parts = text.split(|letter: char| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    });
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Catalog;

    fn contract(key: &str) -> Contract {
        let catalog = Catalog::builtin().unwrap();
        let key = tp_domain::policy::PolicyType::new(key).unwrap();
        catalog.contract(&key).unwrap().clone()
    }

    #[test]
    fn what_a_listing_is_proved_to_bring_costs_no_request() {
        let contract = contract("deviceCompliancePolicy");
        let reading = contract.reading();
        assert_eq!(reading.requests_per_object(), 0);
        assert_eq!(
            reading.list_query["$expand"],
            "scheduledActionsForRule($expand=scheduledActionConfigurations),assignments"
        );
    }

    #[test]
    fn settings_and_assignments_of_a_catalog_policy_have_their_paths() {
        let contract = contract("settingsCatalogPolicy");
        let reading = contract.reading();
        assert_eq!(reading.requests_per_object(), 2);
        assert!(reading.item_query.is_none());
        assert!(reading.list_query.is_empty());
    }

    #[test]
    fn a_script_is_read_once_with_its_assignments() {
        let contract = contract("deviceManagementScript");
        let reading = contract.reading();
        assert_eq!(reading.requests_per_object(), 1);
        assert_eq!(reading.item_query.unwrap()["$expand"], "assignments");
    }

    #[test]
    fn one_object_is_asked_for_what_a_listing_would_bring() {
        let contract = contract("deviceCompliancePolicy");
        let reading = contract.reading_of_one();
        assert!(reading.parts.is_empty());
        assert!(reading.item_query.unwrap()["$expand"].contains("scheduledActionsForRule"));
        let contract = self::contract("compliancePolicyV2");
        let names: Vec<&str> =
            contract.reading_of_one().parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["settings", "scheduledActionsForRule"]);
    }

    #[test]
    fn commas_in_brackets_do_not_split() {
        assert_eq!(split("a($expand=b,c),d"), ["a($expand=b,c)", "d"]);
    }
}
