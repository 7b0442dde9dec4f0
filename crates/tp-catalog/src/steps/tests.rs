use tp_domain::json;
use tp_domain::policy::PolicyType;

use super::*;
use crate::registry::Catalog;

const BASE: &str = "https://graph.microsoft.com/beta";

struct Bench {
    catalog: Catalog,
    contract: Contract,
}

impl Bench {
    fn of(key: &str) -> Self {
        let catalog = Catalog::builtin().unwrap();
        let contract = catalog.contract(&PolicyType::new(key).unwrap()).unwrap().clone();
        Self { catalog, contract }
    }

    fn create(&self, wanted: &Json) -> Result<Step, Unwritable> {
        let place = Place { base: BASE, id: None, parent: None };
        create(&self.contract, self.catalog.schema(), whole(wanted), place)
    }

    fn remaining(&self, wanted: Whole<'_>, live: Whole<'_>) -> Result<Vec<Step>, Unwritable> {
        let place = Place { base: BASE, id: Some("p-1"), parent: None };
        remaining(&self.contract, self.catalog.schema(), wanted, live, place)
    }
}

fn whole(object: &Json) -> Whole<'_> {
    Whole { object, assignments: None }
}

fn group(id: &str) -> Json {
    json!({"id": "a", "source": "direct", "sourceId": "p", "target": {
        "@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": id}})
}

#[test]
fn what_is_as_it_shall_be_needs_no_step() {
    let bench = Bench::of("deviceConfiguration");
    let object =
        json!({"@odata.type": "#microsoft.graph.windows10CustomConfiguration", "displayName": "A"});
    let assigned = [group("g")];
    let wanted = Whole { object: &object, assignments: Some(&assigned) };
    let live = Whole { object: &object, assignments: Some(&assigned) };
    assert_eq!(bench.remaining(wanted, live), Ok(Vec::new()));
}

#[test]
fn an_object_and_its_assignments_are_written_by_their_own_steps() {
    let bench = Bench::of("deviceConfiguration");
    let kind = "#microsoft.graph.windows10CustomConfiguration";
    let wanted = json!({"@odata.type": kind, "id": "old", "displayName": "A", "version": 2});
    let live = json!({"@odata.type": kind, "id": "p-1", "displayName": "B"});
    let (ours, theirs) = ([group("g"), group("h")], [group("h")]);
    let steps = bench
        .remaining(
            Whole { object: &wanted, assignments: Some(&ours) },
            Whole { object: &live, assignments: Some(&theirs) },
        )
        .unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[0].method, steps[0].adds), (Method::Patch, false));
    assert_eq!(steps[0].path, "/deviceManagement/deviceConfigurations/p-1");
    assert_eq!(steps[0].body, Some(json!({"@odata.type": kind, "displayName": "A"})));
    assert_eq!(steps[1].path, "/deviceManagement/deviceConfigurations/p-1/assign");
    let sent = steps[1].body.as_ref().unwrap()["assignments"].as_array().unwrap();
    assert_eq!(sent.len(), 2, "always the full set");
    assert!(sent.iter().all(|one| one.get("id").is_none() && one.get("source").is_none()));
    let none = bench.remaining(
        Whole { object: &live, assignments: Some(&[]) },
        Whole { object: &live, assignments: Some(&theirs) },
    );
    assert_eq!(
        none.unwrap()[0].body,
        Some(json!({"assignments": []})),
        "an empty list takes all away"
    );
}

#[test]
fn the_eight_keys_of_assignments_are_the_contracts() {
    let catalog = Catalog::builtin().unwrap();
    let mut keys = std::collections::BTreeSet::new();
    for (_, contract) in catalog.iter() {
        let Some(write) = contract.assignments.as_ref().and_then(|own| own.write.as_ref()) else {
            continue;
        };
        let place = Place { base: BASE, id: Some("p-1"), parent: Some("q-1") };
        let steps = assign(contract, write, &[group("g")], &[], place).unwrap();
        let body = steps[0].body.as_ref().unwrap().as_object().unwrap();
        if steps[0].adds {
            assert!(body.contains_key("target"), "{}", contract.key);
        } else {
            keys.extend(body.keys().cloned());
        }
        assert!(!steps[0].path.contains('{'), "{}", contract.key);
    }
    assert_eq!(keys.len(), 8, "{keys:?}");
}

#[test]
fn targets_one_by_one_are_taken_away_and_added() {
    let bench = Bench::of("termsAndConditions");
    let object = json!({"displayName": "A"});
    let mut old = group("old");
    old.as_object_mut().unwrap().insert("id", "p-1_old".into());
    let (ours, theirs) = ([group("g"), group("h")], [old, group("h")]);
    let steps = bench
        .remaining(
            Whole { object: &object, assignments: Some(&ours) },
            Whole { object: &object, assignments: Some(&theirs) },
        )
        .unwrap();
    let calls: Vec<(Method, bool)> = steps.iter().map(|step| (step.method, step.adds)).collect();
    assert_eq!(calls, [(Method::Delete, false), (Method::Post, true)]);
    assert!(steps[0].path.ends_with("/p-1/assignments/p-1_old"), "{}", steps[0].path);
}

#[test]
fn a_masked_secret_is_never_sent() {
    let bench = Bench::of("deviceConfiguration");
    let kind = "#microsoft.graph.windowsWifiConfiguration";
    let wanted = json!({"@odata.type": kind, "displayName": "A", "preSharedKey": "[redacted]"});
    let refused = bench.create(&wanted).unwrap_err();
    assert_eq!(
        (refused.reason, refused.what.as_str()),
        (ReasonCode::SecretMissing, "/preSharedKey")
    );
    let live = json!({"@odata.type": kind, "displayName": "B", "preSharedKey": null});
    let steps = bench.remaining(whole(&wanted), whole(&live)).unwrap();
    assert_eq!(
        steps[0].body,
        Some(json!({"@odata.type": kind, "displayName": "A"})),
        "it stays as it is"
    );
    let oma = |value: &str, uri: &str| {
        json!({"@odata.type": "#microsoft.graph.windows10CustomConfiguration", "displayName": value,
            "omaSettings": [{"@odata.type": "#microsoft.graph.omaSettingString", "omaUri": uri,
                "isEncrypted": true, "value": "****"}]})
    };
    let kept = bench.remaining(whole(&oma("A", "./x")), whole(&oma("B", "./x"))).unwrap();
    assert!(kept[0].body.as_ref().unwrap().get("omaSettings").is_none(), "nothing differs there");
    let lost = bench.remaining(whole(&oma("A", "./x")), whole(&oma("A", "./y"))).unwrap_err();
    assert_eq!(lost.reason, ReasonCode::SecretMissing);
}

#[test]
fn definition_values_are_added_changed_and_taken_away() {
    let bench = Bench::of("groupPolicyConfiguration");
    let value = |id: &str, name: &str, enabled: bool| {
        json!({"id": id, "enabled": enabled, "createdDateTime": "2026-01-01T00:00:00Z",
            "definition": {"id": format!("d-{name}"), "classType": "user", "categoryPath": "\\a", "displayName": name},
            "presentationValues": [{"id": format!("{id}-p"), "value": "1", "presentation": {"id": "pr"}}]})
    };
    let wanted = json!({"displayName": "A", "definitionValues": [value("1", "new", true), value("2", "both", true)]});
    let live = json!({"displayName": "A", "definitionValues": [value("8", "both", false), value("9", "gone", true)]});
    let steps = bench.remaining(whole(&wanted), whole(&live)).unwrap();
    assert_eq!(steps.len(), 1, "the object itself is as it shall be");
    assert!(steps[0].adds);
    let body = steps[0].body.as_ref().unwrap();
    assert_eq!(body["deletedIds"], json!(["9"]));
    let added = &body["added"][0];
    assert!(added.get("id").is_none() && added.get("definition").is_none());
    assert_eq!(
        added["definition@odata.bind"].as_str().unwrap(),
        format!("{BASE}/deviceManagement/groupPolicyDefinitions('d-new')")
    );
    assert_eq!(
        added["presentationValues"][0]["presentation@odata.bind"].as_str().unwrap(),
        format!("{BASE}/deviceManagement/groupPolicyDefinitions('d-new')/presentations('pr')")
    );
    let updated = &body["updated"][0];
    assert_eq!(
        (&updated["id"], &updated["presentationValues"][0]["id"]),
        (&json!("8"), &json!("8-p"))
    );
}

#[test]
fn messages_that_are_there_are_changed_and_others_made() {
    let bench = Bench::of("notificationMessageTemplate");
    let message = |id: &str, locale: &str, subject: &str| json!({"id": id, "locale": locale, "subject": subject});
    let wanted = json!({"displayName": "A", "localizedNotificationMessages": [
        message("1", "en-us", "new"), message("2", "de-de", "neu"), message("3", "fr-fr", "même")]});
    let live = json!({"displayName": "A", "localizedNotificationMessages": [
        message("p-1_en-us", "en-us", "old"), message("p-1_fr-fr", "fr-fr", "même")]});
    let steps = bench.remaining(whole(&wanted), whole(&live)).unwrap();
    let calls: Vec<(Method, bool)> = steps.iter().map(|step| (step.method, step.adds)).collect();
    assert_eq!(calls, [(Method::Patch, false), (Method::Post, true)]);
    assert!(steps[0].path.ends_with("/localizedNotificationMessages/p-1_en-us"));
    assert_eq!(steps[0].body, Some(json!({"subject": "new"})));
    assert_eq!(steps[1].body, Some(json!({"locale": "de-de", "subject": "neu"})));
}

#[test]
fn a_new_object_is_made_by_its_own_call() {
    let intent =
        json!({"displayName": "A", "templateId": "t-1", "settings": [{"definitionId": "d"}]});
    let step = Bench::of("endpointSecurityIntent").create(&intent).unwrap();
    assert_eq!(step.path, "/deviceManagement/templates/t-1/createInstance");
    assert_eq!(
        step.body,
        Some(json!({"displayName": "A", "settingsDelta": [{"definitionId": "d"}]}))
    );
    assert!(step.adds);
    let hostile = json!({"displayName": "A", "templateId": "../x"});
    assert!(
        Bench::of("endpointSecurityIntent").create(&hostile).is_err(),
        "an id cannot change the path"
    );
    let role = json!({"displayName": "A", "members": ["m"], "roleDefinition": {"id": "r"},
        "roleScopeTags": [{"id": "0"}, {"id": "7"}]});
    let body = Bench::of("roleAssignment").create(&role).unwrap().body.unwrap();
    assert_eq!(
        body["roleDefinition@odata.bind"].as_str().unwrap(),
        format!("{BASE}/deviceManagement/roleDefinitions/r")
    );
    assert_eq!(body["roleScopeTags@odata.bind"].as_array().unwrap().len(), 2);
    assert!(Bench::of("vppToken").create(&json!({})).is_err());
}
