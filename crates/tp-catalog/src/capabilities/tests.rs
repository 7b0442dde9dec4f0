use std::collections::BTreeSet;

use tp_domain::policy::PolicyType;

use super::*;
use crate::permissions::Needed;
use crate::registry::Catalog;

/// The text must be what the file holds; `UPDATE_GOLDEN` writes it.
fn golden(name: &str, text: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} changed; look at the difference, then UPDATE_GOLDEN=1");
}

/// A table that a person can read: columns as wide as their widest cell.
fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let wide = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap()
    };
    let widths: Vec<usize> = (0..heads.len()).map(wide).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(&heads) + &line(&rule);
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}

fn or_dash(list: &[String]) -> String {
    if list.is_empty() { "-".to_owned() } else { list.join(", ") }
}

fn contract(catalog: &Catalog, key: &str) -> Contract {
    catalog.contract(&PolicyType::new(key).unwrap()).unwrap().clone()
}

#[test]
fn capabilities_change_only_on_purpose() {
    let catalog = Catalog::builtin().unwrap();
    let rows: Vec<Vec<String>> = catalog
        .iter()
        .map(|(key, contract)| {
            let can = capabilities(contract, None);
            vec![
                key.to_string(),
                can.backup.as_str().to_owned(),
                can.restore.as_str().replace('_', " "),
                can.risk.as_str().to_owned(),
                can.app_write.as_str().replace('_', " "),
                or_dash(&contract.permissions.read),
                or_dash(&contract.permissions.write),
                or_dash(&can.dependencies),
            ]
        })
        .collect();
    let heads = [
        "Policy type",
        "Backup",
        "Restore",
        "Risk",
        "An app can write",
        "Reading needs",
        "Writing needs",
        "Restore these before",
    ];
    let intro = "What can be done with each policy type.\n\n\
        Backup: full = all settings that Microsoft gives; metadata = names and dates; none = an app cannot read it.\n\
        Restore: enabled; preview only = shown, and done after an operator switches it on; unsupported.\n\n";
    let mut text = intro.to_owned() + &table(&heads, &rows);
    text.push_str("\nWhat a backup does not hold, and what is not sure\n\n");
    for (key, contract) in catalog.iter() {
        for limit in capabilities(contract, None).limits {
            text.push_str(&format!("{key}: {limit}\n"));
        }
    }
    golden("capabilities.txt", &text);
}

/// All types × {no connection, read-only app, full app, each permission missing}.
#[test]
fn what_works_for_a_tenant_changes_only_on_purpose() {
    let catalog = Catalog::builtin().unwrap();
    let needed = Needed::of_all(&catalog);
    let reader: Vec<String> = needed.read.iter().cloned().collect();
    let full: Vec<String> = needed.read.union(&needed.write).cloned().collect();
    let states: Vec<(&str, Option<Vec<String>>)> = vec![
        ("no connection", None),
        ("app without permissions", Some(Vec::new())),
        ("read-only app", Some(reader.clone())),
        ("full app", Some(full.clone())),
    ];
    let mut text = String::from("What works with the permissions that a tenant granted.\n");
    for (name, granted) in &states {
        text.push_str(&format!("\n== With: {name}\n\n"));
        let rows: Vec<Vec<String>> = catalog
            .iter()
            .map(|(key, contract)| {
                let can = capabilities(contract, granted.as_deref());
                vec![key.to_string(), can.reading.words(), can.writing.words()]
            })
            .collect();
        text.push_str(&table(&["Policy type", "Back up", "Restore"], &rows));
    }
    for (name, granted) in [("read-only app", &reader), ("full app", &full)] {
        for missing in granted {
            let rest: Vec<String> = granted.iter().filter(|one| *one != missing).cloned().collect();
            text.push_str(&format!("\n== With: {name}, but without {missing}\n\n"));
            text.push_str(&difference(&catalog, granted, &rest));
        }
    }
    golden("capabilities-by-grant.txt", &text);
}

fn difference(catalog: &Catalog, before: &[String], after: &[String]) -> String {
    let rows: Vec<Vec<String>> = catalog
        .iter()
        .filter_map(|(key, contract)| {
            let with = capabilities(contract, Some(before));
            let without = capabilities(contract, Some(after));
            let words = |with: &Works, without: &Works| {
                if with == without { "as before".to_owned() } else { without.words() }
            };
            let changed = with.reading != without.reading || with.writing != without.writing;
            changed.then(|| {
                let reading = words(&with.reading, &without.reading);
                vec![key.to_string(), reading, words(&with.writing, &without.writing)]
            })
        })
        .collect();
    if rows.is_empty() {
        return "Nothing changes: another permission covers it.\n".to_owned();
    }
    table(&["Policy type", "Back up", "Restore"], &rows)
}

#[test]
fn every_permission_that_is_asked_for_is_needed_by_a_type() {
    let catalog = Catalog::builtin().unwrap();
    let needed = Needed::of_all(&catalog);
    let reader: Vec<String> = needed.read.iter().cloned().collect();
    assert!(needed.excess(&reader).is_empty(), "a read-only app asks for nothing too much");
    for missing in &reader {
        let rest: Vec<String> = reader.iter().filter(|one| *one != missing).cloned().collect();
        let lacking: BTreeSet<String> = catalog
            .iter()
            .flat_map(|(_, contract)| capabilities(contract, Some(&rest)).missing_to_read)
            .collect();
        assert_eq!(lacking, BTreeSet::from([missing.clone()]));
    }
}

#[test]
fn a_tenant_is_told_what_is_missing() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "conditionalAccessPolicy");
    let none = capabilities(&contract, Some(&[]));
    assert_eq!(none.missing_to_read, ["Policy.Read.All"]);
    let some = ["Policy.Read.All".to_owned()];
    let can = capabilities(&contract, Some(&some));
    assert_eq!(can.reading, Works::Yes);
    assert_eq!(
        can.missing_to_write,
        ["Policy.ReadWrite.ConditionalAccess", "Application.Read.All"]
    );
}

#[test]
fn a_write_permission_reads_too() {
    let catalog = Catalog::builtin().unwrap();
    let granted = ["DeviceManagementConfiguration.ReadWrite.All".to_owned()];
    let can = capabilities(&contract(&catalog, "deviceConfiguration"), Some(&granted));
    assert_eq!((can.reading, can.writing), (Works::Yes, Works::Yes));
}

#[test]
fn what_only_people_may_do_is_said_to_be_impossible_for_an_app() {
    let catalog = Catalog::builtin().unwrap();
    let can = capabilities(&contract(&catalog, "termsOfUseAgreement"), Some(&[]));
    assert_eq!(can.backup, BackupLevel::None);
    assert_eq!(can.restore, RestoreMode::Unsupported);
    assert!(matches!(can.reading, Works::Never(_)));
    assert_eq!(can.app_write, AppWrite::SignedInOnly);
}

#[test]
fn what_graph_does_not_give_is_no_full_backup() {
    let catalog = Catalog::builtin().unwrap();
    let files = capabilities(&contract(&catalog, "groupPolicyUploadedDefinitionFile"), None);
    assert_eq!(files.backup, BackupLevel::Metadata);
    let apps = capabilities(&contract(&catalog, "mobileApp"), None);
    assert_eq!(apps.backup, BackupLevel::Full);
    assert!(apps.limits.iter().any(|limit| limit.contains("package")));
    let profiles = capabilities(&contract(&catalog, "depEnrollmentProfile"), None);
    assert!(profiles.dependencies.contains(&"depOnboardingSetting".to_owned()));
}
