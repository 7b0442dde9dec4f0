//! Coming in by a provider: who is let in, where they land, and how they go.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::json;
use tp_domain::access::Role;
use tp_domain::sign_in::IdentityKey;
use tp_egress::oidc::{OidcProvider, OidcSettings};
use tp_egress::{Egress, EgressOptions, SystemLookup};

use crate::issuer::{CLIENT, Forged, Issuer, PERSON, SECRET, STRANGER, TENANT};
use crate::world::{PASSWORD, Person, Reply, World, hidden, worlds_with};

/// A site with a provider that does as told.
pub(crate) struct Site {
    pub(crate) world: World,
    pub(crate) issuer: Issuer,
}

/// A sign-in that was begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) cookie: String,
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) challenge: String,
}

pub(crate) async fn sites() -> Vec<Site> {
    // One for each database, so that what it counts is of one site.
    let issuers = [Issuer::start().await, Issuer::start().await];
    let next = std::cell::Cell::new(0);
    let worlds = worlds_with(|db| {
        let configured = issuers[next.replace(next.get() + 1)].configured();
        let allowed = [TENANT.parse().unwrap()].into();
        let secret = Some(SECRET.to_owned().into());
        let settings = OidcSettings::new(&configured, CLIENT, secret, allowed, None).unwrap();
        let declared = vec![settings.issuer().clone()];
        let options = EgressOptions { declared, ..EgressOptions::default() };
        let egress = Egress::new(options, Arc::new(SystemLookup)).unwrap();
        Some(Arc::new(OidcProvider::new(settings, egress, Arc::new(db.clock.clone()))))
    })
    .await;
    worlds.into_iter().zip(issuers).map(|(world, issuer)| Site { world, issuer }).collect()
}

fn owner() -> IdentityKey {
    IdentityKey::entra(TENANT.parse().unwrap(), PERSON.parse().unwrap())
}

impl Site {
    /// Lets the owner sign in as the person of the honest token.
    pub(crate) async fn links_owner(&self) {
        let console = self.world.db.store.console();
        console.identity_link("owner@example.com", owner(), None).await.unwrap();
    }

    pub(crate) fn now(&self) -> i64 {
        use tp_domain::time::Clock as _;
        self.world.db.clock.now().micros() / 1_000_000
    }

    /// Follows the button to the provider's page, and reads what it was asked.
    pub(crate) async fn begin(&self, return_to: &str) -> Begun {
        let reply = self.world.get(None, &format!("/login/oidc?return_to={return_to}")).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
        let page: url::Url = reply.header("location").parse().unwrap();
        assert_eq!(page.path(), "/authorize");
        let said = |name: &str| {
            let found = page.query_pairs().find(|(own, _)| own == name);
            found.map(|(_, value)| value.into_owned()).unwrap()
        };
        assert_eq!(said("response_type"), "code");
        assert_eq!(said("code_challenge_method"), "S256");
        assert_eq!(said("client_id"), CLIENT);
        assert_eq!(said("redirect_uri"), "http://127.0.0.1:8080/login/oidc/callback");
        let cookie = reply.header("set-cookie");
        for word in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        Begun {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            state: said("state"),
            nonce: said("nonce"),
            challenge: said("code_challenge"),
        }
    }

    /// The token that an honest provider would give for it.
    pub(crate) fn honest(&self, begun: &Begun) -> Forged {
        use tp_domain::time::Clock as _;
        Forged::honest(&self.issuer.origin, &begun.nonce, self.world.db.clock.now())
    }

    /// Comes back with a code.
    pub(crate) async fn callback(&self, begun: &Begun, code: &str, more: &str) -> Reply {
        let path = format!("/login/oidc/callback?code={code}&state={}{more}", begun.state);
        let request = Request::get(path).header(header::COOKIE, &begun.cookie);
        self.world.send(request.body(Body::empty()).unwrap()).await
    }

    /// Comes back with a code that this token is given for.
    pub(crate) async fn answered(&self, begun: &Begun, token: String) -> Reply {
        self.issuer.gives("code", &begun.challenge, token);
        self.callback(begun, "code", "").await
    }

    /// Nobody was let in, and the page says why.
    pub(crate) async fn is_refused(&self, reply: &Reply, reason: &str, what: &str) {
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{what}: {}", reply.text);
        assert!(reply.text.contains(reason), "{what}: {reason} is not said in {}", reply.text);
        assert_eq!(reply.header("set-cookie"), "", "{what}");
        let sessions = "SELECT count(*) AS n FROM sessions WHERE method = 'oidc' AND user_id IN (SELECT user_id FROM user_identities WHERE last_used_at IS NULL)";
        assert_eq!(self.world.db.store.test_count(sessions).await, 0, "{what}");
    }

    pub(crate) async fn refuses(&self, begun: &Begun, token: String, reason: &str, what: &str) {
        let reply = self.answered(begun, token).await;
        self.is_refused(&reply, reason, what).await;
    }

    /// Signs in as that object of the tenant.
    async fn enter(&self, object: &str, return_to: &str) -> Reply {
        let begun = self.begin(return_to).await;
        let mut token = self.honest(&begun);
        token.claims["oid"] = json!(object);
        self.answered(&begun, token.token()).await
    }

    async fn person(&self, reply: &Reply) -> Person {
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
        let cookies = reply.headers.get_all("set-cookie").iter();
        let cookies: Vec<&str> = cookies.map(|value| value.to_str().unwrap()).collect();
        let session = cookies.iter().find(|cookie| cookie.starts_with("tp=")).unwrap();
        assert!(cookies.iter().any(|cookie| cookie.starts_with("tp-sign-in=; ")), "{cookies:?}");
        self.world.person_of(session.split(';').next().unwrap()).await
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.world.db.store.test_count(sql).await
    }
}

#[tokio::test]
async fn the_sign_in_page_offers_the_provider_and_the_local_form() {
    for site in sites().await {
        let page = site.world.get(None, "/login?return_to=/operations").await.text;
        assert!(page.contains("Sign in with Microsoft") && page.contains("name=\"password\""));
        assert!(page.contains("href=\"/login/oidc?return_to=/operations\""), "{page}");
    }
    // Without a provider there is neither the button nor the way.
    for world in crate::world::worlds().await {
        assert!(!world.get(None, "/login").await.text.contains("Sign in with"));
        for path in ["/login/oidc", "/login/oidc/callback?code=a&state=b", "/login/signed-out"] {
            assert_eq!(world.get(None, path).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}

#[tokio::test]
async fn the_owner_comes_in_where_they_wanted_and_is_audited() {
    for site in sites().await {
        site.links_owner().await;
        let reply = site.enter(PERSON, "/operations?tab=failed").await;
        assert_eq!(reply.header("location"), "/operations?tab=failed");
        let person = site.person(&reply).await;
        let me = site.world.get(Some(&person), "/api/v1/me").await.json();
        assert_eq!(me["name"], "Olive Owner");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'user.signed_in' AND details LIKE '%\"method\":\"oidc\"%'";
        assert_eq!(site.count(audited).await, 1);
    }
}

#[tokio::test]
async fn only_paths_of_this_server_are_returned_to() {
    for site in sites().await {
        site.links_owner().await;
        for bad in
            ["//evil.example", "https://evil.example/", "/%5Cevil.example", "%2F%2Fevil.example"]
        {
            let reply = site.enter(PERSON, bad).await;
            assert_eq!(reply.header("location"), "/tenants", "{bad}");
        }
    }
}

/// An address that a provider says names nobody: the owner's does not make the owner (TRUST §6, 28).
#[tokio::test]
async fn an_e_mail_address_is_no_identity() {
    for site in sites().await {
        site.links_owner().await;
        for object in [STRANGER, "00000000-0000-0000-0000-000000000000"] {
            let begun = site.begin("/tenants").await;
            let mut token = site.honest(&begun);
            token.claims["oid"] = json!(object);
            token.claims["email"] = json!("owner@example.com");
            token.claims["email_verified"] = json!(true);
            token.claims["preferred_username"] = json!("owner@example.com");
            token.claims["upn"] = json!("owner@example.com");
            let reply = site.answered(&begun, token.token()).await;
            site.is_refused(&reply, "This account cannot sign in here", object).await;
        }
        // And a new address for the same person changes nothing.
        let begun = site.begin("/tenants").await;
        let mut token = site.honest(&begun);
        token.claims["preferred_username"] = json!("renamed@example.com");
        assert_eq!(site.answered(&begun, token.token()).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn a_disabled_person_is_told_the_same_as_a_stranger() {
    for site in sites().await {
        site.links_owner().await;
        let disable = "UPDATE users SET status = 'disabled' WHERE email = 'owner@example.com'";
        site.world.db.store.test_execute(disable).await.unwrap();
        let (disabled, stranger) =
            (site.enter(PERSON, "/tenants").await, site.enter(STRANGER, "/tenants").await);
        site.is_refused(&disabled, "This account cannot sign in here", "disabled").await;
        assert_eq!((disabled.status, &disabled.text), (stranger.status, &stranger.text));
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'user.sign_in_refused' AND details LIKE '%account_disabled%'";
        assert_eq!(site.count(audited).await, 1, "but the workspace's owners can see it");
    }
}

#[tokio::test]
async fn people_of_no_one_and_several_workspaces_land_right() {
    for site in sites().await {
        site.links_owner().await;
        let store = &site.world.db.store;
        let reply = site.enter(PERSON, "/operations").await;
        assert_eq!(reply.header("location"), "/operations", "one");
        // A second workspace, with the same person in it.
        let second = store.test_second_workspace("Second", "owner@example.com").await;
        let reply = site.enter(PERSON, "/operations").await;
        assert_eq!(reply.header("location"), "/workspaces?return_to=/operations", "several");
        let person = site.person(&reply).await;
        let page = site.world.get(Some(&person), reply.header("location")).await.text;
        assert!(page.contains("Example MSP") && page.contains("Second"), "{page}");
        assert_eq!(hidden(&page, "return_to"), "/operations");
        let form = person.form(&format!("&workspace={second}&return_to=/operations"));
        let moved = site.world.post(&person, "/workspaces", &form).await;
        assert_eq!(moved.header("location"), "/operations");
        let cookie = moved.header("set-cookie").split(';').next().unwrap().to_owned();
        let there = site.world.person_of(&cookie).await;
        assert_eq!(site.world.workspace(&there).await, second.to_string());
        // The session before is over, and another's workspace is not there.
        let old = site.world.get(Some(&person), "/api/v1/me").await;
        assert_eq!(old.status, StatusCode::UNAUTHORIZED);
        let foreign = store.test_second_workspace("Third", "reader@example.com").await;
        let form = there.form(&format!("&workspace={foreign}"));
        let reply = site.world.post(&there, "/workspaces", &form).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        let gone = "DELETE FROM memberships WHERE user_id = (SELECT id FROM users WHERE email = 'owner@example.com')";
        store.test_execute(gone).await.unwrap();
        let reply = site.enter(PERSON, "/operations").await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "none");
        assert!(reply.text.contains("not a member of any workspace"), "{}", reply.text);
        assert_eq!(reply.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn a_rule_lets_in_people_of_its_tenant_once_and_modestly() {
    for site in sites().await {
        let console = site.world.db.store.console();
        let (workspace, _) = console.workspaces().await.unwrap().remove(0);
        let authority = format!("entra:{TENANT}");
        for role in [Role::Owner, Role::Manager, Role::Auditor] {
            assert!(console.sign_in_rule_set(workspace, &authority, Some(role)).await.is_err());
        }
        console.sign_in_rule_set(workspace, &authority, Some(Role::Reader)).await.unwrap();
        let reply = site.enter(STRANGER, "/tenants").await;
        let person = site.person(&reply).await;
        let me = site.world.get(Some(&person), "/api/v1/me").await.json();
        assert_eq!(me["name"], "Olive");
        let reply =
            site.world.post(&person, "/t/contoso/inventory/sync", &person.form("&key=a")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "a reader");
        site.enter(STRANGER, "/tenants").await;
        let accounts = "SELECT count(*) AS n FROM users WHERE email LIKE '%@sign-in.invalid'";
        assert_eq!(site.count(accounts).await, 1, "the same person is the same account");
        // Somebody who was removed stays out: the rule is for the first time.
        let gone = "DELETE FROM memberships WHERE user_id = (SELECT id FROM users WHERE email LIKE '%@sign-in.invalid')";
        site.world.db.store.test_execute(gone).await.unwrap();
        assert_eq!(site.enter(STRANGER, "/tenants").await.status, StatusCode::FORBIDDEN);
        // No rule for them: another tenant's people are not asked about.
        console.sign_in_rule_set(workspace, &authority, None).await.unwrap();
        let reply = site.enter("cccccccc-cccc-4ccc-8ccc-cccccccccccc", "/tenants").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
}

/// The session that the browser had before is not the one after, and is over (TRUST §6, 2).
#[tokio::test]
async fn a_session_that_was_there_before_is_ended() {
    for site in sites().await {
        site.links_owner().await;
        let reader = site.world.person("reader").await;
        let begun = site.begin("/tenants").await;
        site.issuer.gives("code", &begun.challenge, site.honest(&begun).token());
        let both = Begun { cookie: format!("{}; {}", reader.cookie(), begun.cookie), ..begun };
        let reply = site.callback(&both, "code", "").await;
        let owner = site.person(&reply).await;
        assert_ne!(owner.cookie(), reader.cookie());
        let old = site.world.get(Some(&reader), "/api/v1/me").await;
        assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_person_links_an_identity_in_a_fresh_session_of_their_own() {
    for site in sites().await {
        let reader = site.world.person("reader").await;
        let link = async |person: &Person| {
            site.world.post(person, "/account/sign-ins/link", &person.form("")).await
        };
        let page = link(&reader).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let begun = Site::begun_of(&page);
        site.issuer.gives("code", &begun.challenge, site.honest(&begun).token());
        // In another session of the same person, or none: nothing.
        let reply = site.callback(&begun, "code", "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        let begun = Site::begun_of(&link(&reader).await);
        site.issuer.gives("code", &begun.challenge, site.honest(&begun).token());
        let own = Begun { cookie: format!("{}; {}", reader.cookie(), begun.cookie), ..begun };
        let reply = site.callback(&own, "code", "").await;
        assert_eq!(reply.header("location"), "/account/sign-ins?done=linked", "{}", reply.text);
        let page = site.world.get(Some(&reader), "/account/sign-ins").await.text;
        assert!(page.contains("olive@contoso.example"), "{page}");
        assert_eq!(site.enter(PERSON, "/tenants").await.status, StatusCode::SEE_OTHER);
        // A second account cannot have it, and the reader can give it away again: the password is left.
        let operator = site.world.person("operator").await;
        let begun = Site::begun_of(&link(&operator).await);
        site.issuer.gives("code", &begun.challenge, site.honest(&begun).token());
        let own = Begun { cookie: format!("{}; {}", operator.cookie(), begun.cookie), ..begun };
        let reply = site.callback(&own, "code", "").await;
        assert_eq!(reply.header("location"), "/account/sign-ins?done=taken");
        let form = format!("&authority=entra:{TENANT}&subject={PERSON}");
        let foreign =
            site.world.post(&operator, "/account/sign-ins/remove", &operator.form(&form)).await;
        assert_eq!(foreign.status, StatusCode::NOT_FOUND, "another's");
        let reply = site.world.post(&reader, "/account/sign-ins/remove", &reader.form(&form)).await;
        assert_eq!(reply.header("location"), "/account/sign-ins?done=removed");
        assert_eq!(site.enter(PERSON, "/tenants").await.status, StatusCode::UNAUTHORIZED);
        // After ten minutes a session is too old for this (TRUST §6, 7).
        site.world.db.clock.advance(std::time::Duration::from_secs(601));
        let old = link(&reader).await;
        assert_eq!(old.header("location"), "/account/sign-ins?done=old");
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_here_and_offers_the_end_there() {
    for site in sites().await {
        site.links_owner().await;
        let person = site.person(&site.enter(PERSON, "/tenants").await).await;
        let reply = site.world.post(&person, "/logout", &person.form("")).await;
        assert_eq!(reply.header("location"), "/login/signed-out");
        let over = site.world.get(Some(&person), "/api/v1/me").await;
        assert_eq!(over.status, StatusCode::UNAUTHORIZED);
        let page = site.world.get(None, "/login/signed-out").await.text;
        let link = format!(
            "{}/logout?client_id={CLIENT}&amp;post_logout_redirect_uri=",
            site.issuer.origin
        );
        assert!(page.contains(&link), "{page}");
        // Of a local session nothing is told to the provider.
        let local = site.world.person("owner").await;
        let reply = site.world.post(&local, "/logout", &local.form("")).await;
        assert_eq!(reply.header("location"), "/login");
        let reply = site.world.sign_in("owner@example.com", PASSWORD).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "the password works beside it");
    }
}

#[tokio::test]
async fn a_picture_of_another_site_begins_no_sign_in() {
    for site in sites().await {
        for dest in ["image", "script", "iframe", "empty"] {
            let request = Request::get("/login/oidc").header("sec-fetch-dest", dest);
            let reply = site.world.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{dest}");
        }
        assert_eq!(site.count("SELECT count(*) AS n FROM sign_in_requests").await, 0);
    }
}

impl Site {
    /// What the page with the link to the provider asks it.
    fn begun_of(page: &Reply) -> Begun {
        let (_, rest) = page.text.split_once("class=\"button primary\" href=\"").unwrap();
        let link = rest.split('"').next().unwrap().replace("&amp;", "&");
        let link: url::Url = link.parse().unwrap();
        let said = |name: &str| {
            let found = link.query_pairs().find(|(own, _)| own == name);
            found.map(|(_, value)| value.into_owned()).unwrap()
        };
        Begun {
            cookie: page.header("set-cookie").split(';').next().unwrap().to_owned(),
            state: said("state"),
            nonce: said("nonce"),
            challenge: said("code_challenge"),
        }
    }
}
