//! Permissions of an app: which covers which, what is missing, what is more than needed.
//!
//! Source: Microsoft's permission reference. `X.ReadWrite.All` can do what `X.Read.All` can, and the
//! `Directory` permissions read what those for groups, applications and the organization read.

use std::collections::BTreeSet;

use crate::contract::{Contract, Wall};
use crate::registry::Catalog;

/// Whether a permission is enough where another is asked for.
pub fn covers(granted: &str, needed: &str) -> bool {
    let by_directory = ["Group.Read.All", "Application.Read.All", "Organization.Read.All"];
    granted == needed
        || granted == needed.replace(".Read.", ".ReadWrite.")
        || (by_directory.contains(&needed)
            && ["Directory.Read.All", "Directory.ReadWrite.All"].contains(&granted))
}

/// Whether nothing can be changed with a permission: `Resource.Read.All`, `Policy.Read.X` and the like. A name of
/// another form is taken for one that can.
pub fn only_reads(permission: &str) -> bool {
    permission.split('.').nth(1).is_some_and(|verb| verb == "Read" || verb == "ReadBasic")
}

/// Those that are needed and that nothing granted covers, in their order.
pub fn missing(needed: &[String], granted: &[String]) -> Vec<String> {
    let lacks = |need: &&String| !granted.iter().any(|one| covers(one, need));
    needed.iter().filter(lacks).cloned().collect()
}

/// A permission that was granted and is more than needed (ruling 40).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// The permission.
    pub permission: String,
    /// Why it is more than needed.
    pub why: ExcessReason,
}

/// Why a granted permission is more than needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExcessReason {
    /// No policy type needs it.
    Unused,
    /// Restores alone need it.
    RestoreOnly,
    /// A narrower permission is enough.
    Wider {
        /// The narrower one.
        enough: Vec<String>,
    },
    /// Another granted one covers it.
    Covered {
        /// The other one.
        by: String,
    },
}

impl Excess {
    /// What to tell a person.
    pub fn sentence(&self) -> String {
        let permission = &self.permission;
        match &self.why {
            ExcessReason::Unused => {
                format!("{permission} is not needed by anything here. Take it away.")
            }
            ExcessReason::RestoreOnly => {
                format!("{permission} is needed for restores only. Without restores, take it away.")
            }
            ExcessReason::Wider { enough } => {
                let is = if enough.len() == 1 { "is" } else { "are" };
                let enough = enough.join(" and ");
                format!("{permission} allows more than is needed. {enough} {is} enough.")
            }
            ExcessReason::Covered { by } => {
                format!("{permission} adds nothing: {by} covers it.")
            }
        }
    }
}

/// What an app needs in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// To read every type that an app can read.
    pub read: BTreeSet<String>,
    /// To write every type that an app can write.
    pub write: BTreeSet<String>,
}

impl Needed {
    /// What these types need in all. Types that are closed to apps need nothing.
    pub fn of<'a>(contracts: impl Iterator<Item = &'a Contract>) -> Self {
        let mut needed = Self::default();
        for contract in contracts {
            let permissions = &contract.permissions;
            if permissions.app_read != Wall::Closed {
                needed.read.extend(permissions.read.iter().cloned());
            }
            if permissions.app_write != Wall::Closed {
                needed.write.extend(permissions.write.iter().cloned());
            }
        }
        needed
    }

    /// What all types of the registry need.
    pub fn of_all(catalog: &Catalog) -> Self {
        Self::of(catalog.iter().map(|(_, contract)| contract))
    }

    /// What was granted beyond this, in the order of its names.
    pub fn excess(&self, granted: &[String]) -> Vec<Excess> {
        let granted: BTreeSet<&String> = granted.iter().collect();
        let reason = |one: &String| {
            // What reading needs, in its narrowest form, is never too much: where a wider one stands beside
            // it, the wider one goes.
            if self.read.contains(one) {
                return None;
            }
            let other = granted.iter().find(|other| **other != one && covers(other, one));
            if let Some(by) = other {
                return Some(ExcessReason::Covered { by: (*by).clone() });
            }
            if self.write.contains(one) {
                return Some(ExcessReason::RestoreOnly);
            }
            let enough: Vec<String> =
                self.read.iter().filter(|need| covers(one, need)).cloned().collect();
            Some(if enough.is_empty() {
                ExcessReason::Unused
            } else {
                ExcessReason::Wider { enough }
            })
        };
        granted
            .iter()
            .filter_map(|one| reason(one).map(|why| Excess { permission: (*one).clone(), why }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_wider_permission_covers_a_narrower_one() {
        assert!(covers("Group.ReadWrite.All", "Group.Read.All"));
        assert!(covers("Directory.Read.All", "Group.Read.All"));
        assert!(!covers("Group.Read.All", "Group.ReadWrite.All"));
        assert!(!covers("Policy.Read.All", "Policy.Read.DeviceConfiguration"));
        assert_eq!(missing(&names(&["a.Read.All", "b"]), &names(&["a.ReadWrite.All"])), ["b"]);
    }

    #[test]
    fn what_only_reads_is_known_by_its_name() {
        for reads in ["Group.Read.All", "Policy.Read.DeviceConfiguration", "User.ReadBasic.All"] {
            assert!(only_reads(reads), "{reads}");
        }
        for writes in ["Group.ReadWrite.All", "Mail.Send", "Sites.FullControl.All", "x", ""] {
            assert!(!only_reads(writes), "{writes}");
        }
    }

    #[test]
    fn more_than_needed_is_said_with_what_is_enough() {
        let needed = Needed {
            read: names(&["Group.Read.All", "A.Read.All"]).into_iter().collect(),
            write: names(&["A.ReadWrite.All"]).into_iter().collect(),
        };
        let granted = names(&["A.Read.All", "A.ReadWrite.All", "Directory.Read.All", "Mail.Read"]);
        let why: Vec<ExcessReason> =
            needed.excess(&granted).into_iter().map(|excess| excess.why).collect();
        assert_eq!(
            why,
            [
                ExcessReason::RestoreOnly,
                ExcessReason::Wider { enough: names(&["Group.Read.All"]) },
                ExcessReason::Unused,
            ]
        );
        assert!(needed.excess(&names(&["A.Read.All", "Group.Read.All"])).is_empty());
        let twice = names(&["B.Read.All", "B.ReadWrite.All"]);
        let by = "B.ReadWrite.All".to_owned();
        assert_eq!(needed.excess(&twice)[0].why, ExcessReason::Covered { by });
    }
}
