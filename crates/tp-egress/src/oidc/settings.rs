//! Which provider, and whose people. From the configuration only.

use std::collections::BTreeSet;

use secrecy::SecretString;
use url::Url;
use uuid::Uuid;

/// Whose people an issuer signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// Microsoft Entra, the people of several tenants: the issuer of a token names its tenant.
    EntraMany,
    /// Microsoft Entra, the people of one tenant.
    EntraOne(Uuid),
    /// Another provider; it has no tenants.
    Other,
}

/// Why the configuration of the provider is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcSettingsError {
    /// The issuer is not an address of the allowed kind.
    #[error(
        "must be https://HOST/PATH, or http:// on a loopback address, without user, query and fragment"
    )]
    Issuer,
    /// `consumers`: private accounts only.
    #[error("must not be Microsoft's issuer of private accounts")]
    Consumers,
    /// An issuer for all tenants without a list of those that are meant.
    #[error(
        "needs oidc.allowed_tenants: this issuer signs in the people of every tenant in the world"
    )]
    TenantsNeeded,
    /// Tenants with an issuer that has none, or without the issuer's own.
    #[error("does not fit oidc.issuer: it names tenants that this issuer cannot sign in")]
    TenantsForeign,
    /// No client id.
    #[error("must be the id of this app at the provider")]
    ClientId,
}

/// Which provider, which app there, and whose people.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    pub(crate) issuer: Url,
    pub(crate) issuer_text: String,
    pub(crate) tenancy: Tenancy,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretString>,
    pub(crate) allowed_tenants: BTreeSet<Uuid>,
    pub(crate) name: String,
}

/// Microsoft's words for "the people of every tenant".
const MANY: [&str; 2] = ["organizations", "common"];

fn is_allowed(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain && (url.scheme() == "https" || url.scheme() == "http" && loopback)
}

impl OidcSettings {
    /// Checks what the configuration says. An issuer whose path is `/TENANT/v2.0`, `/organizations/v2.0`
    /// or `/common/v2.0` is Microsoft Entra's; the host is not looked at, since its clouds have several.
    pub fn new(
        issuer: &str,
        client_id: &str,
        client_secret: Option<SecretString>,
        allowed_tenants: BTreeSet<Uuid>,
        name: Option<&str>,
    ) -> Result<Self, OidcSettingsError> {
        let url: Url = issuer.parse().map_err(|_| OidcSettingsError::Issuer)?;
        // A token's issuer is compared letter for letter: what is written must be what is meant.
        let is_same = url.as_str() == issuer || url.as_str().strip_suffix('/') == Some(issuer);
        if !is_allowed(&url) || !is_same {
            return Err(OidcSettingsError::Issuer);
        }
        let tenancy = match url.path().trim_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["consumers", "v2.0"] => return Err(OidcSettingsError::Consumers),
            [word, "v2.0"] if MANY.contains(&word) => Tenancy::EntraMany,
            [word, "v2.0"] => Uuid::try_parse(word).map_or(Tenancy::Other, Tenancy::EntraOne),
            _ => Tenancy::Other,
        };
        match &tenancy {
            Tenancy::EntraMany if allowed_tenants.is_empty() => {
                return Err(OidcSettingsError::TenantsNeeded);
            }
            Tenancy::EntraOne(own) if allowed_tenants.iter().any(|tenant| tenant != own) => {
                return Err(OidcSettingsError::TenantsForeign);
            }
            Tenancy::Other if !allowed_tenants.is_empty() => {
                return Err(OidcSettingsError::TenantsForeign);
            }
            _ => {}
        }
        let fits = |text: &str| {
            (1..=255).contains(&text.len()) && text.bytes().all(|byte| (0x21..0x7f).contains(&byte))
        };
        if !fits(client_id) {
            return Err(OidcSettingsError::ClientId);
        }
        let name = name.map_or_else(
            || match tenancy {
                Tenancy::Other => url.host_str().unwrap_or_default().to_owned(),
                _ => "Microsoft".to_owned(),
            },
            str::to_owned,
        );
        Ok(Self {
            issuer_text: issuer.to_owned(),
            issuer: url,
            tenancy,
            client_id: client_id.to_owned(),
            client_secret,
            allowed_tenants,
            name,
        })
    }

    /// Where the provider is: what the egress door must be told as declared by the operator.
    pub const fn issuer(&self) -> &Url {
        &self.issuer
    }

    /// The issuer that the provider must name itself by: of Entra's common endpoints a template.
    pub(crate) fn expected_issuer(&self) -> String {
        match &self.tenancy {
            Tenancy::EntraMany => {
                let origin = self.issuer.origin().ascii_serialization();
                format!("{origin}/{{tenantid}}/v2.0")
            }
            _ => self.issuer_text.clone(),
        }
    }

    /// The issuer of the tokens of a tenant's people.
    pub(crate) fn issuer_of(&self, tenant: Option<Uuid>) -> String {
        let expected = self.expected_issuer();
        match tenant {
            Some(tenant) => expected.replace("{tenantid}", &tenant.to_string()),
            None => expected,
        }
    }

    /// Whether the people of that tenant may sign in.
    pub(crate) fn allows(&self, tenant: Uuid) -> bool {
        match &self.tenancy {
            Tenancy::EntraMany => self.allowed_tenants.contains(&tenant),
            Tenancy::EntraOne(own) => *own == tenant,
            Tenancy::Other => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "11111111-2222-3333-4444-555555555555";

    fn new(issuer: &str, tenants: &[u128]) -> Result<OidcSettings, OidcSettingsError> {
        let tenants = tenants.iter().copied().map(Uuid::from_u128).collect();
        OidcSettings::new(issuer, "app", None, tenants, None)
    }

    #[test]
    fn an_issuer_tells_whose_people_it_signs_in() {
        let own: Uuid = ONE.parse().unwrap();
        let host = "https://login.microsoftonline.com";
        let one = new(&format!("{host}/{ONE}/v2.0"), &[]).unwrap();
        assert_eq!((&one.tenancy, one.name.as_str()), (&Tenancy::EntraOne(own), "Microsoft"));
        assert!(one.allows(own) && !one.allows(Uuid::from_u128(7)));
        let many = new(&format!("{host}/organizations/v2.0"), &[7]).unwrap();
        assert!(many.allows(Uuid::from_u128(7)) && !many.allows(own));
        assert_eq!(many.expected_issuer(), format!("{host}/{{tenantid}}/v2.0"));
        assert_eq!(many.issuer_of(Some(own)), format!("{host}/{ONE}/v2.0"));
        let other = new("https://accounts.example", &[]).unwrap();
        assert_eq!((&other.tenancy, other.name.as_str()), (&Tenancy::Other, "accounts.example"));
        assert_eq!(other.expected_issuer(), "https://accounts.example");
    }

    #[test]
    fn what_would_let_in_more_than_was_meant_is_refused() {
        use OidcSettingsError as E;
        let host = "https://login.microsoftonline.com";
        for (issuer, tenants, error) in [
            (format!("{host}/organizations/v2.0"), &[][..], E::TenantsNeeded),
            (format!("{host}/common/v2.0"), &[], E::TenantsNeeded),
            (format!("{host}/consumers/v2.0"), &[7], E::Consumers),
            (format!("{host}/{ONE}/v2.0"), &[7], E::TenantsForeign),
            ("https://accounts.example".to_owned(), &[7], E::TenantsForeign),
            ("http://accounts.example".to_owned(), &[], E::Issuer),
            ("https://user@accounts.example".to_owned(), &[], E::Issuer),
            ("https://accounts.example/?x=1".to_owned(), &[], E::Issuer),
            ("https://accounts.example/#x".to_owned(), &[], E::Issuer),
            ("https://ACCOUNTS.example".to_owned(), &[], E::Issuer),
            ("accounts.example".to_owned(), &[], E::Issuer),
        ] {
            assert_eq!(new(&issuer, tenants).unwrap_err(), error, "{issuer}");
        }
        let empty = OidcSettings::new("https://a.example", "", None, BTreeSet::new(), None);
        assert_eq!(empty.unwrap_err(), E::ClientId);
    }
}
