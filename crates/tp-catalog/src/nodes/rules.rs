//! A contract's facts about single places, ready to be looked up on the way down.

use serde_json::Value;

use crate::contract::Contract;
use crate::fields::{Encoded, Encoding, Handling, ReadsAs, Secret, When};
use crate::parts::{Order, PartOf, Subresource};
use crate::pattern::{Follow, Pattern, Spot};

/// The facts of a contract.
#[derive(Debug)]
pub(crate) struct Rules<'c> {
    pub(crate) contract: &'c Contract,
    pub(crate) follow: Follow,
    rules: Vec<Rule<'c>>,
}

#[derive(Debug)]
enum Rule<'c> {
    Technical,
    Set(&'c [Pattern]),
    Encoded(&'c Encoded),
    Secret(&'c Secret),
    Reference(usize),
}

/// What is true of a place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sort<'c> {
    pub(crate) technical: bool,
    pub(crate) set: Option<&'c [Pattern]>,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) secret: bool,
    pub(crate) restricted: bool,
    pub(crate) tenant_token: bool,
    pub(crate) reference: Option<usize>,
}

impl<'c> Rules<'c> {
    pub(crate) fn of(contract: &'c Contract) -> Self {
        let mut patterns = Vec::new();
        let mut rules = Vec::new();
        let mut add = |pattern: Pattern, rule| {
            patterns.push(pattern);
            rules.push(rule);
        };
        for pattern in &contract.ignore_in_diff {
            add(pattern.clone(), Rule::Technical);
        }
        for set in &contract.sets {
            add(set.at.clone(), Rule::Set(&set.identity));
        }
        for part in &contract.subresources {
            if part.part == PartOf::Payload
                && part.order == Order::Set
                && let Some(pattern) = place(part)
            {
                add(pattern, Rule::Set(&part.identity));
            }
        }
        // Source: registry, generic_rules.always_ignore_in_diff.
        if let Ok(tags) = Pattern::new("/roleScopeTagIds") {
            add(tags, Rule::Set(&[]));
        }
        for encoded in &contract.encoded {
            add(encoded.at.clone(), Rule::Encoded(encoded));
        }
        for secret in &contract.secrets {
            add(secret.at.clone(), Rule::Secret(secret));
        }
        for (index, reference) in contract.references.iter().enumerate() {
            add(reference.at.clone(), Rule::Reference(index));
        }
        if let (Some(assignments), Ok(each)) =
            (&contract.assignments, Pattern::new("/assignments/*"))
        {
            for stripped in assignments.strip.iter().chain(&assignments.not_compared) {
                if let Ok(pattern) = each.below(stripped.as_str()) {
                    add(pattern, Rule::Technical);
                }
            }
        }
        Self { contract, follow: Follow::new(patterns), rules }
    }

    /// What is true of a place whose holder is an object (or an array) of a root of this concrete type.
    pub(crate) fn at(&self, spot: &Spot, odata_type: Option<&str>, holder: &Value) -> Sort<'c> {
        let mut sort = Sort::default();
        for &index in spot.met() {
            match &self.rules[index] {
                Rule::Technical => sort.technical = true,
                Rule::Set(identity) => sort.set = sort.set.or(Some(identity)),
                Rule::Encoded(encoded) if holds(&encoded.when, odata_type, holder) => {
                    sort.encoding = Some(encoded.encoding);
                }
                Rule::Secret(secret) if holds(&secret.when, odata_type, holder) => {
                    match secret.handling {
                        Handling::Redact => sort.secret = true,
                        Handling::Restrict => sort.restricted = true,
                    }
                    sort.tenant_token |= secret.reads_as == ReadsAs::TenantToken;
                }
                Rule::Reference(index) => {
                    let reference = &self.contract.references[*index];
                    if holds(&reference.when, odata_type, holder) {
                        sort.reference = Some(*index);
                    }
                }
                Rule::Encoded(_) | Rule::Secret(_) => {}
            }
        }
        sort
    }
}

/// Where a part of the settings stands.
fn place(part: &Subresource) -> Option<Pattern> {
    let tail = format!("/{}", part.put_at);
    let each = part.read.sub_path.as_ref().and_then(|path| path.each.as_ref());
    match each {
        Some(each) => each.below(&tail).ok(),
        None => Pattern::new(&tail).ok(),
    }
}

fn holds(when: &When, odata_type: Option<&str>, holder: &Value) -> bool {
    (when.types.is_empty()
        || odata_type.is_some_and(|name| when.types.iter().any(|one| one == name)))
        && when
            .beside
            .as_ref()
            .is_none_or(|beside| holder.get(&beside.member) == Some(&beside.equals))
}
