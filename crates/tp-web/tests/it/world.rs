//! A site with two tenants and three people, and a browser that does as told.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tp_catalog::registry::Catalog;
use tp_domain::access::Role;
use tp_domain::ids::{TenantId, WorkerId};
use tp_domain::operation::OperationKind;
use tp_domain::run::Outcome;
use tp_domain::sign_in::IdentityProvider;
use tp_domain::tenant::Slug;
use tp_payload::{Location, PayloadStore};
use tp_store::testing::{TestDatabase, databases};
use tp_store::{ClaimRequest, ClaimedRun, Ended, NewTenant, NewUser, SystemIds};
use tp_web::{App, CloudPlace, WebSettings};
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct World {
    pub(crate) db: TestDatabase,
    pub(crate) contoso: TenantId,
    /// Where contents of versions are.
    pub(crate) payloads: PayloadStore,
    pub(crate) folder: tempfile::TempDir,
    router: Router,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// Somebody with a browser.
pub(crate) struct Person {
    cookie: String,
    pub(crate) csrf: String,
}

impl Person {
    /// What the browser sends with each request.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// A form's body with this person's token.
    pub(crate) fn form(&self, more: &str) -> String {
        format!("csrf={}{more}", self.csrf)
    }
}

/// The value of a hidden field of a page; empty when the page has no such field.
pub(crate) fn hidden(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    page.split_once(&mark).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("").to_owned()
}

pub(crate) async fn worlds() -> Vec<World> {
    worlds_with(|_| None).await
}

/// With a place to sign in beside local accounts.
pub(crate) async fn worlds_with(
    provider: impl Fn(&TestDatabase) -> Option<Arc<dyn IdentityProvider>>,
) -> Vec<World> {
    let hash = tp_web::password::hash(PASSWORD).unwrap();
    let mut worlds = Vec::new();
    for db in databases().await {
        let store = &db.store;
        let (workspace, _) = store.test_workspace().await;
        store.console().password_set("owner@example.com", hash.clone()).await.unwrap();
        for role in [Role::Operator, Role::Reader] {
            let new = NewUser {
                email: format!("{role}@example.com"),
                name: format!("{role}"),
                password_hash: hash.clone(),
                role,
            };
            store.console().user_create(workspace, new).await.unwrap();
        }
        let tenant = |slug: &str, number: u128| NewTenant {
            name: format!("{slug} <b>GmbH</b>"),
            slug: Slug::new(slug).unwrap(),
            entra_tenant_id: Uuid::from_u128(number),
            domain: None,
            cloud: "global".to_owned(),
            credential: Some(("app".to_owned(), "s3cret".into())),
        };
        let contoso = store.console().tenant_create(workspace, tenant("contoso", 1)).await.unwrap();
        let secret = store.console().tenant_create(workspace, tenant("secret", 2)).await.unwrap();
        // The operator is a member of contoso only.
        let operator =
            store.hall().account_by_email("operator@example.com").await.unwrap().unwrap();
        store
            .console()
            .member_set(workspace, Some(contoso), operator.id, Role::Operator)
            .await
            .unwrap();
        let _ = secret;
        let settings = WebSettings {
            public_url: "http://127.0.0.1:8080".parse().unwrap(),
            version: "test",
            clouds: vec![CloudPlace {
                name: "global".to_owned(),
                login: "https://login.microsoftonline.com".parse().unwrap(),
                scope: "https://graph.microsoft.com/.default".to_owned(),
            }],
            provider: provider(&db),
            demo: false,
        };
        let catalog = Arc::new(Catalog::builtin().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let place = Location::Folder(folder.path().to_owned());
        let payloads = PayloadStore::open(&place, []).unwrap();
        let contents = Arc::new(payloads.clone());
        let app = App::new(store.clone(), catalog, Arc::new(SystemIds), contents, settings);
        worlds.push(World { db, contoso, payloads, folder, router: tp_web::router(app) });
    }
    worlds
}

impl World {
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Reply { status: parts.status, headers: parts.headers, text }
    }

    pub(crate) async fn get(&self, person: Option<&Person>, path: &str) -> Reply {
        let mut request = Request::get(path);
        if let Some(person) = person {
            request = request.header(header::COOKIE, &person.cookie);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Asks again with the `ETag` of what is known.
    pub(crate) async fn get_if_none_match(&self, person: &Person, path: &str, etag: &str) -> Reply {
        let request = Request::get(path)
            .header(header::COOKIE, &person.cookie)
            .header(header::IF_NONE_MATCH, etag);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// The id of the person's workspace.
    pub(crate) async fn workspace(&self, person: &Person) -> String {
        let me = self.get(Some(person), "/api/v1/me").await.json();
        me["workspace"].as_str().unwrap().to_owned()
    }

    /// A form of our own page.
    pub(crate) async fn post(&self, person: &Person, path: &str, form: &str) -> Reply {
        let request = Request::post(path)
            .header(header::COOKIE, &person.cookie)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    pub(crate) async fn post_json(
        &self,
        person: &Person,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        self.send_json(person, "POST", path, body, headers).await
    }

    /// Sends JSON from a session.
    pub(crate) async fn send_json(
        &self,
        person: &Person,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, person.cookie())
            .header("x-csrf-token", &person.csrf)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Reply {
        let form =
            format!("email={email}&password={}&return_to=/operations", password.replace(' ', "+"));
        let request = Request::post("/login").header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(form)).unwrap()).await
    }

    /// Signs somebody in by the form, and reads the token that their pages carry.
    pub(crate) async fn person(&self, role: &str) -> Person {
        let reply = self.sign_in(&format!("{role}@example.com"), PASSWORD).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
        self.person_of(reply.header("set-cookie").split(';').next().unwrap()).await
    }

    /// Somebody whose browser has this cookie.
    pub(crate) async fn person_of(&self, cookie: &str) -> Person {
        let mut person = Person { cookie: cookie.to_owned(), csrf: String::new() };
        let page = self.get(Some(&person), "/tenants").await.text;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().clone_into(&mut person.csrf);
        person
    }

    pub(crate) async fn runs(&self) -> i64 {
        self.db.store.test_count("SELECT count(*) AS n FROM operation_runs").await
    }

    pub(crate) fn worker() -> WorkerId {
        WorkerId::from_uuid(Uuid::from_u128(1))
    }

    pub(crate) async fn claim(&self) -> ClaimedRun {
        self.claim_of(OperationKind::InventorySync).await
    }

    pub(crate) async fn claim_of(&self, kind: OperationKind) -> ClaimedRun {
        let request = ClaimRequest {
            worker: Self::worker(),
            kinds: vec![kind],
            lease: std::time::Duration::from_secs(30),
            per_tenant: 9,
            most: 1,
        };
        self.db.store.discover().await.unwrap();
        self.db.store.claim_many(request).await.unwrap().runs.pop().unwrap()
    }

    /// Ends a run well.
    pub(crate) async fn finish(&self, claim: ClaimedRun) {
        let ended = Ended {
            outcome: Outcome::Succeeded,
            reason: None,
            message: None,
            failures: Vec::new(),
            context: serde_json::json!({}),
            counts: claim.counts(),
        };
        claim.finish(ended).await.unwrap();
    }

    /// Writes what the run says of itself, as the engine does twice a second.
    pub(crate) async fn pulse(&self, claim: &ClaimedRun) {
        let told = vec![(claim.claimed(), claim.progress().clone())];
        self.db.store.upkeep().pulse(Self::worker(), told).await.unwrap();
    }
}
