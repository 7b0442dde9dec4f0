//! Links. Each address is put together here and nowhere else.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tp_domain::ids::{PolicyId, RestoreId, RunId, ScheduleId, VersionId, WorkspaceId};
use tp_domain::tenant::Tenant;

const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'&')
    .add(b'+')
    .add(b'%')
    .add(b'=')
    .add(b'?');

/// A value for a query string.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

pub(crate) fn overview(tenant: &Tenant) -> String {
    format!("/t/{}/overview", tenant.slug)
}

pub(crate) fn policies(tenant: &Tenant) -> String {
    format!("/t/{}/policies", tenant.slug)
}

pub(crate) fn policy(tenant: &Tenant, id: PolicyId) -> String {
    format!("/t/{}/policies/{id}", tenant.slug)
}

pub(crate) fn versions(tenant: &Tenant, id: PolicyId) -> String {
    format!("{}/versions", policy(tenant, id))
}

pub(crate) fn version(tenant: &Tenant, id: VersionId) -> String {
    format!("/t/{}/versions/{id}", tenant.slug)
}

pub(crate) fn backups(tenant: &Tenant) -> String {
    format!("/t/{}/backups", tenant.slug)
}

pub(crate) fn backup(tenant: &Tenant, number: u64) -> String {
    format!("/t/{}/backups/{number}", tenant.slug)
}

pub(crate) fn backup_import(tenant: &Tenant) -> String {
    format!("/t/{}/backups/import", tenant.slug)
}

pub(crate) fn restores(tenant: &Tenant) -> String {
    format!("/t/{}/restores", tenant.slug)
}

pub(crate) fn restore(tenant: &Tenant, id: RestoreId) -> String {
    format!("{}/{id}", restores(tenant))
}

/// Where two versions are compared; which two stands in the query.
pub(crate) fn compare_page(tenant: &Tenant) -> String {
    format!("/t/{}/compare", tenant.slug)
}

pub(crate) fn compare(tenant: &Tenant, left: VersionId, right: VersionId) -> String {
    format!("{}?left=version:{left}&right=version:{right}", compare_page(tenant))
}

pub(crate) fn coverage(tenant: &Tenant) -> String {
    format!("/t/{}/coverage", tenant.slug)
}

/// All policy types, or what of them works in a tenant.
pub(crate) fn policy_types(tenant: Option<&Tenant>) -> String {
    tenant.map_or_else(
        || "/policy-types".to_owned(),
        |tenant| format!("/t/{}/policy-types", tenant.slug),
    )
}

pub(crate) fn policy_type(key: &str) -> String {
    format!("/policy-types/{key}")
}

/// How the tenant is reached.
pub(crate) fn connection(tenant: &Tenant) -> String {
    connection_of(tenant.slug.as_str())
}

pub(crate) fn connection_of(slug: &str) -> String {
    format!("/t/{slug}/settings/connection")
}

/// Where the consent page leads back to. An app registration must list it, so it is one for all tenants.
pub(crate) const CONSENT_CALLBACK: &str = "/consent/callback";

/// Where an identity provider leads back to. The app there must list it.
pub(crate) const OIDC_CALLBACK: &str = "/login/oidc/callback";

/// After signing out of a session that was opened at a provider.
pub(crate) const SIGNED_OUT: &str = "/login/signed-out";

/// The workspaces of a person.
pub(crate) const WORKSPACES: &str = "/workspaces";

/// The ways in of a person.
pub(crate) const OWN_SIGN_INS: &str = "/account/sign-ins";

/// Begins a sign-in at the provider, and leads to `return_to` afterwards.
pub(crate) fn oidc(return_to: &str) -> String {
    format!("/login/oidc?return_to={}", encode(return_to))
}

pub(crate) fn operations(tenant: &Tenant) -> String {
    format!("/t/{}/operations", tenant.slug)
}

pub(crate) fn operation(tenant: &Tenant, run: RunId) -> String {
    Home::Tenant(tenant).operation(run)
}

pub(crate) fn operation_of(slug: &str, run: RunId) -> String {
    format!("/t/{slug}/operations/{run}")
}

/// Where runs and schedules are: in a tenant, or in the workspace itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Home<'a> {
    Tenant(&'a Tenant),
    Workspace(WorkspaceId),
}

impl Home<'_> {
    fn base(&self) -> String {
        match self {
            Self::Tenant(tenant) => format!("/t/{}", tenant.slug),
            Self::Workspace(workspace) => format!("/w/{workspace}"),
        }
    }

    pub(crate) fn operations(&self) -> String {
        format!("{}/operations", self.base())
    }

    pub(crate) fn operation(&self, run: RunId) -> String {
        format!("{}/operations/{run}", self.base())
    }

    pub(crate) fn schedules(&self) -> String {
        format!("{}/schedules", self.base())
    }

    pub(crate) fn schedule(&self, id: ScheduleId) -> String {
        format!("{}/schedules/{id}", self.base())
    }

    /// The same run in the API.
    pub(crate) fn api_run(&self, run: RunId) -> String {
        match self {
            Self::Tenant(tenant) => format!("/api/v1/tenants/{}/runs/{run}", tenant.slug),
            Self::Workspace(workspace) => format!("/api/v1/workspaces/{workspace}/runs/{run}"),
        }
    }
}

pub(crate) fn members(workspace: WorkspaceId) -> String {
    format!("/w/{workspace}/members")
}

/// Who may do what.
pub(crate) fn roles() -> String {
    "/roles".to_owned()
}

/// The page behind an invitation's link.
pub(crate) fn invitation(secret: &str) -> String {
    format!("/invite/{secret}")
}

pub(crate) fn platform(workspace: WorkspaceId) -> String {
    format!("/w/{workspace}/platform")
}

pub(crate) fn sync(tenant: &Tenant) -> String {
    format!("/t/{}/inventory/sync", tenant.slug)
}

pub(crate) fn reason_code(code: &str) -> String {
    format!("/docs/reason-codes/{code}")
}

/// A path on this server, or none: never another host, never a scheme (TRUST §6, 17).
pub(crate) fn local(text: &str) -> Option<&str> {
    let fits = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.len() <= 2000
        && text.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    fits.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_paths_of_this_server_are_local() {
        for good in ["/", "/tenants", "/t/a/operations?tab=failed&x=%20"] {
            assert_eq!(local(good), Some(good));
        }
        for bad in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a\r\nX: y",
            "/a b",
            "javascript:x",
        ] {
            assert_eq!(local(bad), None, "{bad:?}");
        }
    }
}
