//! The registry: all contracts, read and checked at start-up.

use std::collections::BTreeMap;

use tp_domain::policy::PolicyType;

use crate::check;
use crate::contract::Contract;
use crate::files::FILES;
use crate::schema::Schema;

/// Something is wrong with a contract file. A fault of ours: tests find it before a user does.
#[derive(Debug, thiserror::Error)]
#[error("contract {file}: {fault}")]
pub struct CatalogError {
    file: String,
    fault: String,
}

/// All contracts, by key, and what the schema says of their members.
#[derive(Clone, Debug)]
pub struct Catalog {
    contracts: BTreeMap<PolicyType, Contract>,
    schema: Schema,
}

impl Catalog {
    /// The contracts that this program brings.
    pub fn builtin() -> Result<Self, CatalogError> {
        Self::from_files(FILES)
    }

    /// The contracts of these files (name, text), checked as at start-up.
    pub fn from_files(files: &[(&str, &str)]) -> Result<Self, CatalogError> {
        let mut contracts = BTreeMap::new();
        let broken = |file: &str, fault: String| CatalogError { file: file.to_owned(), fault };
        for (file, text) in files {
            let contract: Contract =
                serde_json::from_str(text).map_err(|error| broken(file, error.to_string()))?;
            let key =
                PolicyType::new(&contract.key).map_err(|error| broken(file, error.to_string()))?;
            if *file != check::file_of(&contract.key) {
                return Err(broken(
                    file,
                    format!("the file of {key} is called {}", check::file_of(&contract.key)),
                ));
            }
            if contracts.insert(key, contract).is_some() {
                return Err(broken(file, "the key is there twice".to_owned()));
            }
        }
        let schema = Schema::builtin().map_err(|error| broken("schema.json", error.to_string()))?;
        let catalog = Self { contracts, schema };
        match catalog.check().into_iter().next() {
            Some(fault) => Err(broken(&check::file_of(&fault.key), fault.fault)),
            None => Ok(catalog),
        }
    }

    /// What is wrong with the contracts, by their own words; nothing in a program that was built.
    pub fn check(&self) -> Vec<check::Fault> {
        let all = || self.contracts.values();
        all().flat_map(|contract| check::structure(contract, self)).collect()
    }

    /// The text of a built-in contract's file.
    pub fn text(key: &PolicyType) -> Option<&'static str> {
        let file = check::file_of(key.as_str());
        FILES.iter().find(|(name, _)| *name == file).map(|(_, text)| *text)
    }

    /// What Microsoft's metadata say of the members of each concrete type.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The contract of a type. Without one there is no call (PRODUCT G-1).
    pub fn contract(&self, key: &PolicyType) -> Option<&Contract> {
        self.contracts.get(key)
    }

    /// All contracts, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&PolicyType, &Contract)> {
        self.contracts.iter()
    }

    /// How many types there are.
    pub fn len(&self) -> usize {
        self.contracts.len()
    }

    /// Whether there is none; never true for the built-in contracts.
    pub fn is_empty(&self) -> bool {
        self.contracts.is_empty()
    }

    /// The label of a type; its key where it has no contract any more.
    pub fn label<'a>(&'a self, key: &'a PolicyType) -> &'a str {
        self.contract(key).map_or(key.as_str(), |contract| contract.label.as_str())
    }
}

#[cfg(test)]
mod tests;
