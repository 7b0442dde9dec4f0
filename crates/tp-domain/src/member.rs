//! Who is a member of a workspace, and who is asked to become one (PRODUCT ).

use crate::access::Role;
use crate::ids::{InvitationId, TenantId, UserId};
use crate::tenant::Slug;
use crate::time::Timestamp;

/// A person in a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The account.
    pub user: UserId,
    /// Its name for people.
    pub name: String,
    /// Its e-mail address.
    pub email: String,
    /// Whether the account may sign in.
    pub is_active: bool,
    /// The role in the workspace as a whole; none for somebody who sees single tenants only.
    pub role: Option<Role>,
    /// Roles that differ in single tenants.
    pub overrides: Vec<RoleOverride>,
    /// When the person was added.
    pub added_at: Timestamp,
    /// Who added them.
    pub added_by: String,
    /// The latest use of a session in this workspace that is still open.
    pub seen_at: Option<Timestamp>,
}

/// A role in one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleOverride {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name in URLs.
    pub slug: Slug,
    /// Its name for people.
    pub name: String,
    /// The role there. It may be more or less than the one in the workspace.
    pub role: Role,
}

/// Somebody who was asked to join and has not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The invitation.
    pub id: InvitationId,
    /// Who may use it: an account with this address, or a new one.
    pub email: String,
    /// The role that it gives.
    pub role: Role,
    /// The one tenant that it is for; none for the workspace as a whole.
    pub tenant: Option<TenantId>,
    /// Who asked.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// It works until then, once.
    pub expires_at: Timestamp,
}

/// Reads an e-mail address: one `@`, a host with a dot, no spaces or control characters, at most 254
/// characters. Gives it in lower case. Whether anybody reads mail there is not known.
pub fn email(text: &str) -> Option<String> {
    let text = text.trim();
    let (person, host) = text.split_once('@')?;
    let plain = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '@' && c != ',')
    };
    let fits = text.len() <= 254
        && plain(person)
        && plain(host)
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.');
    fits.then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::email;

    #[test]
    fn addresses_are_told_from_other_texts() {
        assert_eq!(email(" Ada@Example.COM "), Some("ada@example.com".to_owned()));
        for bad in ["", "ada", "ada@", "@example.com", "ada@example", "a b@example.com"] {
            assert_eq!(email(bad), None, "{bad:?}");
        }
        for bad in ["a@b@example.com", "a@.com", "a@com.", "a\n@example.com", "a,b@example.com"] {
            assert_eq!(email(bad), None, "{bad:?}");
        }
        assert_eq!(email(&format!("a@{}.example", "x".repeat(250))), None);
    }
}
