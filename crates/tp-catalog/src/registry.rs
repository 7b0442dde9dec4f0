//! The registry: all contracts, read and checked at start-up.

use std::collections::BTreeMap;

use tp_domain::policy::PolicyType;

use crate::contract::{Contract, ListShape, Parent};
use crate::files::FILES;

/// Something is wrong with a contract file. A fault of ours: tests find it before a user does.
#[derive(Debug, thiserror::Error)]
#[error("contract {file}: {fault}")]
pub struct CatalogError {
    file: String,
    fault: String,
}

/// All contracts, by key.
#[derive(Clone, Debug)]
pub struct Catalog {
    contracts: BTreeMap<PolicyType, Contract>,
}

impl Catalog {
    /// The contracts that this program brings.
    pub fn builtin() -> Result<Self, CatalogError> {
        let mut contracts = BTreeMap::new();
        for (file, text) in FILES {
            let fault = |fault: String| CatalogError { file: (*file).to_owned(), fault };
            let contract: Contract =
                serde_json::from_str(text).map_err(|error| fault(error.to_string()))?;
            let key = PolicyType::new(&contract.key).map_err(|error| fault(error.to_string()))?;
            check(file, &contract).map_err(fault)?;
            contracts.insert(key, contract);
        }
        let catalog = Self { contracts };
        for contract in catalog.contracts.values() {
            catalog.check_parent(contract)?;
        }
        Ok(catalog)
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

    fn check_parent(&self, contract: &Contract) -> Result<(), CatalogError> {
        let fault =
            |fault: &str| CatalogError { file: contract.key.clone(), fault: fault.to_owned() };
        let nested = contract.list.path.contains("{parentId}");
        match &contract.list.parent {
            None if nested => Err(fault("a path with {parentId} needs a parent")),
            Some(_) if !nested => Err(fault("a parent needs {parentId} in the path")),
            Some(Parent::PolicyType { policy_type }) => {
                let parent = PolicyType::new(policy_type).ok().and_then(|key| self.contract(&key));
                match parent {
                    Some(parent) if parent.list.parent.is_none() => Ok(()),
                    _ => Err(fault("the parent must be a type without a parent of its own")),
                }
            }
            _ => Ok(()),
        }
    }
}

/// The file name that belongs to a key.
fn file_of(key: &str) -> String {
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

fn check(file: &str, contract: &Contract) -> Result<(), String> {
    if file != file_of(&contract.key) {
        return Err(format!("the file of {} is called {}", contract.key, file_of(&contract.key)));
    }
    for path in [&contract.list.path, &contract.item.path] {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "/{}-_.'()=@".contains(letter);
        if !path.starts_with('/') || path.contains("..") || !path.chars().all(plain) {
            return Err(format!("{path} is not a path below the version"));
        }
    }
    let options = contract.list.query.keys().chain(contract.item.query.keys());
    for option in options {
        if !["$select", "$expand", "$top", "$orderby", "$filter"].contains(&option.as_str()) {
            return Err(format!(
                "{option} is not a query option; allowed: $select, $expand, $top, $orderby, $filter"
            ));
        }
    }
    if contract.permissions.read.is_empty() {
        return Err("reading needs a permission".to_owned());
    }
    if contract.list.shape == ListShape::Singleton && !contract.list.client_filter.is_empty() {
        return Err("a singleton has nothing to filter".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
