//! Members, invitations, the own account, tokens (PRODUCT A-1, A-2, A-5; TRUST A19, A24, §6).

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};

use crate::world::{PASSWORD, Person, Reply, World, worlds};

fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map_or("", |(found, _)| found)
}

impl World {
    async fn json(&self, person: &Person, method: &str, path: &str, body: &str) -> Reply {
        self.send_json(person, method, path, body, &[]).await
    }

    async fn user_id(&self, person: &Person, email: &str) -> String {
        let list = self.get(Some(person), "/api/v1/members").await.json();
        let found = list["data"].as_array().unwrap().iter().find(|one| one["email"] == email);
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn an_invitation_leads_to_a_member_who_is_signed_in() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let members = format!("/w/{}/members", world.workspace(&owner).await);
        let form = owner.form("&email=new%40example.com&role=operator&tenant=");
        let page = world.post(&owner, &format!("{members}/invite"), &form).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let path = between(&page.text, "<code>http://127.0.0.1:8080", "</code>").to_owned();
        assert!(path.starts_with("/invite/"), "{path}");
        let later = world.get(Some(&owner), &members).await.text;
        assert!(later.contains("new@example.com") && !later.contains(&path), "shown once");
        let offer = world.get(None, &path).await;
        assert!(offer.text.contains("Olive Owner") && offer.text.contains("Operator"));
        let post = |form: &'static str| {
            let request = Request::post(path.clone()).header("sec-fetch-site", "same-origin");
            world.send(request.body(Body::from(form)).unwrap())
        };
        let short = post("name=New&password=short").await;
        assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", world.db.name());
        let joined = post("name=New&password=correct+horse+battery").await;
        assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.text);
        let cookie = joined.header("set-cookie").split(';').next().unwrap().to_owned();
        let request = Request::get("/api/v1/me").header(header::COOKIE, &cookie);
        let me = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(me.json()["name"], "New");
        assert_eq!(
            post("name=New&password=correct+horse+battery").await.status,
            StatusCode::NOT_FOUND
        );
        assert_eq!(world.get(None, "/invite/unknown").await.status, StatusCode::NOT_FOUND);
        let cross = Request::post(path.clone()).header("sec-fetch-site", "cross-site");
        let cross =
            world.send(cross.body(Body::from("name=X&password=xxxxxxxxxxxx")).unwrap()).await;
        assert_eq!(cross.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn who_may_not_manage_members_sees_why() {
    for world in worlds().await {
        let (owner, reader) = (world.person("owner").await, world.person("reader").await);
        let members = format!("/w/{}/members", world.workspace(&owner).await);
        let page = world.get(Some(&reader), &members).await.text;
        assert!(page.contains("members.manage") && page.contains("aria-disabled=\"true\""));
        let id = world.user_id(&owner, "operator@example.com").await;
        for (path, form) in [
            (format!("{members}/invite"), "&email=a%40example.com&role=owner"),
            (format!("{members}/{id}/role"), "&role=owner&tenant="),
            (format!("{members}/{id}/remove"), "&confirm=operator%40example.com"),
        ] {
            let refused = world.post(&reader, &path, &reader.form(form)).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {}", world.db.name());
        }
        let body = r#"{"role":"owner"}"#;
        let refused = world.json(&reader, "PATCH", &format!("/api/v1/members/{id}"), body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let matrix = world.get(Some(&reader), "/roles").await.text;
        assert!(matrix.contains("restore.execute"));
        let api = world.get(Some(&reader), "/api/v1/capabilities").await.json();
        assert_eq!(api["data"].as_array().unwrap().len(), tp_domain::access::Capability::ALL.len());
    }
}

#[tokio::test]
async fn a_role_that_changes_holds_on_the_next_request() {
    for world in worlds().await {
        let (owner, reader) = (world.person("owner").await, world.person("reader").await);
        let members = format!("/w/{}/members", world.workspace(&owner).await);
        let id = world.user_id(&owner, "reader@example.com").await;
        let me = world.user_id(&owner, "owner@example.com").await;
        let form = format!("csrf={}", reader.csrf);
        let refused = world.post(&reader, "/t/contoso/inventory/sync", &form).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let set = owner.form("&role=operator&tenant=");
        let saved = world.post(&owner, &format!("{members}/{id}/role"), &set).await;
        assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
        let may = world.post(&reader, "/t/contoso/inventory/sync", &form).await;
        assert_eq!(may.status, StatusCode::SEE_OTHER, "{}", world.db.name());
        let last = world.post(&owner, &format!("{members}/{me}/role"), &set).await;
        assert_eq!(last.status, StatusCode::CONFLICT, "the last owner");
        let wrong =
            world.post(&owner, &format!("{members}/{id}/remove"), &owner.form("&confirm=x")).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
        let form = owner.form("&confirm=reader%40example.com");
        let gone = world.post(&owner, &format!("{members}/{id}/remove"), &form).await;
        assert_eq!(gone.status, StatusCode::SEE_OTHER);
        let out = world.get(Some(&reader), "/t/contoso/overview").await;
        assert_eq!(out.status, StatusCode::SEE_OTHER, "the session has ended");
        assert!(out.header("location").starts_with("/login"));
    }
}

#[tokio::test]
async fn heavy_acts_ask_again_who_it_is() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let members = format!("/w/{}/members", world.workspace(&owner).await);
        world.db.clock.advance(Duration::from_mins(11));
        let form = owner.form("&email=new%40example.com&role=reader&tenant=");
        let request = Request::post(format!("{members}/invite"))
            .header(header::COOKIE, owner.cookie())
            .header("sec-fetch-site", "same-origin")
            .header(header::REFERER, format!("http://127.0.0.1:8080{members}"));
        let asked = world.send(request.body(Body::from(form.clone())).unwrap()).await;
        assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", world.db.name());
        let to = asked.header("location").to_owned();
        assert_eq!(to, format!("/account/confirm?return_to={members}"));
        let api = world.json(
            &owner,
            "POST",
            "/api/v1/members",
            r#"{"email":"a@example.com","role":"reader"}"#,
        );
        let api = api.await;
        assert_eq!(
            (api.status, api.json()["code"].as_str()),
            (StatusCode::UNAUTHORIZED, Some("reauth_required"))
        );
        let page = world.get(Some(&owner), &to).await.text;
        assert!(page.contains("Show that it is you"));
        let wrong = owner.form(&format!("&password=wrong+horse+battery&return_to={members}"));
        let refused = world.post(&owner, "/account/confirm", &wrong).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        world.db.clock.advance(Duration::from_secs(2));
        let right = format!("&password={}&return_to={members}", PASSWORD.replace(' ', "+"));
        let confirmed = world.post(&owner, "/account/confirm", &owner.form(&right)).await;
        assert_eq!(confirmed.header("location"), members, "{}", confirmed.text);
        assert!(!confirmed.header("set-cookie").is_empty(), "a new secret");
        let old = world.get(Some(&owner), &members).await;
        assert!(old.header("location").starts_with("/login"), "the old one is dead");
        let evil = owner.form("&password=x&return_to=https%3A%2F%2Fevil.example%2F");
        let away = world.post(&owner, "/account/confirm", &evil).await;
        assert!(!away.header("location").contains("evil"));
    }
}

#[tokio::test]
async fn a_person_changes_their_password_and_ends_sessions() {
    for world in worlds().await {
        let (here, there) = (world.person("reader").await, world.person("reader").await);
        let wrong = here.form("&current=wrong+horse+battery&new=another+horse+battery");
        let refused = world.post(&here, "/account/password", &wrong).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        world.db.clock.advance(Duration::from_secs(2));
        let short = here.form("&current=correct+horse+battery&new=short");
        let refused = world.post(&here, "/account/password", &short).await;
        assert!(refused.text.contains("12 to 256"), "{}", world.db.name());
        let good = here.form("&current=correct+horse+battery&new=another+horse+battery");
        let changed = world.post(&here, "/account/password", &good).await;
        assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text);
        for person in [&here, &there] {
            let out = world.get(Some(person), "/account").await;
            assert!(out.header("location").starts_with("/login"), "{}", world.db.name());
        }
        assert_eq!(
            world.sign_in("reader@example.com", PASSWORD).await.status,
            StatusCode::UNAUTHORIZED
        );
        world.db.clock.advance(Duration::from_secs(2));
        let new = world.sign_in("reader@example.com", "another horse battery").await;
        assert_eq!(new.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_is_as_narrow_as_it_was_made() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let form = owner.form(&format!(
            "&name=nightly&days=30&may=some&capability=tenant.view&capability=policies.view&where=some&tenant={}",
            world.contoso
        ));
        let page = world.post(&owner, "/account/tokens", &form).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let token = format!("tpat_{}", between(&page.text, "<code>tpat_", "</code>"));
        let bearer = |path: &str| {
            let request =
                Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
            world.send(request.body(Body::empty()).unwrap())
        };
        assert_eq!(bearer("/api/v1/tenants/contoso/policies").await.status, StatusCode::OK);
        assert_eq!(bearer("/api/v1/tenants/secret/policies").await.status, StatusCode::NOT_FOUND);
        assert_eq!(bearer("/api/v1/tenants/contoso/runs").await.status, StatusCode::FORBIDDEN);
        assert_eq!(bearer("/api/v1/members").await.status, StatusCode::NOT_FOUND);
        let tenants = bearer("/api/v1/tenants").await.json();
        assert_eq!(tenants["data"].as_array().unwrap().len(), 1, "{}", world.db.name());
        let list = world.get(Some(&owner), "/account/tokens").await.text;
        assert!(list.contains("nightly") && !list.contains(&token), "shown once");
        let id = world.get(Some(&owner), "/api/v1/tokens").await.json()["data"][0]["id"].clone();
        let id = id.as_str().unwrap();
        let reader = world.person("reader").await;
        let path = format!("/api/v1/tokens/{id}");
        assert_eq!(world.json(&reader, "DELETE", &path, "{}").await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.json(&owner, "DELETE", &path, "{}").await.status, StatusCode::OK);
        assert_eq!(bearer("/api/v1/tenants").await.status, StatusCode::UNAUTHORIZED);
        for bad in [
            r#"{"name":"x","days":0}"#,
            r#"{"name":"x","days":366}"#,
            r#"{"name":"","days":1}"#,
            r#"{"name":"x","days":1,"capabilities":["fly"]}"#,
            r#"{"name":"x","days":1,"tenants":["00000000-0000-0000-0000-000000000009"]}"#,
        ] {
            let refused = world.json(&owner, "POST", "/api/v1/tokens", bad).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad} {}", refused.text);
        }
    }
}
