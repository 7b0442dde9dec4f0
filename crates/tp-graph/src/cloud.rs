//! The Microsoft clouds, and clouds of the operator's own (the simulator is one).

use std::collections::BTreeMap;

use url::Url;

/// Where Graph and the login of a cloud are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    name: String,
    graph: Url,
    login: Url,
}

/// Why a cloud of the configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloudError {
    /// Not a URL of the allowed kind.
    #[error(
        "the {which} of cloud {name} must be https://HOST, or http:// on a loopback address, \
         without user, query and fragment"
    )]
    BadUrl {
        /// The cloud.
        name: String,
        /// `graph_url` or `login_url`.
        which: &'static str,
    },
    /// The name of a built-in cloud.
    #[error("{0} is built in and cannot be configured; choose another name")]
    BuiltIn(String),
}

/// Plain http is for the same machine only: a token must not cross a network in clear.
fn is_allowed(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    plain && (url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && loopback)
}

impl Cloud {
    /// A cloud of the configuration.
    pub fn new(name: &str, graph_url: &str, login_url: &str) -> Result<Self, CloudError> {
        let parse = |text: &str, which| {
            let bad = || CloudError::BadUrl { name: name.to_owned(), which };
            let url: Url = text.parse().map_err(|_| bad())?;
            if is_allowed(&url) { Ok(url) } else { Err(bad()) }
        };
        Ok(Self {
            name: name.to_owned(),
            graph: parse(graph_url, "graph_url")?,
            login: parse(login_url, "login_url")?,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The page where an administrator consents to an app, and the scope that is asked for there: what
    /// the app registration lists.
    pub fn consent_page(&self) -> (&Url, String) {
        (&self.login, format!("{}/.default", self.graph.as_str().trim_end_matches('/')))
    }

    pub(crate) const fn graph(&self) -> &Url {
        &self.graph
    }

    pub(crate) const fn login(&self) -> &Url {
        &self.login
    }
}

/// The clouds that can be named by a tenant.
#[derive(Clone, Debug)]
pub struct Clouds(BTreeMap<String, Cloud>);

/// Name, Graph and login of Microsoft's clouds (Microsoft Graph documentation, deployments.md).
const BUILT_IN: [(&str, &str, &str); 4] = [
    ("global", "https://graph.microsoft.com", "https://login.microsoftonline.com"),
    ("usgov", "https://graph.microsoft.us", "https://login.microsoftonline.us"),
    ("dod", "https://dod-graph.microsoft.us", "https://login.microsoftonline.us"),
    ("china", "https://microsoftgraph.chinacloudapi.cn", "https://login.chinacloudapi.cn"),
];

impl Clouds {
    /// Microsoft's clouds and those of the configuration.
    pub fn with(own: impl IntoIterator<Item = Cloud>) -> Result<Self, CloudError> {
        let mut clouds = BTreeMap::new();
        for (name, graph, login) in BUILT_IN {
            clouds.insert(name.to_owned(), Cloud::new(name, graph, login)?);
        }
        for cloud in own {
            if clouds.contains_key(&cloud.name) {
                return Err(CloudError::BuiltIn(cloud.name));
            }
            clouds.insert(cloud.name.clone(), cloud);
        }
        Ok(Self(clouds))
    }

    /// The cloud of that name.
    pub fn get(&self, name: &str) -> Option<&Cloud> {
        self.0.get(name)
    }

    /// All clouds, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Cloud> {
        self.0.values()
    }

    /// All names, for messages.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        let check = |url: &str| Cloud::new("sim", url, url).is_ok();
        for good in
            ["https://graph.example", "http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"]
        {
            assert!(check(good), "{good}");
        }
        for bad in [
            "http://graph.example",
            "http://127.0.0.1.example",
            "https://user@graph.example",
            "https://graph.example/?a=b",
            "ftp://127.0.0.1",
            "graph.example",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn each_cloud_signs_in_and_consents_at_its_own_host() {
        let own = Cloud::new("own", "https://graph.example/x/", "https://login.example").unwrap();
        let clouds = Clouds::with([own]).unwrap();
        let shown: Vec<String> = clouds
            .iter()
            .map(|cloud| {
                let (login, scope) = cloud.consent_page();
                format!("{} {login} {scope}", cloud.name())
            })
            .collect();
        assert_eq!(
            shown,
            [
                "china https://login.chinacloudapi.cn/ https://microsoftgraph.chinacloudapi.cn/.default",
                "dod https://login.microsoftonline.us/ https://dod-graph.microsoft.us/.default",
                "global https://login.microsoftonline.com/ https://graph.microsoft.com/.default",
                "own https://login.example/ https://graph.example/x/.default",
                "usgov https://login.microsoftonline.us/ https://graph.microsoft.us/.default",
            ]
        );
    }

    #[test]
    fn built_in_names_are_taken() {
        let fake = Cloud::new("global", "http://127.0.0.1:1", "http://127.0.0.1:1").unwrap();
        assert!(Clouds::with([fake]).is_err());
        assert_eq!(Clouds::with([]).unwrap().names(), ["china", "dod", "global", "usgov"]);
    }
}
