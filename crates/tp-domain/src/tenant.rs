//! Workspaces and tenants: whose policies are watched, and how they are reached.

use std::fmt;

use uuid::Uuid;

use crate::ids::{TenantId, WorkspaceId};
use crate::time::Timestamp;
use crate::words::words;

/// A short fixed name for URLs, unique within its workspace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug(String);

/// Not the form of a slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a slug is 1 to 48 characters of a-z, 0-9 and -, and starts and ends with a letter or digit"
)]
pub struct BadSlug;

impl Slug {
    /// Checks the form. A UUID is no slug, so that `{tenant}` in a URL is never ambiguous.
    pub fn new(text: &str) -> Result<Self, BadSlug> {
        let fits = (1..=48).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-')
            && Uuid::try_parse(text).is_err();
        if fits { Ok(Self(text.to_owned())) } else { Err(BadSlug) }
    }

    /// The slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

words! {
    /// Whether a tenant may be worked on.
    pub enum TenantStatus {
        /// Runs may start.
        Active => "active",
        /// Nothing may start; what is stored stays readable.
        Disabled => "disabled",
    }
}

/// One Microsoft Entra tenant as we keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Our id.
    pub id: TenantId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its name in URLs.
    pub slug: Slug,
    /// Its name for people.
    pub name: String,
    /// Its id in Microsoft Entra.
    pub entra_tenant_id: Uuid,
    /// The verified domain, once it is known.
    pub domain: Option<String>,
    /// The cloud: `global`, `usgov`, `dod`, `china` or one from the configuration.
    pub cloud: String,
    /// The app registration that we sign in as; none while there is no connection.
    pub client_id: Option<String>,
    /// Whether runs may start.
    pub status: TenantStatus,
    /// When it was added.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_plain_and_never_an_id() {
        assert!(Slug::new("contoso-gmbh-2").is_ok());
        for bad in ["", "Contoso", "-a", "a-", "a_b", "ä", "018f3c1e-7b2a-7c3d-8e4f-5a6b7c8d9e0f"]
        {
            assert_eq!(Slug::new(bad), Err(BadSlug), "{bad:?}");
        }
        assert!(Slug::new(&"a".repeat(49)).is_err());
    }
}
