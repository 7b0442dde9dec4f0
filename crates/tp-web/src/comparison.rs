//! Two versions, of one tenant or of two, and what differs between them: for the page and the API.

use tp_catalog::compare::{CompareError, Comparison, Diff, Side};
use tp_catalog::content::{VersionContent, names_of};
use tp_catalog::definitions::Definitions;
use tp_catalog::tree::Tree;
use tp_domain::access::{Capability, ViewBackups};
use tp_domain::ids::{PolicyId, VersionId};
use tp_domain::tenant::Tenant;
use tp_domain::version::PolicyVersion;
use tp_store::{TenantRef, TenantScope};

use crate::app::App;
use crate::contents::{self, Unreadable};
use crate::error::WebError;

/// How a side is named in an address: `version:ID`, `latest:POLICY`, and before it, for another tenant,
/// `SLUG/`.
pub(crate) const FORM: &str =
    "version:ID or live:POLICY, and TENANT/ before it for a policy of another tenant";

/// A side as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    tenant: Option<TenantRef>,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Version(VersionId),
    Newest(PolicyId),
}

impl Asked {
    /// Reads a side; none when it has not that form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (tenant, rest) = match text.split_once('/') {
            Some((tenant, rest)) => (Some(TenantRef::parse(tenant)?), rest),
            None => (None, text),
        };
        let (word, id) = rest.split_once(':')?;
        let what = match word {
            "version" => What::Version(id.parse().ok()?),
            // What was captured last stands for what is there: pages ask Graph for nothing.
            "live" => What::Newest(id.parse().ok()?),
            _ => return None,
        };
        Some(Self { tenant, what })
    }
}

/// One side, read.
pub(crate) struct Loaded {
    pub(crate) tenant: Tenant,
    pub(crate) version: PolicyVersion,
    pub(crate) content: Result<VersionContent, Unreadable>,
    with_scripts: bool,
}

/// Reads a side. The door of its own tenant decides: another tenant's id is not found from here.
pub(crate) async fn load(
    app: &App,
    here: &TenantScope<ViewBackups>,
    asked: &Asked,
) -> Result<Loaded, WebError> {
    let place = asked.tenant.clone().unwrap_or(TenantRef::Id(here.tenant().id));
    let scope = app.store.enter::<ViewBackups>(here.actor(), &place).await?;
    let version = match asked.what {
        What::Version(id) => scope.version_get(id).await?,
        What::Newest(policy) => scope.version_newest(policy).await?,
    };
    let version = version.ok_or(WebError::NotFound)?;
    let content = contents::read(app, &scope, &version).await?;
    let with_scripts = scope.may(Capability::ScriptsViewContent);
    Ok(Loaded { tenant: scope.tenant().clone(), version, content, with_scripts })
}

/// Why two sides were not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotCompared {
    /// A side cannot be read.
    Unreadable(Unreadable),
    /// They are of two kinds, or of a kind without a contract.
    Compare(CompareError),
    /// The type has no contract here.
    NoContract,
}

/// Compares them.
pub(crate) fn run(app: &App, left: &Loaded, right: &Loaded) -> Result<Diff, NotCompared> {
    let contents = [left, right].map(|side| side.content.as_ref());
    let [Ok(one), Ok(two)] = contents else {
        let fault = contents.into_iter().find_map(Result::err);
        return Err(fault.map_or(NotCompared::NoContract, |fault| NotCompared::Unreadable(*fault)));
    };
    let contract = app.catalog.contract(&left.version.policy_type);
    let contract = contract.ok_or(NotCompared::NoContract)?;
    let (left_names, right_names) = (names_of(&left.version.names), names_of(&right.version.names));
    let (left_object, right_object) = (Tree::from(&one.object), Tree::from(&two.object));
    let (left_assigned, right_assigned) =
        (one.assignments.as_ref().map(Tree::from), two.assignments.as_ref().map(Tree::from));
    let comparison = Comparison {
        contract,
        definitions: &Definitions::default(),
        across_tenants: left.tenant.id != right.tenant.id,
    };
    let side = |policy_type, object, assignments, names| Side {
        policy_type,
        object,
        assignments,
        names,
        unread: &[],
    };
    let diff = comparison.run(
        &side(left.version.policy_type.as_str(), &left_object, left_assigned.as_ref(), &left_names),
        &side(
            right.version.policy_type.as_str(),
            &right_object,
            right_assigned.as_ref(),
            &right_names,
        ),
    );
    let mut diff = diff.map_err(NotCompared::Compare)?;
    if !(left.with_scripts && right.with_scripts) {
        diff.withhold_restricted();
    }
    Ok(diff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_read_strictly() {
        let id = "018f3c2a-0000-7000-8000-000000000001";
        assert!(Asked::parse(&format!("version:{id}")).is_some());
        assert!(Asked::parse(&format!("live:{id}")).is_some());
        assert!(Asked::parse(&format!("contoso/version:{id}")).unwrap().tenant.is_some());
        for bad in ["", "version:", "version:x", "live", "what:1", "a/b/version:x", "/version:x"] {
            assert_eq!(Asked::parse(bad), None, "{bad}");
        }
    }
}
