//! What a check of a connection asks: a new token and what it carries, and the tenant's licences.

use tp_catalog::contract::ApiVersion;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;

use crate::error::GraphError;
use crate::session::GraphSession;

/// Graph counts a list of licences as three requests (throttling-limits.md).
const COSTS: u32 = 3;

/// The permission that is enough to read licences and that other things need too.
pub const LICENCE_PERMISSION: &str = "Organization.Read.All";

/// The longest name that is kept of a permission or a service plan.
const LONGEST: usize = 100;

/// No app has more permissions; Microsoft has about 700.
const MOST: usize = 2_000;

/// What a new token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The application permissions that it carries, by name; none where the token cannot be read, as
    /// Microsoft allows itself.
    pub granted: Option<Vec<String>>,
}

/// A name that may be stored and shown: what Microsoft names permissions and service plans.
fn plain_name(text: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    ((1..=LONGEST).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
}

/// The names in a list, sorted, each once; what is no name is left out.
pub fn names<'a>(list: impl Iterator<Item = &'a Json>) -> Vec<String> {
    let mut names: Vec<String> =
        list.filter_map(Json::as_str).filter_map(plain_name).take(MOST).collect();
    names.sort();
    names.dedup();
    names
}

impl GraphSession {
    /// Asks the login host for a new token, also where an older one is still good: a new consent shows in
    /// a new token only. Later requests of every run of this process use it.
    pub async fn sign_in_anew(&self) -> Result<SignedIn, GraphError> {
        self.new_token().await.map(|token| SignedIn { granted: token.roles() })
    }

    /// The service plans of the tenant's licences that are in force, by name.
    pub async fn service_plans(&self) -> Result<Vec<String>, GraphError> {
        let select = [("$select", "capabilityStatus,servicePlans")];
        let url = self.address(ApiVersion::V1, "/subscribedSkus", &select)?;
        let reply = self.fetch_counted(ThrottleGroup::Identity, &url, COSTS).await?;
        let malformed = || GraphError::new(ReasonCode::MalformedResponse);
        let skus = reply.get("value").and_then(Json::as_array).ok_or_else(malformed)?;
        let text = |value: &Json, name: &str| -> String {
            value.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        // "Warning" is the time of grace after the end: everything still works.
        let in_force = skus
            .iter()
            .filter(|sku| ["Enabled", "Warning"].contains(&text(sku, "capabilityStatus").as_str()));
        let plans = in_force
            .filter_map(|sku| sku.get("servicePlans")?.as_array())
            .flatten()
            .filter(|plan| text(plan, "provisioningStatus") != "Disabled")
            .filter_map(|plan| plan.get("servicePlanName"));
        Ok(names(plans))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_names_are_kept() {
        let list =
            json!(["Group.Read.All", "<b>", "", 7, "a b", "Group.Read.All", "x".repeat(101)]);
        let list = Json::from(list);
        assert_eq!(names(list.as_array().unwrap().iter()), ["Group.Read.All"]);
    }
}
