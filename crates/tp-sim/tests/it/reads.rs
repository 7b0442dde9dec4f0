//! Lists, items, parts.

use serde_json::json;

use crate::world::World;

const CATALOG: &str = "/beta/deviceManagement/configurationPolicies";

#[tokio::test]
async fn every_set_that_an_app_can_read_is_read() {
    let world = World::new().await;
    let expected = world.sim.sim.expected();
    assert!(expected.len() > 150, "{}", expected.len());
    let keys: std::collections::BTreeSet<_> =
        expected.iter().map(|object| object.policy_type.as_str()).collect();
    assert_eq!(keys.len(), 81, "all types but two that take no app and the approvals of writes");
    assert!(keys.contains("organizationalBranding"));
    let organization = world.first("/v1.0/organization").await;
    let branding =
        world.get(&format!("/v1.0/organization/{organization}/branding/localizations")).await;
    assert_eq!(branding.ids(), ["0"]);
    assert_eq!(world.get(&format!("/v1.0/organization/{organization}/branding")).await.status, 200);
}

#[tokio::test]
async fn pages_lead_to_the_host_that_was_asked() {
    let world = World::new().await;
    let page = world.get(CATALOG).await.json();
    assert_eq!(page["value"].as_array().unwrap().len(), 25);
    let next = page["@odata.nextLink"].as_str().unwrap();
    assert!(next.starts_with(&format!("{}{CATALOG}?", world.sim.url)), "{next}");
    let meant = [("x-original-host", "graph.microsoft.com")];
    let other = world.try_send("GET", CATALOG, None, &meant).await.unwrap();
    let other: serde_json::Value = other.json().await.unwrap();
    let next = other["@odata.nextLink"].as_str().unwrap();
    assert!(next.starts_with("https://graph.microsoft.com/beta/"), "{next}");
    let whole = world.get(&format!("{CATALOG}?$top=1000&$count=true")).await.json();
    assert_eq!(whole["@odata.count"], 52);
    assert_eq!(whole["value"].as_array().unwrap().len(), 52);
    assert_eq!(world.get(&format!("{CATALOG}/$count")).await.text, "52");
}

#[tokio::test]
async fn settings_come_in_pages_of_twenty_five_with_the_policy_in_their_context() {
    let world = World::new().await;
    let policies = world.get(&format!("{CATALOG}?$top=100")).await.json();
    let many = policies["value"].as_array().unwrap().iter();
    let policy = many.max_by_key(|policy| policy["settingCount"].as_u64()).unwrap();
    let (id, count) = (policy["id"].as_str().unwrap(), policy["settingCount"].as_u64().unwrap());
    assert!(count > 25 && policy.get("settings").is_none());
    let page = world.get(&format!("{CATALOG}/{id}/settings")).await.json();
    assert_eq!(page["value"].as_array().unwrap().len(), 25);
    let context = page["@odata.context"].as_str().unwrap();
    let wanted = format!("$metadata#deviceManagement/configurationPolicies('{id}')/settings");
    assert!(context.ends_with(&wanted), "{context}");
    let whole = world.get(&format!("{CATALOG}('{id}')/settings?&top=1000")).await.json();
    assert_eq!(whole["value"].as_array().unwrap().len() as u64, count);
    let expanded = world.get(&format!("{CATALOG}/{id}?$expand=settings,assignments")).await.json();
    assert_eq!(expanded["settings"].as_array().unwrap().len() as u64, count);
    assert!(expanded["assignments@odata.context"].as_str().unwrap().contains(id));
}

#[tokio::test]
async fn addresses_are_read_tolerantly() {
    let world = World::new().await;
    for path in [
        "//beta//devicemanagement/DeviceCategories/",
        "/beta/deviceManagement/deviceCategories??$expand=",
        "/beta/deviceManagement/deviceCategories?&top=1000",
        "/v1.0/policies/AuthenticationMethodsPolicy",
        "/beta/identity/conditionalAccess/authenticationStrength/policies",
    ] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
    let chosen = world.get("/beta/deviceManagement/deviceCategories?$select=displayname").await;
    let one = &chosen.json()["value"][0];
    assert!(one["id"].is_string() && one["displayName"].is_string());
    assert!(one.get("description").is_none());
}

#[tokio::test]
async fn scripts_come_with_the_item_only() {
    let world = World::new().await;
    let path = "/beta/deviceManagement/deviceManagementScripts";
    let list = world.get(path).await.json();
    assert_eq!(list["value"][0]["scriptContent"], json!(null));
    let id = list["value"][0]["id"].as_str().unwrap();
    assert!(world.get(&format!("{path}/{id}")).await.json()["scriptContent"].is_string());
    // Shell scripts answer under that address too.
    let shell = world.first("/beta/deviceManagement/deviceShellScripts").await;
    assert_eq!(world.get(&format!("{path}/{shell}/assignments")).await.status, 200);
}

#[tokio::test]
async fn what_has_no_path_of_its_own_comes_by_expand() {
    let world = World::new().await;
    let path = "/beta/deviceManagement/deviceCompliancePolicies";
    let id = world.first(path).await;
    let refused = world.get(&format!("{path}/{id}/scheduledActionsForRule")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("No method match route template"));
    let wanted = "$expand=scheduledActionsForRule($expand=scheduledActionConfigurations)";
    let policy = world.get(&format!("{path}/{id}?{wanted}")).await.json();
    let action = &policy["scheduledActionsForRule"][0]["scheduledActionConfigurations"][0];
    assert_eq!(action["actionType"], "block");
    let shallow = world.get(&format!("{path}/{id}?$expand=scheduledActionsForRule")).await.json();
    assert!(shallow["scheduledActionsForRule"][0].get("scheduledActionConfigurations").is_none());
    assert_eq!(world.get(&format!("{path}?$expand=noSuchThing")).await.status, 400);
    let version_two = "/beta/deviceManagement/compliancePolicies";
    let id = world.first(version_two).await;
    let rules = world.get(&format!("{version_two}/{id}/scheduledActionsForRule")).await;
    assert_eq!(rules.ids().len(), 1);
}

#[tokio::test]
async fn parts_of_parts_have_addresses() {
    let world = World::new().await;
    let path = "/beta/deviceManagement/groupPolicyConfigurations";
    let id = world.first(path).await;
    let values = world.get(&format!("{path}/{id}/definitionValues?$expand=definition")).await;
    assert!(values.json()["value"][0]["definition"]["displayName"].is_string());
    let value = values.ids().remove(0);
    let parts =
        format!("{path}/{id}/definitionValues/{value}/presentationValues?$expand=presentation");
    assert!(world.get(&parts).await.json()["value"][0]["presentation"]["label"].is_string());
    let intents = "/beta/deviceManagement/intents";
    let intent = world.get(intents).await.json()["value"][0].clone();
    let template = intent["templateId"].as_str().unwrap();
    let categories = format!("/beta/deviceManagement/templates/{template}/categories");
    let category = world.first(&categories).await;
    let id = intent["id"].as_str().unwrap();
    let settings = world.get(&format!("{intents}/{id}/categories/{category}/settings")).await;
    assert_eq!(settings.ids().len(), 1);
    assert!(settings.text.contains(&format!("intents('{id}')/categories")));
}

#[tokio::test]
async fn secrets_are_masked_and_asked_for_one_by_one() {
    let world = World::new().await;
    let path = "/beta/deviceManagement/deviceConfigurations";
    let list = world.get(&format!("{path}?$top=1000")).await.json();
    let custom = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["omaSettings"][0]["isEncrypted"] == true);
    let custom = custom.unwrap();
    let setting = &custom["omaSettings"][0];
    assert_eq!(setting["value"], "****");
    let reference = setting["secretReferenceValueId"].as_str().unwrap();
    let id = custom["id"].as_str().unwrap();
    let function =
        format!("{path}/{id}/getOmaSettingPlainTextValue(secretReferenceValueId='{reference}')");
    let refused = world.get(&function).await;
    assert_eq!(refused.status, 403);
    assert!(refused.inner().contains("DeviceManagementConfiguration.ReadWrite.All"));
    let writer = World::writer().await;
    let shown = writer.get(&function).await.json();
    assert!(shown["value"].as_str().unwrap().starts_with("secret "), "{shown}");
}

#[tokio::test]
async fn filters_and_order_are_those_of_the_set() {
    let world = World::new().await;
    for (path, status) in [
        (
            "/beta/deviceAppManagement/mobileApps?$filter=(microsoft.graph.managedApp/appAvailability) eq null or isAssigned eq true&$orderby=displayName",
            200,
        ),
        (
            "/beta/deviceManagement/deviceEnrollmentConfigurations?$filter=deviceEnrollmentConfigurationType eq 'limit'",
            200,
        ),
        (
            "/beta/deviceManagement/deviceEnrollmentConfigurations?$filter=isof('microsoft.graph.deviceEnrollmentLimitConfiguration')",
            400,
        ),
        ("/beta/deviceManagement/assignmentFilters?$filter=displayName eq 'x'", 400),
        ("/beta/deviceManagement/deviceCategories?$filter=nonsense", 400),
        ("/beta/deviceManagement/roleScopeTags?$filter=isBuiltIn eq false", 200),
        (
            "/v1.0/deviceManagement/auditEvents?$filter=componentName eq 'x' and activityDateTime gt 2026-01-01T00:00:00Z and activityOperationType ne 'Get'&$orderby=activityDateTime desc",
            200,
        ),
        ("/beta/deviceManagement/noSuchSet", 400),
        ("/beta/deviceManagement/deviceCategories/no-such-id", 404),
        ("/v1.0/deviceManagement/configurationPolicies", 400),
        ("/v2.0/deviceManagement/deviceCategories", 400),
    ] {
        assert_eq!(world.get(path).await.status, status, "{path}");
    }
    let names =
        world.get("/v1.0/groups?$orderby=displayName desc&$select=displayName").await.json();
    let names: Vec<String> = names["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["displayName"].as_str().unwrap().to_lowercase())
        .collect();
    assert!(names.is_sorted_by(|a, b| a >= b));
}

#[tokio::test]
async fn a_connection_can_be_verified() {
    let world = World::new().await;
    let organization = world.get("/v1.0/organization").await.json();
    assert_eq!(organization["value"][0]["id"], world.tenant.id.to_string());
    let skus = world.get("/v1.0/subscribedSkus").await.json();
    assert_eq!(skus["value"][0]["skuPartNumber"], "INTUNE_A");
    let writer = World::writer().await;
    let app = format!("/v1.0/servicePrincipals(appId='{}')", writer.tenant.client_id);
    let roles = writer.get(&format!("{app}/appRoleAssignments")).await.json();
    assert!(roles["value"].as_array().unwrap().len() > 10);
    let groups = writer.get("/v1.0/groups?$top=3").await.ids();
    let body = json!({"ids": groups, "types": ["group"]});
    let found = writer.post("/v1.0/directoryObjects/getByIds", body).await;
    assert_eq!(found.ids(), groups);
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let world = World::new().await;
    world.change(&json!({"permissions": ["Group.Read.All"], "keep_tokens": true})).await;
    let path = "/beta/deviceManagement/roleScopeTags";
    assert_eq!(world.get(path).await.status, 200, "the token keeps what it was given");
    let world = World { token: world.new_token().await, ..world };
    let refused = world.get(path).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "Forbidden"));
    let named =
        "following scopes: DeviceManagementRBAC.Read.All, DeviceManagementRBAC.ReadWrite.All";
    assert!(refused.inner().contains(named), "{}", refused.inner());
}
