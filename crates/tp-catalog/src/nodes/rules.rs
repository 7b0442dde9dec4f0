//! A contract's facts about single places, ready to be looked up on the way down.

use crate::contract::Contract;
use crate::fields::{Encoded, Encoding, Handling, ReadsAs, Secret, When};
use crate::parts::{Order, PartOf, Subresource};
use crate::pattern::{Follow, Pattern, Spot};
use crate::tree::Tree;

/// The facts of a contract.
#[derive(Debug)]
pub(crate) struct Rules<'c> {
    pub(crate) contract: &'c Contract,
    pub(crate) follow: Follow,
    whats: Vec<Rule<'c>>,
}

#[derive(Debug)]
enum Rule<'c> {
    Technical,
    Set(&'c [Pattern]),
    Encoded(&'c Encoded, Beside),
    Secret(&'c Secret, Beside),
    Reference(usize, Beside),
}

/// The value that the member beside must have.
type Beside = Tree<'static>;

/// What is true of a place.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
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
            add(encoded.at.clone(), Rule::Encoded(encoded, beside(&encoded.when)));
        }
        for secret in &contract.secrets {
            add(secret.at.clone(), Rule::Secret(secret, beside(&secret.when)));
        }
        for (index, reference) in contract.references.iter().enumerate() {
            add(reference.at.clone(), Rule::Reference(index, beside(&reference.when)));
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
        Self { contract, follow: Follow::new(patterns), whats: rules }
    }

    /// What is true of a place whose holder is an object (or an array) of a root of this concrete type.
    pub(crate) fn at(&self, spot: Spot, odata_type: Option<&str>, holder: &Tree<'_>) -> Sort<'c> {
        let mut sort = Sort::default();
        for &index in &*self.follow.met(spot) {
            match &self.whats[index] {
                Rule::Technical => sort.technical = true,
                Rule::Set(identity) => sort.set = sort.set.or(Some(identity)),
                Rule::Encoded(encoded, beside)
                    if holds(&encoded.when, beside, odata_type, holder) =>
                {
                    sort.encoding = Some(encoded.encoding);
                }
                Rule::Secret(secret, beside) if holds(&secret.when, beside, odata_type, holder) => {
                    match secret.handling {
                        Handling::Redact => sort.secret = true,
                        Handling::Restrict => sort.restricted = true,
                    }
                    sort.tenant_token |= secret.reads_as == ReadsAs::TenantToken;
                }
                Rule::Reference(index, beside) => {
                    let reference = &self.contract.references[*index];
                    if holds(&reference.when, beside, odata_type, holder) {
                        sort.reference = Some(*index);
                    }
                }
                Rule::Encoded(..) | Rule::Secret(..) => {}
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

fn beside(when: &When) -> Beside {
    let equals = when.beside.as_ref().map(|beside| serde_json::to_value(&beside.equals));
    equals.and_then(Result::ok).map_or(Tree::Null, Tree::from)
}

fn holds(when: &When, equals: &Beside, odata_type: Option<&str>, holder: &Tree<'_>) -> bool {
    let of_type = when.types.is_empty()
        || odata_type.is_some_and(|name| when.types.iter().any(|one| one == name));
    let is_beside = |beside: &crate::fields::Beside| {
        holder.get(&beside.member).is_some_and(|one| one == equals)
    };
    of_type && when.beside.as_ref().is_none_or(is_beside)
}

/// The concrete type of an object, without `#microsoft.graph.`.
pub(crate) fn odata_type<'t>(object: &'t Tree<'_>) -> Option<&'t str> {
    let text = object.get("@odata.type")?.as_str()?;
    Some(text.strip_prefix("#microsoft.graph.").unwrap_or(text))
}
