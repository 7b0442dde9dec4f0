//! Two versions, of one tenant or of two, and what differs between them: for the page and the API.

use std::sync::Arc;

use tp_catalog::compare::{CompareError, Comparison, Diff, Side};
use tp_catalog::content::{VersionContent, names_of};
use tp_catalog::definitions::Definitions;
use tp_catalog::registry::Catalog;
use tp_catalog::tree::Tree;
use tp_domain::access::{Capability, ViewBackups};
use tp_domain::ids::{PolicyId, VersionId};
use tp_domain::policy::Policy;
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_domain::version::PolicyVersion;
use tp_store::{TenantRef, TenantScope};

use crate::app::App;
use crate::contents::{self, Unreadable};
use crate::error::WebError;

/// How a side is named in an address: `version:ID`, `live:POLICY`, and before it, for another tenant,
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

/// Whether a policy was changed in Intune after its newest capture, as far as the inventory knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// The inventory has seen a later change.
    Changed,
    /// The inventory has seen no later change.
    Same,
    /// The listing of the type does not tell.
    NotTold,
}

impl Since {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Same => "same",
            Self::NotTold => "not_told",
        }
    }

    /// Compares what the inventory and the capture know of the last change.
    pub(crate) fn of(policy: &Policy, version: &PolicyVersion) -> Self {
        let captured = version.modified_text.as_deref().and_then(Timestamp::parse);
        match (policy.observed.modified_at, captured) {
            (Some(seen), Some(captured)) if seen > captured => Self::Changed,
            (Some(_), Some(_)) => Self::Same,
            _ => Self::NotTold,
        }
    }
}

/// One side, read.
pub(crate) struct Loaded {
    pub(crate) tenant: Tenant,
    pub(crate) version: PolicyVersion,
    /// The policy whose newest capture stands for what is live.
    pub(crate) live: Option<Policy>,
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
    let (version, live) = match asked.what {
        What::Version(id) => (scope.version_get(id).await?, None),
        What::Newest(policy) => {
            (scope.version_newest(policy).await?, scope.policy_get(policy).await?)
        }
    };
    let version = version.ok_or(WebError::NotFound)?;
    let content = contents::read(app, &scope, &version).await?;
    let with_scripts = scope.may(Capability::ScriptsViewContent);
    Ok(Loaded { tenant: scope.tenant().clone(), version, live, content, with_scripts })
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

/// What was compared.
pub(crate) struct Compared {
    pub(crate) diff: Diff,
    /// Whether the values of scripts are left out of it.
    pub(crate) scripts_hidden: bool,
}

/// Compares them. The outer error is the machine's.
pub(crate) async fn run(
    app: &App,
    left: &Loaded,
    right: &Loaded,
) -> Result<Result<Compared, NotCompared>, WebError> {
    let contents = [left, right].map(|side| side.content.as_ref());
    let [Ok(one), Ok(two)] = contents else {
        let fault = contents.into_iter().find_map(Result::err);
        return Ok(Err(
            fault.map_or(NotCompared::NoContract, |fault| NotCompared::Unreadable(*fault))
        ));
    };
    let (catalog, across_tenants) = (Arc::clone(&app.catalog), left.tenant.id != right.tenant.id);
    let sides = [(left.version.clone(), one.clone()), (right.version.clone(), two.clone())];
    let scripts_hidden = !(left.with_scripts && right.with_scripts);
    let diff = contents::off_thread(move || differences(&catalog, &sides, across_tenants)).await?;
    Ok(diff.map(|mut diff| {
        if scripts_hidden {
            diff.withhold_restricted();
        }
        Compared { diff, scripts_hidden }
    }))
}

fn differences(
    catalog: &Catalog,
    sides: &[(PolicyVersion, VersionContent); 2],
    across_tenants: bool,
) -> Result<Diff, NotCompared> {
    let contract = catalog.contract(&sides[0].0.policy_type).ok_or(NotCompared::NoContract)?;
    let names = sides.each_ref().map(|(version, _)| names_of(&version.names));
    let objects = sides.each_ref().map(|(_, content)| Tree::from(&content.object));
    let assigned =
        sides.each_ref().map(|(_, content)| content.assignments.as_ref().map(Tree::from));
    let side = |at: usize| Side {
        policy_type: sides[at].0.policy_type.as_str(),
        object: &objects[at],
        assignments: assigned[at].as_ref(),
        names: &names[at],
        unread: &[],
    };
    let comparison = Comparison { contract, definitions: &Definitions::default(), across_tenants };
    let mut diff = comparison.run(&side(0), &side(1)).map_err(NotCompared::Compare)?;
    // A place that was a script when it was captured stays one, whatever today's contract says.
    let places: Vec<&String> =
        sides.iter().flat_map(|(_, content)| &content.found.restricted).collect();
    for entry in diff.entries.iter_mut().chain(&mut diff.technical) {
        let own = [Some(&entry.pointer), entry.left_pointer.as_ref()];
        let of = |place: &str| {
            own.into_iter().flatten().any(|own| is_in(own, place) || is_in(place, own))
        };
        entry.restricted |= places.iter().any(|place| of(place));
    }
    Ok(diff)
}

/// Whether a pointer is that place or lies within it.
fn is_in(pointer: &str, place: &str) -> bool {
    pointer.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_what_lies_in_it() {
        assert!(is_in("/a/b", "/a") && is_in("/a", "/a") && is_in("/a", ""));
        assert!(!is_in("/ab", "/a") && !is_in("/a", "/a/b"));
    }

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
