//! Creates, updates, deletes, actions.

use serde_json::{Value, json};

use crate::world::World;

const FILTERS: &str = "/beta/deviceManagement/assignmentFilters";
const COMPLIANCE: &str = "/beta/deviceManagement/deviceCompliancePolicies";
const CATALOG: &str = "/beta/deviceManagement/configurationPolicies";

fn block() -> Value {
    json!([{"ruleName": "PasswordRequired", "scheduledActionConfigurations": [
        {"actionType": "block", "gracePeriodHours": 0, "notificationTemplateId": "", "notificationMessageCCList": []}]}])
}

fn compliance() -> Value {
    json!({"@odata.type": "#microsoft.graph.iosCompliancePolicy", "displayName": "iOS", "scheduledActionsForRule": block()})
}

fn catalog() -> Value {
    json!({"name": "Policy", "description": "", "platforms": "windows10", "technologies": "mdm", "settings": [
        {"settingInstance": {"@odata.type": "#microsoft.graph.deviceManagementConfigurationSimpleSettingInstance",
            "settingDefinitionId": "a", "simpleSettingValue": {
                "@odata.type": "#microsoft.graph.deviceManagementConfigurationSecretSettingValue", "valueState": "notEncrypted", "value": "s3cret"}}}]})
}

async fn made(world: &World, path: &str, body: Value) -> String {
    let answer = world.post(path, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_write_needs_its_permission() {
    let world = World::new().await;
    let refused = world.post(FILTERS, json!({})).await;
    assert_eq!(refused.status, 403);
    assert!(refused.inner().contains("DeviceManagementConfiguration.ReadWrite.All"));
    assert_eq!(
        world.control("GET", "/writes", &json!(null)).await.json()["writes"][0]["status"],
        403
    );
}

#[tokio::test]
async fn the_concrete_type_is_demanded() {
    let world = World::writer().await;
    for (kind, text) in [
        (None, "Cannot create an abstract class"),
        (Some("deviceCompliancePolicy"), "Cannot create an abstract class"),
        (Some("windows10GeneralConfiguration"), "not assignable to the expected type"),
    ] {
        let mut body = compliance();
        match kind {
            None => drop(body.as_object_mut().unwrap().remove("@odata.type")),
            Some(kind) => body["@odata.type"] = format!("#microsoft.graph.{kind}").into(),
        }
        let refused = world.post(COMPLIANCE, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (400, "ModelValidationFailure"));
        assert!(refused.inner().contains(text), "{kind:?}: {}", refused.inner());
    }
    let id = made(&world, COMPLIANCE, compliance()).await;
    let untyped = world
        .send("PATCH", &format!("{COMPLIANCE}/{id}"), Some(&json!({"displayName": "x"})))
        .await;
    assert_eq!(untyped.status, 400);
}

#[tokio::test]
async fn a_compliance_policy_has_exactly_one_block_action() {
    let world = World::writer().await;
    for rules in [json!(null), json!([]), json!([block()[0], block()[0]])] {
        let mut body = compliance();
        body["scheduledActionsForRule"] = rules;
        let refused = world.post(COMPLIANCE, body).await;
        assert!(refused.inner().contains("one and only one block"), "{}", refused.text);
    }
    let id = made(&world, COMPLIANCE, compliance()).await;
    let item = format!("{COMPLIANCE}/{id}");
    let typed = |mut body: Value| {
        body["@odata.type"] = "#microsoft.graph.iosCompliancePolicy".into();
        body
    };
    let inline = typed(json!({"scheduledActionsForRule": block()}));
    assert_eq!(world.send("PATCH", &item, Some(&inline)).await.status, 400);
    let good = typed(json!({"displayName": "New name"}));
    let changed = world.send("PATCH", &item, Some(&good)).await;
    assert_eq!((changed.status, changed.text.as_str()), (204, ""));
    let rules = json!({"deviceComplianceScheduledActionForRules": block()});
    assert_eq!(world.post(&format!("{item}/scheduleActionsForRules"), rules).await.status, 200);
    let wrong = json!({"scheduledActionsForRule": block()});
    assert_eq!(world.post(&format!("{item}/scheduleActionsForRules"), wrong).await.status, 400);
    assert_eq!(world.get(&item).await.json()["displayName"], "New name");
    assert_eq!(world.send("DELETE", &item, None).await.status, 200);
    assert_eq!(world.get(&item).await.status, 404);
}

#[tokio::test]
async fn bodies_hold_what_the_schema_lets_them() {
    let world = World::writer().await;
    let good = json!({"displayName": "F", "platform": "iOS", "rule": "(device.model -eq \"x\")"});
    let id = made(&world, FILTERS, good.clone()).await;
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, text) in [
        (with("noSuchThing", json!(1)), "does not exist on type"),
        (with("createdDateTime", json!("2026-01-01T00:00:00Z")), "read-only"),
        (with("payloads", json!([])), "read-only"),
        (with("id", json!("1")), "read-only"),
        (with("displayName", json!(5)), "Cannot convert"),
        (with("@odata.context", json!("x")), "annotation"),
        (with("roleScopeTags", json!("0")), "Cannot convert"),
        (json!({"platform": "iOS", "rule": "x"}), "'displayName' is required"),
    ] {
        let refused = world.post(FILTERS, body.clone()).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.inner().contains(text), "{body}: {}", refused.inner());
    }
    let item = format!("{FILTERS}/{id}");
    let fixed = world.send("PATCH", &item, Some(&json!({"platform": "android"}))).await;
    assert!(fixed.inner().contains("cannot be changed by an update"));
    let changed = world.send("PATCH", &item, Some(&json!({"displayName": "G"}))).await;
    assert_eq!((changed.status, &changed.json()["displayName"]), (200, &json!("G")));
    for nothing in ["", "no json", "[]"] {
        let answer = world.try_send("PATCH", &item, None, &[("content-type", "application/json")]);
        drop(answer.await.unwrap());
        let sent = crate::world::http().patch(format!("{}{item}", world.sim.url));
        let sent = sent.bearer_auth(&world.token).body(nothing).send().await.unwrap();
        assert_eq!(sent.status(), 400, "{nothing}");
    }
}

#[tokio::test]
async fn the_settings_catalog_is_replaced_by_put() {
    let world = World::writer().await;
    let id = made(&world, CATALOG, catalog()).await;
    let item = format!("{CATALOG}/{id}");
    let settings = world.get(&format!("{item}/settings")).await;
    assert!(!settings.text.contains("s3cret"), "a secret becomes a token");
    let rename = json!({"name": "Renamed"});
    assert_eq!(world.send("PATCH", &item, Some(&rename)).await.status, 204);
    let refused = world.send("PATCH", &item, Some(&json!({"settings": []}))).await;
    assert_eq!(refused.status, 400);
    let mut moved = catalog();
    moved["platforms"] = "macOS".into();
    assert_eq!(world.send("PUT", &item, Some(&moved)).await.status, 400, "the platform is fixed");
    let mut whole = catalog();
    whole["settings"] = json!([]);
    assert_eq!(world.send("PUT", &item, Some(&whole)).await.status, 204);
    let now = world.get(&item).await.json();
    assert_eq!((&now["name"], &now["settingCount"]), (&json!("Policy"), &json!(0)));
    assert!(now["createdDateTime"].is_string());
    assert_eq!(world.send("PUT", &format!("{FILTERS}/x"), Some(&whole)).await.status, 404);
}

fn group(id: &str) -> Value {
    json!({"target": {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": id}})
}

#[tokio::test]
async fn assignments_are_replaced_under_the_name_of_their_type() {
    let world = World::writer().await;
    for (set, key, status) in [
        ("deviceManagement/deviceConfigurations", "assignments", 200),
        ("deviceManagement/deviceManagementScripts", "deviceManagementScriptAssignments", 200),
        ("deviceManagement/deviceHealthScripts", "deviceHealthScriptAssignments", 200),
        ("deviceAppManagement/mobileApps", "mobileAppAssignments", 200),
        (
            "deviceManagement/deviceEnrollmentConfigurations",
            "enrollmentConfigurationAssignments",
            200,
        ),
        ("deviceManagement/hardwareConfigurations", "hardwareConfigurationAssignments", 200),
        ("deviceAppManagement/wdacSupplementalPolicies", "wdacPolicyAssignments", 200),
        (
            "deviceAppManagement/iosLobAppProvisioningConfigurations",
            "iOSLobAppProvisioningConfigAssignments",
            200,
        ),
        ("deviceAppManagement/iosManagedAppProtections", "assignments", 204),
        ("deviceManagement/intents", "assignments", 204),
    ] {
        let path = format!("/beta/{set}");
        let id = world.first(&path).await;
        // Priority 0 is a default, which takes no assignment.
        let patch = json!({"tenant": world.tenant.id, "path": format!("/{set}"), "action": "change", "id": id, "patch": {"priority": 3}});
        world.control("POST", "/objects", &patch).await;
        let action = format!("{path}/{id}/assign");
        let wrong = if key == "assignments" { "mobileAppAssignments" } else { "assignments" };
        assert_eq!(world.post(&action, json!({ wrong: [group("g")] })).await.status, 400, "{set}");
        let two = json!({ key: [group("g1"), group("g2")] });
        let done = world.post(&action, two).await;
        assert_eq!(done.status, status, "{set}: {}", done.text);
        let list = world.get(&format!("{path}/{id}/assignments")).await;
        assert_eq!(list.ids(), [format!("{id}_g1"), format!("{id}_g2")], "{set}");
        assert_eq!(world.post(&action, json!({ key: [] })).await.status, status);
        assert!(world.get(&format!("{path}/{id}/assignments")).await.ids().is_empty());
    }
}

#[tokio::test]
async fn targets_are_judged() {
    let world = World::writer().await;
    let path = "/beta/deviceManagement/deviceConfigurations";
    let id = world.first(path).await;
    let target = |target: Value| json!({"assignments": [{"target": target}]});
    for (body, why) in [
        (target(json!({"groupId": "g"})), "no type"),
        (target(json!({"@odata.type": "#microsoft.graph.groupAssignmentTarget"})), "no group"),
        (
            target(
                json!({"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget", "groupId": "g"}),
            ),
            "a group too many",
        ),
        (
            target(
                json!({"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": "g", "deviceAndAppManagementAssignmentFilterType": "include"}),
            ),
            "half a filter",
        ),
        (json!({"assignments": [group("g"), group("g")]}), "twice"),
        (json!({"assignments": [{"id": "x", "target": group("g")["target"]}]}), "an id"),
    ] {
        assert_eq!(world.post(&format!("{path}/{id}/assign"), body).await.status, 400, "{why}");
    }
}

#[tokio::test]
async fn some_sets_take_one_target_at_a_time() {
    let world = World::writer().await;
    let path = "/beta/deviceManagement/windowsAutopilotDeploymentProfiles";
    let id = world.first(path).await;
    let item = format!("{path}/{id}");
    for own in world.get(&format!("{item}/assignments")).await.ids() {
        assert_eq!(
            world.send("DELETE", &format!("{item}/assignments/{own}"), None).await.status,
            204
        );
    }
    assert_eq!(world.post(&format!("{item}/assignments"), group("g1")).await.status, 201);
    assert_eq!(world.post(&format!("{item}/assignments"), group("g1")).await.status, 409);
    assert_eq!(world.post(&format!("{item}/assign"), json!({"assignments": []})).await.status, 400);
    assert_eq!(world.send("DELETE", &item, None).await.status, 400, "it is assigned");
    assert_eq!(
        world.send("DELETE", &format!("{item}/assignments/{id}_g1"), None).await.status,
        204
    );
    assert_eq!(world.send("DELETE", &item, None).await.status, 200);
}

#[tokio::test]
async fn default_objects_stay() {
    let world = World::writer().await;
    let path = "/beta/deviceManagement/deviceEnrollmentConfigurations";
    let id = world.first(path).await;
    let item = format!("{path}/{id}");
    let kind = world.get(&item).await.json()["@odata.type"].clone();
    let patch = json!({"tenant": world.tenant.id, "path": "/deviceManagement/deviceEnrollmentConfigurations", "action": "change", "id": id, "patch": {"priority": 0}});
    world.control("POST", "/objects", &patch).await;
    assert_eq!(world.send("DELETE", &item, None).await.status, 400);
    let rename = json!({"@odata.type": kind, "displayName": "Mine"});
    assert_eq!(world.send("PATCH", &item, Some(&rename)).await.status, 400);
    let priority = json!({"@odata.type": kind, "priority": 3});
    assert_eq!(world.send("PATCH", &item, Some(&priority)).await.status, 400);
    assert_eq!(
        world.post(&format!("{item}/setPriority"), json!({"priority": 2})).await.status,
        200
    );
    let body = json!({"enrollmentConfigurationAssignments": []});
    assert_eq!(
        world.post(&format!("{item}/assign"), body).await.status,
        200,
        "no default any more"
    );
}

#[tokio::test]
async fn parts_are_written_by_requests_of_their_own() {
    let world = World::writer().await;
    let path = "/beta/deviceManagement/groupPolicyConfigurations";
    let id = made(&world, path, json!({"displayName": "ADMX"})).await;
    let action = format!("{path}/{id}/updateDefinitionValues");
    let bind = |host: &str| json!({"added": [{"enabled": true, "definition@odata.bind": format!("{host}/deviceManagement/groupPolicyDefinitions('d1')"), "presentationValues": []}], "updated": [], "deletedIds": []});
    assert_eq!(world.post(&action, bind("")).await.status, 400, "relative");
    assert_eq!(
        world.post(&action, bind("https://graph.microsoft.com/v1.0")).await.status,
        400,
        "another version"
    );
    assert_eq!(world.post(&action, bind("https://graph.microsoft.com/beta")).await.status, 204);
    let values = world.get(&format!("{path}/{id}/definitionValues?$expand=definition")).await;
    assert_eq!(values.json()["value"][0]["definition"]["id"], "d1");
    let gone = json!({"added": [], "updated": [], "deletedIds": values.ids()});
    assert_eq!(world.post(&action, gone).await.status, 204);
    assert!(world.get(&format!("{path}/{id}/definitionValues")).await.ids().is_empty());
    let templates = "/v1.0/deviceManagement/notificationMessageTemplates";
    let template = world.post(templates, json!({"displayName": "Mail"})).await;
    assert_eq!(template.status, 200, "not 201");
    let id = template.json()["id"].as_str().unwrap().to_owned();
    let message =
        json!({"locale": "sv-SE", "subject": "Hej", "messageTemplate": "Text", "isDefault": true});
    let messages = format!("{templates}/{id}/localizedNotificationMessages");
    let made = world.post(&messages, message.clone()).await.json();
    assert_eq!(made["id"], format!("{id}_sv-se"));
    assert_eq!(world.post(&messages, message).await.status, 409);
    let filled =
        world.get(&format!("{templates}/{id}?$expand=localizedNotificationMessages")).await;
    assert_eq!(filled.json()["localizedNotificationMessages"][0]["subject"], "Hej");
}

#[tokio::test]
async fn new_objects_may_take_time_to_appear() {
    let world = World::writer().await;
    world.change(&json!({"new_objects_hidden_ms": 3_600_000})).await;
    let id =
        made(&world, FILTERS, json!({"displayName": "F", "platform": "iOS", "rule": "x"})).await;
    assert_eq!(world.get(&format!("{FILTERS}/{id}")).await.status, 404);
    assert!(!world.get(&format!("{FILTERS}?$top=100")).await.ids().contains(&id));
    let patch = json!({"displayName": "G"});
    assert_eq!(world.send("PATCH", &format!("{FILTERS}/{id}"), Some(&patch)).await.status, 404);
}

#[tokio::test]
async fn rules_of_single_types() {
    let world = World::writer().await;
    let tags = "/beta/deviceManagement/roleScopeTags";
    let tag = world.post(tags, json!({"displayName": "Sweden"})).await;
    assert_eq!(tag.status, 200, "not 201");
    assert!(tag.json()["id"].as_str().unwrap().parse::<u32>().is_ok());
    assert_eq!(world.post(tags, json!({"displayName": "Sweden"})).await.status, 409);
    let context = "/v1.0/identity/conditionalAccess/authenticationContextClassReferences";
    let body = json!({"displayName": "Strong", "isAvailable": true});
    assert_eq!(world.send("PATCH", &format!("{context}/c9"), Some(&body)).await.status, 204);
    assert_eq!(world.get(&format!("{context}/c9")).await.json()["displayName"], "Strong");
    assert_eq!(world.send("PATCH", &format!("{context}/x9"), Some(&body)).await.status, 400);
    let access = "/v1.0/identity/conditionalAccess/policies";
    let policy = json!({"displayName": "CA", "state": "disabled", "conditions": {}, "grantControls": {"operator": "AND", "authenticationStrength": {"id": "s", "displayName": "x"}}});
    assert_eq!(world.post(access, policy).await.code(), "1011");
    let protection =
        json!({"@odata.type": "#microsoft.graph.iosManagedAppProtection", "displayName": "MAM"});
    let made =
        world.post("/beta/deviceAppManagement/iosManagedAppProtections", protection).await.json();
    assert!(made["id"].as_str().unwrap().starts_with("T_"));
    assert!(made.get("@odata.type").is_none(), "it must be read again");
    assert_eq!(
        world
            .send(
                "PATCH",
                "/beta/deviceManagement",
                Some(&json!({"settings": {"secureByDefault": true}}))
            )
            .await
            .status,
        204
    );
    let audit = world
        .get("/v1.0/deviceManagement/auditEvents?$filter=activityOperationType eq 'Create'")
        .await;
    assert!(audit.ids().len() >= 3);
    assert_eq!(world.send("DELETE", "/v1.0/policies/authorizationPolicy", None).await.status, 405);
}

#[tokio::test]
async fn writes_are_kept_for_those_who_look() {
    let world = World::writer().await;
    let body = json!({"displayName": "F", "platform": "iOS", "rule": "x"});
    let id = made(&world, FILTERS, body.clone()).await;
    let writes = world.control("GET", "/writes", &json!(null)).await.json();
    assert_eq!(writes["writes"][0]["body"], body);
    assert_eq!(writes["writes"][0]["path"], "/deviceManagement/assignmentFilters");
    let state = world
        .control(
            "GET",
            &format!("/state?tenant={}&type=assignmentFilter", world.tenant.id),
            &json!(null),
        )
        .await;
    assert!(state.json()["objects"].as_array().unwrap().iter().any(|one| one["id"] == id));
}
