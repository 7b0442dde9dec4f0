//! What every handler has in reach.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tp_catalog::registry::Catalog;
use tp_domain::contents::Contents;
use tp_domain::ids::Ids;
use tp_domain::sign_in::IdentityProvider;
use tp_engine::start::Starter;
use tp_store::Store;
use url::Url;

use crate::assets::Assets;

/// A cloud as pages need it: they make links to its consent page, and never call it.
#[derive(Clone, Debug)]
pub struct CloudPlace {
    /// Its name.
    pub name: String,
    /// Where people sign in.
    pub login: Url,
    /// The scope that the consent page is asked for.
    pub scope: String,
}

/// How the web is set up.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// The address that people use. https, or http on a loopback address.
    pub public_url: Url,
    /// The program's version.
    pub version: &'static str,
    /// The clouds that a tenant can be in.
    pub clouds: Vec<CloudPlace>,
    /// Where people can sign in beside local accounts.
    pub provider: Option<Arc<dyn IdentityProvider>>,
    /// Whether this process shows the demo: the sign-in page says so.
    pub demo: bool,
}

/// What every handler has in reach: no Graph, no operations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) store: Store,
    pub(crate) starter: Starter,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) settings: Arc<WebSettings>,
    pub(crate) assets: Arc<Assets>,
    /// What versions hold.
    pub(crate) contents: Arc<dyn Contents>,
    /// Password checks at once: each costs 19 MiB and some tens of milliseconds (TRUST T28).
    pub(crate) hashing: Arc<Semaphore>,
}

impl App {
    /// Puts it together.
    pub fn new(
        store: Store,
        catalog: Arc<Catalog>,
        ids: Arc<dyn Ids>,
        contents: Arc<dyn Contents>,
        settings: WebSettings,
    ) -> Self {
        Self {
            store,
            starter: Starter,
            catalog,
            ids,
            contents,
            settings: Arc::new(settings),
            assets: Arc::new(Assets::embedded()),
            hashing: Arc::new(Semaphore::new(2)),
        }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.settings.public_url.scheme() == "https"
    }
}
