//! Folders of other tools, made after their sources by hand, and what somebody may put into one.

use std::collections::BTreeSet;
use std::io::Cursor;

use tp_archive::{
    ArchiveError, Fault, ForeignFolder, ForeignPolicy, Found, LeftFile, Remark, Tool, Why,
};
use tp_catalog::registry::Catalog;
use tp_catalog::secrets::redact;
use tp_domain::json;
use tp_domain::json::Json;

use crate::craft::{Crafted, open, packed, zip_of};

const GUID: &str = "aaaaaaaa-1111-2222-3333-444444444444";
const OTHER: &str = "bbbbbbbb-1111-2222-3333-444444444444";
const GROUP: &str = "cccccccc-1111-2222-3333-444444444444";

fn file(path: &str, value: &Json) -> (String, Vec<u8>) {
    (path.to_owned(), value.to_string().into_bytes())
}

/// As `Out-File` of Windows `PowerShell` writes it.
fn wide(path: &str, value: &Json) -> (String, Vec<u8>) {
    let text = format!("{value}\r\n");
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    (path.to_owned(), [0xff, 0xfe].into_iter().chain(units).collect())
}

struct Reading {
    tool: Tool,
    policies: Vec<ForeignPolicy>,
    left: Vec<LeftFile>,
}

impl Reading {
    fn of(files: &[(String, Vec<u8>)]) -> Result<Self, ArchiveError> {
        let catalog = Catalog::builtin().unwrap();
        let folder = ForeignFolder::open(open(packed(files))?, &catalog)?;
        let (tool, mut policies, mut left) = (folder.tool(), Vec::new(), Vec::new());
        for found in folder {
            match found? {
                Found::Policy(policy) => policies.push(*policy),
                Found::Left(one) => left.push(one),
            }
        }
        let reading = Self { tool, policies, left };
        reading.accounts_for(files);
        Ok(reading)
    }

    /// Each file is in one policy, or it is left with a reason: nothing is dropped, nothing is there twice.
    fn accounts_for(&self, files: &[(String, Vec<u8>)]) {
        let of_policies = self.policies.iter().flat_map(|policy| policy.files.iter());
        let all: Vec<&String> =
            of_policies.chain(self.left.iter().map(|left| &left.path)).collect();
        let unique: BTreeSet<&String> = all.iter().copied().collect();
        assert_eq!(all.len(), unique.len());
        assert_eq!(unique, files.iter().map(|(path, _)| path).collect::<BTreeSet<_>>());
    }

    fn one(&self, key: &str) -> &ForeignPolicy {
        let mut of_type = self.policies.iter().filter(|policy| policy.policy_type.as_str() == key);
        let one = of_type.next().expect(key);
        assert!(of_type.next().is_none(), "two of {key}");
        one
    }

    fn why(&self, path: &str) -> Why {
        self.left.iter().find(|left| left.path == path).expect(path).why
    }
}

/// The link to a definition of an administrative template.
fn link() -> String {
    let graph = "https://graph.microsoft.com/beta/deviceManagement";
    format!("{graph}/groupPolicyDefinitions('{OTHER}')")
}

fn target(id: &str) -> Json {
    json!({"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": id})
}

/// A folder of `IntuneManagement`.
fn management() -> Vec<(String, Vec<u8>)> {
    let link = link();
    let values = json!([{
        "enabled": true,
        "definition@odata.bind": link,
        "#Definition_displayName": "Wallpaper",
        "#Definition_classType": "user",
        "#Definition_categoryPath": "\\Desktop",
        "presentationValues": [],
    }]);
    let limit = json!({
        "@odata.type": "#microsoft.graph.deviceEnrollmentLimitConfiguration",
        "id": format!("{GUID}_DefaultLimit"), "displayName": "All users", "limit": 5,
    });
    vec![
        wide(
            "Contoso/MigrationTable.json",
            &json!({
                "TenantId": OTHER, "Organization": "Contoso",
                "Objects": {"Id": GROUP, "DisplayName": "All staff", "Type": "Group"},
            }),
        ),
        wide("Contoso/Groups/All staff.json", &json!({"id": GROUP, "displayName": "All staff"})),
        wide(
            "Contoso/SettingsCatalog/Edge.json",
            &json!({
                "@odata.context": "https://graph.microsoft.com/beta/$metadata#x/$entity",
                "@odata.type": "#microsoft.graph.deviceManagementConfigurationPolicy",
                "@odata.id": "deviceManagement/configurationPolicies('1')",
                "#microsoft.graph.assign": {"title": "x"},
                "id": GUID, "name": "Edge", "description": "of %OrganizationId%",
                "roleScopeTagIds@odata.type": "#Collection(String)", "roleScopeTagIds": ["7"],
                "createdDateTime": "/Date(1700000000000)/",
                "settings": [{"id": "0", "settingInstance": {"settingDefinitionId": "a"}}],
                "assignments": [{"id": "x", "target": target(GROUP)}],
            }),
        ),
        wide(
            "Contoso/ScopeTags/Berlin.json",
            &json!({
                "@odata.type": "#microsoft.graph.roleScopeTag", "id": "7", "displayName": "Berlin",
            }),
        ),
        wide(
            "Contoso/AdministrativeTemplates/Desktop.json",
            &json!({
                "id": GUID, "displayName": "Desktop", "definitionValues": values,
            }),
        ),
        wide("Contoso/AdministrativeTemplates/Desktop_Settings.json", &values),
        wide(
            "Contoso/EndpointSecurity/Disk.json",
            &json!({
                "id": GUID, "displayName": "Disk", "templateId": OTHER, "roleScopeTagIds": ["0"],
            }),
        ),
        wide(
            "Contoso/EndpointSecurity/Disk_Settings.json",
            &json!({
                "settings": {"definitionId": "d", "valueJson": "true"},
            }),
        ),
        wide("Contoso/EnrollmentRestrictions/Default.json", &limit),
        wide("Contoso/EnrollmentRestrictions/DefaultLimit.json", &limit),
        wide(
            "Contoso/PowerShellScripts/Run.json",
            &json!({
                "@odata.type": "#microsoft.graph.deviceManagementScript", "id": GUID,
                "displayName": "Run", "fileName": "run.ps1", "scriptContent": "ZXhpdCAw",
            }),
        ),
        ("Contoso/PowerShellScripts/run.ps1".to_owned(), b"exit 0\r\n".to_vec()),
        ("Contoso/PowerShellScripts/other.ps1".to_owned(), b"exit 1".to_vec()),
        ("Contoso/NamedLocations/bad.json".to_owned(), b"{".to_vec()),
        file("Contoso/Tomorrow/New.json", &json!({"id": GUID})),
        ("read me.txt".to_owned(), b"hello".to_vec()),
    ]
}

#[test]
fn intune_management_is_read() {
    let files = management();
    let reading = Reading::of(&files).unwrap();
    assert_eq!(reading.tool, Tool::IntuneManagement);
    let edge = reading.one("settingsCatalogPolicy");
    let expected = json!({
        "id": GUID, "name": "Edge", "description": format!("of {OTHER}"), "roleScopeTagIds": ["7"],
        "createdDateTime": "2023-11-14T22:13:20.000Z",
        "settings": [{"id": "0", "settingInstance": {"settingDefinitionId": "a"}}],
    });
    assert_eq!(edge.object.to_string(), expected.to_string());
    assert_eq!(edge.assignments.as_ref().unwrap()[0]["target"]["groupId"], *GROUP);
    assert_eq!((edge.id.as_deref(), edge.name.as_str()), (Some(GUID), "Edge"));
    assert_eq!(edge.names.0["group"][GROUP], "All staff");
    assert_eq!(edge.names.0["roleScopeTag"]["7"], "Berlin");
    assert_eq!(edge.remarks, []);
    let desktop = reading.one("groupPolicyConfiguration");
    assert_eq!(
        desktop.object["definitionValues"][0]["definition"].to_string(),
        json!({"id": OTHER, "displayName": "Wallpaper", "classType": "user", "categoryPath": "\\Desktop"})
            .to_string()
    );
    assert_eq!(desktop.files.len(), 2);
    let disk = reading.one("endpointSecurityIntent");
    assert_eq!(disk.object["settings"][0]["valueJson"], *"true");
    assert_eq!(disk.assignments, None);
    assert_eq!(reading.policies.len(), 6);
    for (path, why) in [
        ("Contoso/MigrationTable.json", Why::Names),
        ("Contoso/Groups/All staff.json", Why::Names),
        ("Contoso/EnrollmentRestrictions/DefaultLimit.json", Why::SamePolicy),
        ("Contoso/PowerShellScripts/run.ps1", Why::Copy),
        ("Contoso/PowerShellScripts/other.ps1", Why::ScriptDiffers),
        ("Contoso/NamedLocations/bad.json", Why::NotJson),
        ("Contoso/Tomorrow/New.json", Why::NotCovered),
        ("read me.txt", Why::NotOfTheTool),
    ] {
        assert_eq!(reading.why(path), why, "{path}");
    }
}

/// A folder of `IntuneBackupAndRestore`.
fn backup_and_restore() -> Vec<(String, Vec<u8>)> {
    let link = link();
    vec![
        wide(
            "Device Configurations/Wi-Fi.json",
            &json!({
                "@odata.type": "#microsoft.graph.windows10CustomConfiguration", "id": GUID,
                "displayName": "Wi-Fi", "roleScopeTagIds": ["0"],
                "omaSettings": [{
                    "@odata.type": "#microsoft.graph.omaSettingString", "displayName": "key",
                    "omaUri": "./x", "value": "the clear key", "isEncrypted": false,
                    "secretReferenceValueId": null,
                }],
            }),
        ),
        wide(
            "Device Configurations/Assignments/Wi-Fi.json",
            &json!({
                "id": format!("{GUID}_{GROUP}"), "target": target(GROUP),
            }),
        ),
        wide("Device Configurations/Assignments/Gone.json", &json!([])),
        file(
            "Settings Catalog/Edge.json",
            &json!({
                "id": OTHER, "name": "Edge", "Settings": [{"id": "0"}], "AppGroupType": "x",
            }),
        ),
        file(
            "App Protection Policies/Mobile.json",
            &json!({
                "@odata.type": "#microsoft.graph.iosManagedAppProtection", "id": format!("T_{GUID}"),
                "displayName": "Mobile", "apps": [],
            }),
        ),
        file(
            &format!("App Protection Policies/Assignments/T_{GUID} - Mobile.json"),
            &json!({
                "@odata.context": "x", "value": [{"id": "y", "target": target(GROUP)}],
            }),
        ),
        file(
            "Client Apps/win32LobApp_Zip.json",
            &json!({
                "@odata.type": "#microsoft.graph.win32LobApp", "id": GUID, "displayName": "Zip",
                "rules": [{"check": "System.Collections.Hashtable"}],
            }),
        ),
        file(
            &format!("Client Apps/Assignments/{GUID} - Zip.json"),
            &json!([{
                "id": "z", "intent": "required", "target": target(GROUP), "settings": null,
            }]),
        ),
        file(
            "Administrative Templates/Desktop.json",
            &json!({
                "enabled": false, "definition@odata.bind": link,
            }),
        ),
        file(
            "Administrative Templates/Assignments/Desktop.json",
            &json!([{
                "id": format!("{OTHER}_{GROUP}"), "target": target(GROUP),
            }]),
        ),
        file(
            &format!("Device Management Intents/BitLocker/{OTHER}_Disk.json"),
            &json!({
                "displayName": "Disk", "description": "", "roleScopeTagIds": ["0"],
                "settingsDelta": [{"definitionId": "d", "valueJson": "1", "value": 1}],
            }),
        ),
        file(
            "Device Management Scripts/Run.json",
            &json!({
                "id": GUID, "displayName": "Run", "scriptContent": "ZXhpdCAw",
            }),
        ),
        wide("Device Management Scripts/Script Content/Run.ps1", &json!("x")),
    ]
}

#[test]
fn intune_backup_and_restore_is_read() {
    let files = backup_and_restore();
    let reading = Reading::of(&files).unwrap();
    assert_eq!(reading.tool, Tool::IntuneBackupAndRestore);
    assert_eq!(reading.policies.len(), 7);
    let group = |key: &str| {
        let policy = reading.one(key);
        policy.assignments.as_ref().unwrap()[0]["target"]["groupId"].as_str().map(str::to_owned)
    };
    for key in ["deviceConfiguration", "iosAppProtection", "mobileApp", "groupPolicyConfiguration"]
    {
        assert_eq!(group(key).as_deref(), Some(GROUP), "{key}");
    }
    let template = reading.one("groupPolicyConfiguration");
    assert_eq!((template.id.as_deref(), template.name.as_str()), (Some(OTHER), "Desktop"));
    assert_eq!(template.object["definitionValues"][0]["definition"]["id"], *OTHER);
    let disk = reading.one("endpointSecurityIntent");
    assert_eq!(disk.object["templateId"], *OTHER);
    assert_eq!(disk.object["settings"][0]["valueJson"], *"1");
    assert_eq!((disk.id.as_deref(), &disk.assignments), (None, &None));
    assert_eq!(reading.one("settingsCatalogPolicy").object["settings"][0]["id"], *"0");
    let cut = Remark::CutOff { at: "/rules/0/check".to_owned() };
    assert!(reading.one("mobileApp").remarks.contains(&cut));
    assert_eq!(reading.why("Device Configurations/Assignments/Gone.json"), Why::WithoutPolicy);
    assert_eq!(reading.why("Device Management Scripts/Script Content/Run.ps1"), Why::ScriptDiffers);
}

/// All three tools save custom settings in clear and say that they are not encrypted.
#[test]
fn a_custom_setting_in_clear_is_found_by_the_classifier() {
    let custom = |value: Json| {
        json!({
            "@odata.type": "#microsoft.graph.windows10CustomConfiguration", "id": GUID,
            "displayName": "Wi-Fi", "omaSettings": [{
                "@odata.type": "#microsoft.graph.omaSettingString", "omaUri": "./x", "value": value,
                "isEncrypted": false, "secretReferenceValueId": null,
            }],
        })
    };
    let reply = json!({"@odata.context": "x", "value": "the clear key"});
    for files in [
        [file("Device Configurations/x.json", &custom(json!("the clear key")))],
        [file("DeviceConfiguration/x.json", &custom(json!("the clear key")))],
        [file(&format!("Device Configurations/x__{GUID}.json"), &custom(reply))],
    ] {
        let reading = Reading::of(&files).unwrap();
        let policy = reading.one("deviceConfiguration");
        let catalog = Catalog::builtin().unwrap();
        let contract = catalog.contract(&policy.policy_type).unwrap();
        let mut object = policy.object.clone();
        let found = redact(contract, &mut object, &|_| "f00d".to_owned());
        assert_eq!(found.taken[0].pointer, "/omaSettings/0/value");
        assert!(!object.to_string().contains("the clear key"));
    }
}

#[test]
fn names_become_ids_where_the_folder_or_the_caller_knows_them() {
    let files = [
        file(
            &format!("b/Filters/Corp__{OTHER}.json"),
            &json!({"displayName": "Corp", "rule": "x"}),
        ),
        file(
            "b/Scope Tags/Berlin_roleScopeTag__7.json",
            &json!({
                "@odata.type": "#microsoft.graph.roleScopeTag", "displayName": "Berlin",
            }),
        ),
        file(
            &format!("b/Device Configurations/A_windows10GeneralConfiguration__{GUID}.json"),
            &json!({
                "@odata.type": "#microsoft.graph.windows10GeneralConfiguration", "displayName": "A",
                "roleScopeTagIds": ["Default", "Berlin", "Paris", "9"],
                "assignments": [{"target": {
                    "@odata.type": "#microsoft.graph.groupAssignmentTarget",
                    "groupName": "All staff", "groupType": "StaticMembership",
                    "deviceAndAppManagementAssignmentFilterId": "Corp",
                }}, {"target": {"@odata.type": "#microsoft.graph.exclusionGroupAssignmentTarget"}}],
            }),
        ),
        ("b/__archive__/2026/x.json".to_owned(), b"{}".to_vec()),
    ];
    let mut reading = Reading::of(&files).unwrap();
    assert_eq!(reading.tool, Tool::IntuneCd);
    assert_eq!(reading.why("b/__archive__/2026/x.json"), Why::Archived);
    let at = reading.policies.iter().position(|one| one.name == "A").unwrap();
    let policy = &mut reading.policies[at];
    assert_eq!(policy.id.as_deref(), Some(GUID));
    assert_eq!(policy.object["id"], *GUID);
    assert_eq!(policy.object["roleScopeTagIds"].to_string(), r#"["0","7","Paris","9"]"#);
    let named = |at: &str, kind: &str, name: &str| Remark::NameForId {
        at: at.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    let (paris, staff) = (
        named("/roleScopeTagIds/2", "roleScopeTag", "Paris"),
        named("/assignments/0/target/groupId", "group", "All staff"),
    );
    let lost = Remark::ReferenceLost { at: "/assignments/1/target/groupId".to_owned() };
    assert_eq!(policy.remarks, [paris.clone(), staff, lost.clone()]);
    let filter = "deviceAndAppManagementAssignmentFilterId";
    assert_eq!(policy.assignments.as_ref().unwrap()[0]["target"][filter], *OTHER);
    assert_eq!(policy.names.0["assignmentFilter"][OTHER], "Corp");
    policy
        .fill(&mut |kind, name| (kind == "group" && name == "All staff").then(|| GROUP.to_owned()));
    assert_eq!(policy.assignments.as_ref().unwrap()[0]["target"]["groupId"], *GROUP);
    assert_eq!(policy.names.0["group"][GROUP], "All staff");
    assert_eq!(policy.remarks, [paris, lost]);
}

#[test]
fn hostile_folders_are_refused_or_left() {
    let none = open(packed(&[file("a/b.json", &json!({}))])).unwrap();
    let catalog = Catalog::builtin().unwrap();
    let refused = ForeignFolder::open(none, &catalog).err().unwrap();
    assert_eq!(refused.fault, Fault::FolderUnknown);
    let outside = zip_of(&[
        Crafted::stored("Filters/a.json", b"{}"),
        Crafted::stored("../Filters/b.json", b"{}"),
    ]);
    assert_eq!(open(outside).err().unwrap().fault, Fault::PathTraversal);
    // A file whose bytes are not those of its checksum ends the reading: nothing after it is trusted.
    let mut damaged = zip_of(&[
        Crafted::stored("Filters/a.yaml", b"displayName: a"),
        Crafted::stored("Scope Tags/b.yaml", b"displayName: b"),
    ]);
    let at = damaged.windows(14).position(|bytes| bytes == b"displayName: a").unwrap();
    damaged[at + 13] = b'z';
    let refused = match ForeignFolder::open(open(damaged).unwrap(), &catalog) {
        Ok(mut folder) => folder.find_map(Result::err).unwrap(),
        Err(error) => error,
    };
    assert_eq!(refused.fault, Fault::ChecksumWrong);

    let bomb = {
        let mut text = "displayName: &a [lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
        for (name, of) in ('b'..='h').zip('a'..) {
            text.push_str(&format!(
                "{name}: &{name} [*{of},*{of},*{of},*{of},*{of},*{of},*{of},*{of}]\n"
            ));
        }
        text
    };
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let files: Vec<(String, Vec<u8>)> = [
        ("bomb.yaml", bomb.as_str()),
        ("object.yaml", "displayName: !!python/object/apply:os.system ['id']"),
        ("twice.json", r#"{"displayName": "a", "displayName": "b"}"#),
        ("deep.json", deep.as_str()),
        ("number.json", r#"{"displayName": "a", "n": 1e999999999}"#),
        ("list.json", "[1]"),
        ("bytes.json", "\u{feff}{\"displayName\": \"fine\"}"),
        ("type.json", r##"{"@odata.type": "#microsoft.graph.group", "displayName": "x"}"##),
    ]
    .into_iter()
    .map(|(name, text)| (format!("Filters/{name}"), text.as_bytes().to_vec()))
    .chain([("Filters/half.json".to_owned(), vec![0xff, 0xfe, 0x7b])])
    .chain([("Filters/utf.json".to_owned(), vec![b'"', 0xc3, b'"'])])
    .collect();
    let reading = Reading::of(&files).unwrap();
    for (name, why) in [
        ("bomb.yaml", Why::TooLarge),
        ("object.yaml", Why::NotYaml),
        ("twice.json", Why::NotJson),
        ("deep.json", Why::TooDeep),
        ("number.json", Why::NumberTooLarge),
        ("list.json", Why::NoObject),
        ("half.json", Why::NotText),
        ("utf.json", Why::NotText),
    ] {
        assert_eq!(reading.why(&format!("Filters/{name}")), why, "{name}");
    }
    let names: Vec<&str> = reading.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["fine", "x"]);
    let cursor = Cursor::new(b"no zip".to_vec());
    assert!(tp_archive::Zip::open(cursor, tp_archive::Limits::BACKUP).is_err());
}
