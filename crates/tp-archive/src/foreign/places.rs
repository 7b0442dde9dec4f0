//! Where each tool puts which objects. Sources: IntuneCD 2.6 (`backup/Intune/*.py`), `IntuneManagement` 3.10
//! (`Extensions/EndpointManager.psm1`), `IntuneBackupAndRestore` 4.0 (`Public/Invoke-IntuneBackup*.ps1`).

use super::Tool;

/// A collection of Graph whose objects lie in a folder.
#[derive(Debug)]
pub(super) struct Collection {
    /// Its path, as the contracts write it.
    pub(super) path: &'static str,
    /// A member that its objects have and those of the folder's other collections have not.
    pub(super) has: Option<&'static str>,
}

/// What lies in a folder.
#[derive(Debug)]
pub(super) enum Holds {
    /// Objects of one of these collections.
    Objects(&'static [Collection]),
    /// Assignments of the objects in the folder above.
    Assignments,
    /// Scripts and other contents that the objects hold as well.
    Copies,
    /// Something for which there is no policy type.
    NotCovered,
    /// What the tool used to have, and has put aside.
    Archived,
    /// Directory objects that assignments name.
    Directory,
    /// What the tool made for people to read.
    Report,
}

/// A folder of a tool's backup.
#[derive(Debug)]
pub(super) struct Place {
    /// Its path below the backup's folder.
    pub(super) folder: &'static str,
    /// Whether the objects lie in folders below it, one for each sort.
    pub(super) sorted: bool,
    pub(super) holds: Holds,
}

const fn of(folder: &'static str, collections: &'static [Collection]) -> Place {
    Place { folder, sorted: false, holds: Holds::Objects(collections) }
}

const fn sorted(folder: &'static str, collections: &'static [Collection]) -> Place {
    Place { folder, sorted: true, holds: Holds::Objects(collections) }
}

const fn other(folder: &'static str, holds: Holds) -> Place {
    Place { folder, sorted: false, holds }
}

macro_rules! collections {
    ($($name:ident: $($path:literal $(($has:literal))?),+;)+) => {
        $(const $name: &[Collection] = &[$(Collection {
            path: $path,
            has: collections!(@has $($has)?),
        }),+];)+
    };
    (@has) => { None };
    (@has $has:literal) => { Some($has) };
}

collections! {
    APP_CONFIGURATIONS: "/deviceAppManagement/mobileAppConfigurations";
    APP_PROTECTION:
        "/deviceAppManagement/androidManagedAppProtections",
        "/deviceAppManagement/iosManagedAppProtections",
        "/deviceAppManagement/windowsManagedAppProtections",
        "/deviceAppManagement/mdmWindowsInformationProtectionPolicies",
        "/deviceAppManagement/windowsInformationProtectionPolicies",
        "/deviceAppManagement/targetedManagedAppConfigurations";
    APPS: "/deviceAppManagement/mobileApps";
    APPLE_PROFILES: "/deviceManagement/depOnboardingSettings/{parentId}/enrollmentProfiles";
    AUTOPILOT: "/deviceManagement/windowsAutopilotDeploymentProfiles";
    CATALOG: "/deviceManagement/configurationPolicies";
    CATEGORIES: "/deviceManagement/deviceCategories";
    COMPLIANCE: "/deviceManagement/deviceCompliancePolicies";
    COMPLIANCE_ALL:
        "/deviceManagement/compliancePolicies" ("settings"),
        "/deviceManagement/deviceCompliancePolicies";
    COMPLIANCE_SCRIPTS: "/deviceManagement/deviceComplianceScripts";
    COMPLIANCE_SCRIPTS_ALL:
        "/deviceManagement/reusablePolicySettings" ("settingDefinitionId"),
        "/deviceManagement/deviceComplianceScripts";
    CONDITIONAL_ACCESS: "/identity/conditionalAccess/policies";
    CONFIGURATIONS: "/deviceManagement/deviceConfigurations";
    CUSTOM_ATTRIBUTES: "/deviceManagement/deviceCustomAttributeShellScripts";
    DRIVERS: "/deviceManagement/windowsDriverUpdateProfiles";
    ENROLLMENT: "/deviceManagement/deviceEnrollmentConfigurations";
    FEATURES: "/deviceManagement/windowsFeatureUpdateProfiles";
    FILTERS: "/deviceManagement/assignmentFilters";
    HEALTH_SCRIPTS: "/deviceManagement/deviceHealthScripts";
    INTENTS: "/deviceManagement/intents";
    QUALITY: "/deviceManagement/windowsQualityUpdateProfiles";
    REUSABLE: "/deviceManagement/reusablePolicySettings";
    ROLES: "/deviceManagement/roleDefinitions";
    SCRIPTS: "/deviceManagement/deviceManagementScripts";
    SHELL_SCRIPTS: "/deviceManagement/deviceShellScripts";
    TAGS: "/deviceManagement/roleScopeTags";
    TEMPLATES: "/deviceManagement/groupPolicyConfigurations";
    NOTIFICATIONS: "/deviceManagement/notificationMessageTemplates";
    PUSH_CERTIFICATE: "/deviceManagement/applePushNotificationCertificate";
    VPP: "/deviceAppManagement/vppTokens";
    SETTINGS: "/deviceManagement/settings";
    COMPLIANCE_PARTNERS: "/deviceManagement/complianceManagementPartners";
    MANAGEMENT_PARTNERS: "/deviceManagement/deviceManagementPartners";
    ASSISTANCE_PARTNERS: "/deviceManagement/remoteAssistancePartners";
    AUTHENTICATION_METHODS: "/policies/authenticationMethodsPolicy";
    AUTHORIZATION: "/policies/authorizationPolicy";
    DEVICE_REGISTRATION: "/policies/deviceRegistrationPolicy";
    SECURITY_DEFAULTS: "/policies/identitySecurityDefaultsEnforcementPolicy";
    TERMS_OF_USE: "/identityGovernance/termsOfUse/agreements";
    LOCATIONS: "/identity/conditionalAccess/namedLocations";
    COMPLIANCE_V2: "/deviceManagement/compliancePolicies";
    BRANDING: "/deviceManagement/intuneBrandingProfiles";
    ENTRA_BRANDING: "/organization/{parentId}/branding/localizations";
    TERMS: "/deviceManagement/termsAndConditions";
    MANAGED_APP_CONFIGURATIONS: "/deviceAppManagement/targetedManagedAppConfigurations";
    POLICY_SETS: "/deviceAppManagement/policySets";
    INVENTORY: "/deviceManagement/inventoryPolicies";
    HARDWARE: "/deviceManagement/hardwareConfigurations";
    APPLE_TYPES: "/deviceManagement/appleUserInitiatedEnrollmentProfiles";
    ADMX: "/deviceManagement/groupPolicyUploadedDefinitionFiles";
    STRENGTHS: "/policies/authenticationStrengthPolicies";
    CONTEXTS: "/identity/conditionalAccess/authenticationContextClassReferences";
    PROVISIONING: "/deviceManagement/virtualEndpoint/provisioningPolicies";
    USER_SETTINGS: "/deviceManagement/virtualEndpoint/userSettings";
}

const INTUNE_CD: &[Place] = &[
    of("App Configuration", APP_CONFIGURATIONS),
    of("App Protection", APP_PROTECTION),
    of("Apple Push Notification", PUSH_CERTIFICATE),
    of("Apple VPP Tokens", VPP),
    sorted("Applications", APPS),
    of("Compliance Policies/Message Templates", NOTIFICATIONS),
    of("Compliance Policies/Policies", COMPLIANCE_ALL),
    of("Compliance Policies/Scripts", COMPLIANCE_SCRIPTS_ALL),
    of("Conditional Access", CONDITIONAL_ACCESS),
    of("Custom Attributes", CUSTOM_ATTRIBUTES),
    of("Device Categories", CATEGORIES),
    of("Device Configurations", CONFIGURATIONS),
    of("Device Management Settings", SETTINGS),
    of("Driver Updates", DRIVERS),
    of("Enrollment Configurations", ENROLLMENT),
    of("Enrollment Profiles/Apple", APPLE_PROFILES),
    of("Enrollment Profiles/Windows", AUTOPILOT),
    of("Enrollment Profiles/Windows/ESP", ENROLLMENT),
    of("Entra/Authentication Methods", AUTHENTICATION_METHODS),
    of("Entra/Authorization Policy", AUTHORIZATION),
    of("Entra/Device Registration Policy", DEVICE_REGISTRATION),
    of("Entra/Security Defaults", SECURITY_DEFAULTS),
    of("Feature Updates", FEATURES),
    of("Filters", FILTERS),
    of("Group Policy Configurations", TEMPLATES),
    sorted("Management Intents", INTENTS),
    of("Partner Connections/Compliance", COMPLIANCE_PARTNERS),
    of("Partner Connections/Management", MANAGEMENT_PARTNERS),
    of("Partner Connections/Remote Assistance", ASSISTANCE_PARTNERS),
    of("Proactive Remediations", HEALTH_SCRIPTS),
    of("Quality Updates", QUALITY),
    of("Roles", ROLES),
    of("Scope Tags", TAGS),
    of("Scripts/Powershell", SCRIPTS),
    of("Scripts/Shell", SHELL_SCRIPTS),
    of("Settings Catalog", CATALOG),
    other("Activation Lock Bypass Codes", Holds::NotCovered),
    other("Autopilot Devices", Holds::NotCovered),
    Place { folder: "Entra", sorted: true, holds: Holds::NotCovered },
    other("Managed Google Play", Holds::NotCovered),
    other("Assignment Report", Holds::Report),
    other("Compliance Policies/Scripts/Script Data", Holds::Copies),
    other("Custom Attributes/Script Data", Holds::Copies),
    other("Device Configurations/mobileconfig", Holds::Copies),
    other("Proactive Remediations/Script Data", Holds::Copies),
    other("Scripts/Powershell/Script Data", Holds::Copies),
    other("Scripts/Shell/Script Data", Holds::Copies),
    Place { folder: "__archive__", sorted: true, holds: Holds::Archived },
];

const INTUNE_MANAGEMENT: &[Place] = &[
    of("ADMXFiles", ADMX),
    of("AdministrativeTemplates", TEMPLATES),
    of("AndroidOEMConfig", APP_CONFIGURATIONS),
    of("AppConfigurationManagedApp", MANAGED_APP_CONFIGURATIONS),
    of("AppConfigurationManagedDevice", APP_CONFIGURATIONS),
    of("AppProtection", APP_PROTECTION),
    of("AppleEnrollmentTypes", APPLE_TYPES),
    of("Applications", APPS),
    of("AssignmentFilters", FILTERS),
    of("AuthenticationContext", CONTEXTS),
    of("AuthenticationStrengths", STRENGTHS),
    of("AutoPilot", AUTOPILOT),
    of("AzureBranding", ENTRA_BRANDING),
    of("CoManagementSettings", ENROLLMENT),
    of("CompliancePolicies", COMPLIANCE),
    of("CompliancePoliciesV2", COMPLIANCE_V2),
    of("ComplianceScripts", COMPLIANCE_SCRIPTS),
    of("ConditionalAccess", CONDITIONAL_ACCESS),
    of("DeviceCategories", CATEGORIES),
    of("DeviceConfiguration", CONFIGURATIONS),
    of("DeviceHealthScripts", HEALTH_SCRIPTS),
    of("DriverUpdateProfiles", DRIVERS),
    of("EndpointSecurity", INTENTS),
    of("EnrollmentRestrictions", ENROLLMENT),
    of("EnrollmentStatusPage", ENROLLMENT),
    of("FeatureUpdates", FEATURES),
    of("HardwareConfigurations", HARDWARE),
    of("IntuneBranding", BRANDING),
    of("InventoryPolicies", INVENTORY),
    of("MacCustomAttributes", CUSTOM_ATTRIBUTES),
    of("MacScripts", SHELL_SCRIPTS),
    of("NamedLocations", LOCATIONS),
    of("Notifications", NOTIFICATIONS),
    of("PolicySets", POLICY_SETS),
    of("PowerShellScripts", SCRIPTS),
    of("QualityUpdates", QUALITY),
    of("ReusableSettings", REUSABLE),
    of("RoleDefinitions", ROLES),
    of("ScopeTags", TAGS),
    of("SettingsCatalog", CATALOG),
    of("TermsAndConditions", TERMS),
    of("TermsOfUse", TERMS_OF_USE),
    of("UpdatePolicies", CONFIGURATIONS),
    of("W365ProvisioningPolicies", PROVISIONING),
    of("W365UserSettings", USER_SETTINGS),
    other("Groups", Holds::Directory),
    other("Locations", Holds::NotCovered),
];

const BACKUP_AND_RESTORE: &[Place] = &[
    of("Administrative Templates", TEMPLATES),
    of("App Protection Policies", APP_PROTECTION),
    of("Autopilot Deployment Profiles", AUTOPILOT),
    of("Client Apps", APPS),
    of("Device Compliance Policies", COMPLIANCE),
    of("Device Configurations", CONFIGURATIONS),
    of("Device Health Scripts", HEALTH_SCRIPTS),
    sorted("Device Management Intents", INTENTS),
    of("Device Management Scripts", SCRIPTS),
    of("Settings Catalog", CATALOG),
    other("Administrative Templates/Assignments", Holds::Assignments),
    other("App Protection Policies/Assignments", Holds::Assignments),
    other("Autopilot Deployment Profiles/Assignments", Holds::Assignments),
    other("Client Apps/Assignments", Holds::Assignments),
    other("Device Compliance Policies/Assignments", Holds::Assignments),
    other("Device Configurations/Assignments", Holds::Assignments),
    other("Device Health Scripts/Assignments", Holds::Assignments),
    other("Device Health Scripts/Script Content", Holds::Copies),
    other("Device Management Scripts/Assignments", Holds::Assignments),
    other("Device Management Scripts/Script Content", Holds::Copies),
    other("Settings Catalog/Assignments", Holds::Assignments),
];

/// The folders of a tool.
pub(super) const fn of_tool(tool: Tool) -> &'static [Place] {
    match tool {
        Tool::IntuneCd => INTUNE_CD,
        Tool::IntuneManagement => INTUNE_MANAGEMENT,
        Tool::IntuneBackupAndRestore => BACKUP_AND_RESTORE,
    }
}

/// What a tool keeps in a folder; none where it has no such folder.
pub(super) fn find(tool: Tool, folder: &str) -> Option<&'static Place> {
    let places = of_tool(tool);
    let exact = places.iter().find(|place| place.folder == folder);
    exact.or_else(|| {
        let (above, _) = folder.rsplit_once('/')?;
        places.iter().find(|place| place.sorted && place.folder == above)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tp_catalog::registry::Catalog;

    use super::*;

    #[test]
    fn each_collection_has_a_contract_and_each_folder_stands_once() {
        let catalog = Catalog::builtin().unwrap();
        let known: HashSet<&str> = catalog.iter().map(|(_, one)| one.list.path.as_str()).collect();
        for tool in Tool::ALL {
            let mut folders = HashSet::new();
            for place in of_tool(tool) {
                assert!(folders.insert(place.folder), "{tool:?} {}", place.folder);
                let Holds::Objects(collections) = &place.holds else { continue };
                for one in *collections {
                    assert!(known.contains(one.path), "{tool:?} {}: {}", place.folder, one.path);
                }
            }
        }
        assert!(find(Tool::IntuneCd, "Applications/iOS").is_some());
        assert!(find(Tool::IntuneCd, "Applications/iOS/x").is_none());
    }
}
