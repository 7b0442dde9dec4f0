//! The table of a connection's permissions: each with what it is needed for, and how it stands
//! (PRODUCT G-7, ruling 40). Pure: the same grants give the same table.

use std::collections::{BTreeMap, BTreeSet};

use crate::contract::{Contract, Wall};
use crate::permissions::{Excess, Needed, covers, only_reads};
use crate::registry::Catalog;

/// What a permission is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Reading: inventory, backups, drift.
    Backup,
    /// Writing: restores. A connection that only reads needs none of these.
    Restore,
}

impl Purpose {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// How a needed permission stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was granted.
    Granted,
    /// Another one that was granted covers it.
    Covered {
        /// The other one.
        by: String,
    },
    /// It was not granted.
    Missing,
    /// Nobody has looked yet.
    NotChecked,
}

impl Standing {
    /// The stable word.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Covered { .. } => "covered",
            Self::Missing => "missing",
            Self::NotChecked => "not_checked",
        }
    }

    fn of(needed: &str, granted: Option<&[String]>) -> Self {
        let Some(granted) = granted else { return Self::NotChecked };
        if granted.iter().any(|one| one == needed) {
            return Self::Granted;
        }
        match granted.iter().find(|one| covers(one, needed)) {
            Some(by) => Self::Covered { by: by.clone() },
            None => Self::Missing,
        }
    }
}

/// One needed permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionLine {
    /// The permission.
    pub permission: String,
    /// What for. A permission that reading needs stands there, whatever else needs it.
    pub purpose: Purpose,
    /// The families of policy types that it serves, in words.
    pub features: Vec<String>,
    /// The labels of those policy types.
    pub types: Vec<String>,
    /// How it stands.
    pub standing: Standing,
}

impl PermissionLine {
    /// What does not work without it.
    pub fn without(&self) -> String {
        let (one, many) = match self.purpose {
            Purpose::Backup => ("is not backed up", "are not backed up"),
            Purpose::Restore => ("cannot be restored", "cannot be restored"),
        };
        match self.types.len() {
            1 => format!("1 policy type {one}"),
            count => format!("{count} policy types {many}"),
        }
    }
}

/// The whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionCheck {
    /// Every needed permission: those for reading first, by name.
    pub lines: Vec<PermissionLine>,
    /// Those that were granted beyond what is needed.
    pub excess: Vec<Excess>,
    /// Those that were granted and can change something in the tenant, needed or not.
    pub writing: Vec<String>,
    /// Policy types that Microsoft lets no app read, whatever is granted.
    pub unreadable: Vec<String>,
    /// Policy types that an app can read and not write, whatever is granted.
    pub unwritable: Vec<String>,
    /// Policy types whose writing Microsoft may refuse to an app: no documented permission says otherwise.
    pub unproved: Vec<String>,
}

impl PermissionCheck {
    /// How many needed permissions of a purpose are there.
    pub fn held(&self, purpose: Purpose) -> usize {
        let held = |line: &&PermissionLine| {
            line.purpose == purpose
                && matches!(line.standing, Standing::Granted | Standing::Covered { .. })
        };
        self.lines.iter().filter(held).count()
    }

    /// How many are missing.
    pub fn missing(&self, purpose: Purpose) -> usize {
        let missing =
            |line: &&PermissionLine| line.purpose == purpose && line.standing == Standing::Missing;
        self.lines.iter().filter(missing).count()
    }

    /// Whether something may be changed with what was granted: such a connection is not read-only.
    pub const fn can_write(&self) -> bool {
        !self.writing.is_empty()
    }
}

/// A family of policy types in words.
fn feature(category: &str) -> String {
    match category {
        "windows365" => return "Windows 365".to_owned(),
        "tenant-admin" => return "Tenant administration".to_owned(),
        _ => {}
    }
    let words = category.replace('-', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[derive(Default)]
struct Served {
    features: BTreeSet<String>,
    types: BTreeSet<String>,
}

/// Makes the table. `granted` are the app's permissions in the tenant, `None` when unknown.
pub fn permission_check(catalog: &Catalog, granted: Option<&[String]>) -> PermissionCheck {
    let needed = Needed::of_all(catalog);
    let mut served: BTreeMap<(Purpose, String), Served> = BTreeMap::new();
    let (mut unreadable, mut unwritable, mut unproved) = (Vec::new(), Vec::new(), Vec::new());
    for (_, contract) in catalog.iter() {
        let permissions = &contract.permissions;
        let mut serve = |purpose, names: &[String]| {
            for name in names {
                let at = served.entry((purpose, name.clone())).or_default();
                at.features.insert(feature(&contract.category));
                at.types.insert(contract.label.clone());
            }
        };
        if permissions.app_read == Wall::Closed {
            unreadable.push(contract.label.clone());
            continue;
        }
        serve(Purpose::Backup, &permissions.read);
        if !is_written(contract) {
            continue;
        }
        match permissions.app_write {
            Wall::Closed => {
                unwritable.push(contract.label.clone());
                continue;
            }
            Wall::Unproved => unproved.push(contract.label.clone()),
            Wall::Open => {}
        }
        let own: Vec<String> =
            permissions.write.iter().filter(|name| !needed.read.contains(*name)).cloned().collect();
        serve(Purpose::Restore, &own);
    }
    let lines = served.into_iter().map(|((purpose, permission), served)| PermissionLine {
        standing: Standing::of(&permission, granted),
        permission,
        purpose,
        features: served.features.into_iter().collect(),
        types: served.types.into_iter().collect(),
    });
    unreadable.sort();
    unwritable.sort();
    unproved.sort();
    PermissionCheck {
        lines: lines.collect(),
        excess: granted.map(|granted| needed.excess(granted)).unwrap_or_default(),
        writing: granted
            .unwrap_or_default()
            .iter()
            .filter(|one| !only_reads(one))
            .cloned()
            .collect(),
        unreadable,
        unwritable,
        unproved,
    }
}

/// Whether Graph has a way to write it at all.
const fn is_written(contract: &Contract) -> bool {
    contract.create.is_some() || contract.update.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_table_of_permissions_changes_only_on_purpose() {
        let catalog = Catalog::builtin().unwrap();
        let check = permission_check(&catalog, None);
        let mut text = String::new();
        for line in &check.lines {
            assert_eq!(line.standing, Standing::NotChecked);
            text.push_str(&format!(
                "{} | {} | {} | {}\n",
                line.purpose.as_str(),
                line.permission,
                line.features.join(", "),
                line.without(),
            ));
        }
        text.push_str(&format!("\nno app can read: {}\n", check.unreadable.join(", ")));
        text.push_str(&format!("no app can write: {}\n", check.unwritable.join(", ")));
        text.push_str(&format!("an app may be refused: {}\n", check.unproved.join(", ")));
        let path = format!("{}/tests/golden/permissions.txt", env!("CARGO_MANIFEST_DIR"));
        #[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
        if std::env::var("UPDATE_GOLDEN").is_ok() {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(expected == text, "look at the difference, then UPDATE_GOLDEN=1:\n{text}");
    }

    #[test]
    fn each_needed_permission_is_said_to_be_there_or_missing() {
        let catalog = Catalog::builtin().unwrap();
        let needed = Needed::of_all(&catalog);
        let mut granted: Vec<String> = needed.read.iter().cloned().collect();
        let all = permission_check(&catalog, Some(&granted));
        assert_eq!(all.missing(Purpose::Backup), 0);
        assert_eq!(all.held(Purpose::Backup), needed.read.len());
        assert!(!all.can_write() && all.missing(Purpose::Restore) > 0);
        assert_eq!(all.excess, []);

        granted.retain(|name| name != "DeviceManagementScripts.Read.All");
        granted.push("Mail.Read".to_owned());
        let less = permission_check(&catalog, Some(&granted));
        assert_eq!(less.missing(Purpose::Backup), 1);
        let line = less.lines.iter().find(|line| line.standing == Standing::Missing).unwrap();
        assert_eq!(line.permission, "DeviceManagementScripts.Read.All");
        assert!(line.features.contains(&"Scripts".to_owned()), "{line:?}");
        assert_eq!(less.excess.len(), 1);

        let wide =
            permission_check(&catalog, Some(&names(&["DeviceManagementScripts.ReadWrite.All"])));
        let line = |permission: &str| {
            wide.lines.iter().find(|line| line.permission == permission).unwrap().standing.clone()
        };
        let by = "DeviceManagementScripts.ReadWrite.All".to_owned();
        assert_eq!(line("DeviceManagementScripts.Read.All"), Standing::Covered { by });
        assert_eq!(line("DeviceManagementScripts.ReadWrite.All"), Standing::Granted);
        assert!(wide.can_write());
    }
}
