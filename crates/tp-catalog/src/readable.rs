//! A policy as people read it (PRODUCT S-4): sections of labelled values, by the family of its type.
//!
//! Pure, by contract, the same reading as a comparison's. Without setting definitions, ids stand for
//! names and say so. What is exact stays the raw JSON, which every row points into.

mod rows;
mod sections;

use std::hash::RandomState;

use serde::Serialize;

use crate::compare::Referred;
use crate::contract::Contract;
use crate::definitions::Definitions;
use crate::marker;
use crate::names::Names;
use crate::nodes::{Builder, Rules, inner_values};
use crate::tree::Tree;

/// How a type's objects are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Instances of setting definitions, as a tree.
    SettingsCatalog,
    /// Administrative templates: definitions that are enabled or disabled, with presentations.
    AdministrativeTemplate,
    /// Intents of endpoint security: definition ids with JSON values.
    Intent,
    /// Compliance: members of a concrete type, and actions for noncompliance.
    Compliance,
    /// Conditional access: whom, what, under which conditions, what is asked.
    ConditionalAccess,
    /// App protection: members of a concrete type, and the apps.
    AppProtection,
    /// App configuration: keys and values, and the apps.
    AppConfiguration,
    /// Scripts: bodies that are decoded.
    Script,
    /// Enrolment and Autopilot.
    Enrollment,
    /// Members of a concrete type.
    DeviceConfiguration,
    /// Everything else.
    Generic,
}

/// A policy as people read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadablePolicy {
    /// How it is laid out.
    pub family: Family,
    /// What it says, in the order in which people look for it. Technical members come last.
    pub sections: Vec<ReadableSection>,
    /// Members that are there and have no value.
    pub unset: usize,
}

/// A group of values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadableSection {
    /// Its title.
    pub title: String,
    /// What it is about.
    pub kind: SectionKind,
    /// Its values.
    pub rows: Vec<Row>,
}

/// What a section is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// What the policy is called, what it is for, its scope tags.
    General,
    /// What it sets.
    Settings,
    /// Whom it reaches.
    Assignments,
    /// What the service writes.
    Technical,
}

/// A labelled value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Row {
    /// What people call it.
    pub label: String,
    /// Its value for people; empty for the head of a group.
    pub value: String,
    /// Where it stands (RFC 6901), in the object with its parts and `assignments`.
    pub pointer: String,
    /// How deep it lies in the section.
    pub depth: usize,
    /// Whether it is a secret, of which nothing is shown.
    #[serde(skip_serializing_if = "is_false")]
    pub secret: bool,
    /// Whether it is for those only who may see scripts (`scripts.view_content`).
    #[serde(skip_serializing_if = "is_false")]
    pub restricted: bool,
    /// Whether an id stands for a name that is not known.
    #[serde(skip_serializing_if = "is_false")]
    pub unnamed: bool,
    /// Whether the value has several lines.
    #[serde(skip_serializing_if = "is_false")]
    pub multiline: bool,
    /// Whether there is more of the value than is shown.
    #[serde(skip_serializing_if = "is_false")]
    pub cut: bool,
    /// What it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Referred>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// Why a policy cannot be laid out. Its raw JSON can still be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is no JSON object.
    #[error("a policy is a JSON object")]
    NoObject,
    /// It is nested more deeply than any real object.
    #[error("the policy is nested too deeply")]
    TooDeep,
}

/// What makes policies of a type readable.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The contract of the type.
    pub contract: &'a Contract,
    /// Names of settings; empty is fine.
    pub definitions: &'a Definitions,
    /// Names of the objects that the policy refers to.
    pub names: &'a Names,
}

impl Reader<'_> {
    /// Lays a policy out. Assignments, an array, are left out where there are none at hand.
    pub fn read(
        &self,
        object: &Tree<'_>,
        assignments: Option<&Tree<'_>>,
    ) -> Result<ReadablePolicy, ReadError> {
        if !object.is_object() {
            return Err(ReadError::NoObject);
        }
        if !object.is_whole() || assignments.is_some_and(|list| !list.is_whole()) {
            return Err(ReadError::TooDeep);
        }
        let rules = Rules::of(self.contract);
        let inner = inner_values(&rules, object);
        let hasher = RandomState::new();
        let mut builder = Builder::new(&rules, object, &inner, None, &hasher);
        let root = builder.object(object);
        let assignments = self
            .contract
            .assignments
            .as_ref()
            .and_then(|_| assignments.or_else(|| object.get("assignments")))
            .map(|list| builder.assignments(list, object));
        Ok(sections::lay_out(*self, &root, assignments.as_deref()))
    }
}

impl ReadablePolicy {
    /// Takes the values away that only those may see who may see scripts.
    pub fn withhold_restricted(&mut self) {
        for row in self.sections.iter_mut().flat_map(|section| &mut section.rows) {
            if row.restricted {
                marker::SHOWN.clone_into(&mut row.value);
                row.multiline = false;
                row.cut = false;
            }
        }
    }

    /// How many values it shows.
    pub fn len(&self) -> usize {
        self.sections.iter().map(|section| section.rows.len()).sum()
    }

    /// Whether it shows nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Family {
    /// The family of a type.
    pub fn of(contract: &Contract) -> Self {
        let key = contract.key.as_str();
        let has_part = |name: &str| contract.subresources.iter().any(|part| part.put_at == name);
        let by_definition = contract.subresources.iter().any(|part| {
            part.put_at == "settings"
                && part.identity.iter().any(|one| one.as_str().ends_with("/settingDefinitionId"))
        });
        match contract.category.as_str() {
            "app-protection" => Self::AppProtection,
            "app-configuration" => Self::AppConfiguration,
            "scripts" => Self::Script,
            _ if key == "deviceComplianceScript" => Self::Script,
            _ if by_definition => Self::SettingsCatalog,
            _ if has_part("definitionValues") => Self::AdministrativeTemplate,
            _ if has_part("settings") => Self::Intent,
            _ if has_part("scheduledActionsForRule") => Self::Compliance,
            _ if key == "conditionalAccessPolicy" => Self::ConditionalAccess,
            "enrollment" => Self::Enrollment,
            "configuration" | "updates" | "endpoint-security" => Self::DeviceConfiguration,
            _ => Self::Generic,
        }
    }
}
