//! What Microsoft's metadata say of each concrete type: which members are read-only, which may not be
//! null, which are navigation properties.
//!
//! `data/schema.json` is derived from Microsoft's beta model (`beta-entity-types.json` and the SDK, see
//! `docs/adding-a-policy-type.md`). Facts that hold for all concrete types of a policy type stand once;
//! each concrete type adds its own. A union over types would be wrong: `packageId` is read-only for
//! `androidForWorkApp` and needed to create an `androidManagedStoreApp`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The facts of all policy types.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    types: BTreeMap<String, TypeSchema>,
}

/// The facts of one policy type.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TypeSchema {
    #[serde(flatten)]
    all: Members,
    #[serde(default)]
    types: BTreeMap<String, Members>,
}

/// Members by what is true of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    #[serde(default)]
    read_only: Vec<String>,
    #[serde(default)]
    navigation: Vec<String>,
    #[serde(default)]
    not_null: Vec<String>,
}

/// What is true of the members of one concrete type.
#[derive(Clone, Copy, Debug)]
pub struct MemberFacts<'a> {
    all: Option<&'a Members>,
    own: Option<&'a Members>,
}

impl Schema {
    /// The facts that this program brings.
    pub(crate) fn builtin() -> Result<Self, serde_json::Error> {
        serde_json::from_str(include_str!("../data/schema.json"))
    }

    /// The facts of a concrete type (without `#microsoft.graph.`) of a policy type.
    ///
    /// A concrete type that is not known has the facts that hold for all.
    pub fn facts(&self, key: &str, odata_type: Option<&str>) -> MemberFacts<'_> {
        let of_key = self.types.get(key);
        MemberFacts {
            all: of_key.map(|facts| &facts.all),
            own: of_key.and_then(|facts| facts.types.get(odata_type?)),
        }
    }

    /// The policy types that it knows.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str)
    }
}

impl MemberFacts<'_> {
    /// Whether Graph sets it and refuses it in a body.
    pub fn is_read_only(&self, member: &str) -> bool {
        self.any(|members| &members.read_only, member)
    }

    /// Whether it is a navigation property: it is written by its own path or not at all.
    pub fn is_navigation(&self, member: &str) -> bool {
        self.any(|members| &members.navigation, member)
    }

    /// Whether it may not be sent as null.
    pub fn is_not_null(&self, member: &str) -> bool {
        self.any(|members| &members.not_null, member)
    }

    fn any(&self, list: impl Fn(&Members) -> &Vec<String>, member: &str) -> bool {
        [self.all, self.own]
            .into_iter()
            .flatten()
            .any(|members| list(members).iter().any(|name| name == member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_only_depends_on_the_concrete_type() {
        let schema = Schema::builtin().unwrap();
        assert!(schema.facts("mobileApp", Some("androidForWorkApp")).is_read_only("packageId"));
        assert!(!schema.facts("mobileApp", Some("androidManagedStoreApp")).is_read_only("nothing"));
        assert!(
            !schema.facts("mobileApp", Some("androidAospReferencedApp")).is_read_only("packageId")
        );
        assert!(!schema.facts("mobileApp", Some("iosStoreApp")).is_read_only("appStoreUrl"));
        assert!(schema.facts("mobileApp", None).is_read_only("createdDateTime"));
        assert!(!schema.facts("unknown", None).is_read_only("createdDateTime"));
    }

    #[test]
    fn navigation_and_nulls_are_known() {
        let schema = Schema::builtin().unwrap();
        let facts = schema.facts("settingsCatalogPolicy", None);
        assert!(facts.is_navigation("settings"));
        let wifi = schema.facts("deviceConfiguration", Some("macOSCustomConfiguration"));
        assert!(wifi.is_not_null("payload"));
    }
}
