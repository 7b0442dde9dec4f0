//! The second factor of local accounts, and local accounts beside a provider (PRODUCT A-4; TRUST §6, 22).

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use totp_rs::{Builder, Secret};
use tp_domain::time::Clock as _;

use crate::sign_in::sites;
use crate::world::{PASSWORD, Person, Reply, World, worlds};

const PAGE: &str = "/account/second-factor";

/// The cookie of that name that a reply sets.
fn cookie(reply: &Reply, name: &str) -> Option<String> {
    let all = reply.headers.get_all(header::SET_COOKIE).iter();
    let mut pairs =
        all.filter_map(|value| value.to_str().ok()?.split(';').next().map(str::to_owned));
    pairs.find(|pair| pair.starts_with(&format!("{name}=")))
}

impl World {
    /// What an authenticator app shows now.
    fn app(&self, secret: &str) -> String {
        let secret = Secret::try_from_base32(secret).unwrap();
        let totp = Builder::new().with_secret(secret).build().unwrap();
        totp.generate(u64::try_from(self.db.clock.now().micros() / 1_000_000).unwrap()).to_string()
    }

    /// Turns a person's second factor on; gives the secret, the codes and the person after it.
    async fn second_factor(&self, person: &Person) -> (String, Vec<String>, Person) {
        let begun = self.post(person, &format!("{PAGE}/begin"), &person.form("")).await;
        assert_eq!((begun.status, begun.header("location")), (StatusCode::SEE_OTHER, PAGE));
        let page = self.get(Some(person), PAGE).await;
        assert!(page.text.contains("<svg class=\"qr\""), "{}", page.text);
        assert!(!page.text.contains("style="), "no inline style");
        assert!(page.header("cache-control").contains("no-store"));
        let (_, rest) = page.text.split_once("data-copy=\"").unwrap();
        let secret = rest.split('"').next().unwrap().to_owned();
        let form = person.form(&format!("&code={}", self.app(&secret)));
        let on = self.post(person, &format!("{PAGE}/confirm"), &form).await;
        assert_eq!(on.status, StatusCode::OK, "{}", on.text);
        assert!(on.header("cache-control").contains("no-store"));
        let (_, list) = on.text.split_once("<ul class=\"codes\">").unwrap();
        let list = list.split("</ul>").next().unwrap();
        let codes = list.split("<code>").skip(1).map(|one| one.split('<').next().unwrap());
        let codes: Vec<String> = codes.map(str::to_owned).collect();
        assert_eq!(codes.len(), 10);
        let again = self.get(Some(person), PAGE).await;
        assert_eq!(again.status, StatusCode::SEE_OTHER, "the old session is dead");
        (secret, codes, self.person_of(&cookie(&on, "tp").unwrap()).await)
    }

    /// Sends a code with the cookie of the first step.
    async fn code(&self, step: &str, code: &str) -> Reply {
        let request = Request::post("/login/code")
            .header(header::COOKIE, step)
            .header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(format!("code={code}"))).unwrap()).await
    }

    async fn first_step(&self) -> String {
        let first = self.sign_in("operator@example.com", PASSWORD).await;
        assert_eq!(first.header("location"), "/login/code", "{}", first.text);
        assert_eq!(cookie(&first, "tp"), None, "no session yet");
        cookie(&first, "tp-step").unwrap()
    }
}

#[tokio::test]
async fn signing_in_takes_a_code_once_it_is_on() {
    for world in worlds().await {
        let operator = world.person("operator").await;
        assert!(world.get(Some(&operator), PAGE).await.text.contains("It is off"));
        let wrong =
            world.post(&operator, &format!("{PAGE}/confirm"), &operator.form("&code=1")).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", world.db.name());
        let (secret, codes, _) = world.second_factor(&operator).await;
        world.db.clock.advance(Duration::from_secs(30));

        let step = world.first_step().await;
        let request = Request::get("/tenants").header(header::COOKIE, &step);
        let page = world.send(request.body(Body::empty()).unwrap()).await;
        assert!(page.header("location").starts_with("/login"), "the step is no session");
        let request = Request::get("/login/code").header(header::COOKIE, &step);
        let page = world.send(request.body(Body::empty()).unwrap()).await;
        assert!(page.text.contains("autocomplete=\"one-time-code\""), "{}", page.text);
        let wrong = world.code(&step, "000000").await;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
        let paused = world.code(&step, &world.app(&secret)).await;
        assert_eq!(paused.status, StatusCode::UNAUTHORIZED, "the ladder holds for codes");
        world.db.clock.advance(Duration::from_secs(2));
        let code = world.app(&secret);
        let right = world.code(&step, &code).await;
        assert_eq!(
            (right.status, right.header("location")),
            (StatusCode::SEE_OTHER, "/operations")
        );
        let session = cookie(&right, "tp").unwrap();
        assert_eq!(
            world.get(Some(&world.person_of(&session).await), PAGE).await.status,
            StatusCode::OK
        );
        assert_eq!(cookie(&right, "tp-step").as_deref(), Some("tp-step="), "taken away");
        assert_eq!(world.code(&step, &code).await.header("location"), "/login", "the step is over");

        let step = world.first_step().await;
        assert_eq!(world.code(&step, &code).await.status, StatusCode::UNAUTHORIZED, "used");
        world.db.clock.advance(Duration::from_secs(2));
        let recovered = world.code(&step, &codes[3]).await;
        assert_eq!(recovered.status, StatusCode::SEE_OTHER, "{}", recovered.text);
        let step = world.first_step().await;
        assert_eq!(world.code(&step, &codes[3]).await.status, StatusCode::UNAUTHORIZED, "for once");
        let cross = Request::post("/login/code")
            .header(header::COOKIE, &step)
            .header("sec-fetch-site", "cross-site");
        let cross = world.send(cross.body(Body::from("code=1")).unwrap()).await;
        assert_eq!(cross.status, StatusCode::FORBIDDEN);
        assert_eq!(world.code("tp-step=x", "1").await.header("location"), "/login");
    }
}

#[tokio::test]
async fn a_fresh_sign_in_takes_a_code_too() {
    for world in worlds().await {
        let (secret, _, operator) = world.second_factor(&world.person("operator").await).await;
        world.db.clock.advance(Duration::from_mins(10));
        for act in ["begin", "codes", "off"] {
            let reply = world.post(&operator, &format!("{PAGE}/{act}"), &operator.form("")).await;
            assert!(
                reply.header("location").starts_with("/account/confirm"),
                "{act}: {}",
                reply.text
            );
        }
        let confirm = world.get(Some(&operator), "/account/confirm").await;
        assert!(confirm.text.contains("name=\"code\""), "{}", world.db.name());
        let password = format!("&password={}&return_to={PAGE}", PASSWORD.replace(' ', "+"));
        let without = world.post(&operator, "/account/confirm", &operator.form(&password)).await;
        assert_eq!(without.status, StatusCode::UNAUTHORIZED, "the password is not enough");
        world.db.clock.advance(Duration::from_secs(2));
        let with = format!("{password}&code={}", world.app(&secret));
        let fresh = world.post(&operator, "/account/confirm", &operator.form(&with)).await;
        assert_eq!(fresh.header("location"), PAGE, "{}", fresh.text);
        let fresh = world.person_of(&cookie(&fresh, "tp").unwrap()).await;
        let codes = world.post(&fresh, &format!("{PAGE}/codes"), &fresh.form("")).await;
        assert!(codes.text.contains("<ul class=\"codes\">"), "{}", codes.text);
        assert!(world.get(Some(&fresh), PAGE).await.text.contains("10 are left"));
        let off = world.post(&fresh, &format!("{PAGE}/off"), &fresh.form("")).await;
        assert_eq!(off.header("location"), "/login");
        assert_eq!(world.get(Some(&fresh), PAGE).await.status, StatusCode::SEE_OTHER, "ended");
        world.person("operator").await;
    }
}

#[tokio::test]
async fn an_owner_helps_a_member_who_has_lost_it() {
    for world in worlds().await {
        let (.., operator) = world.second_factor(&world.person("operator").await).await;
        let owner = world.person("owner").await;
        let members = format!("/w/{}/members", world.workspace(&owner).await);
        let page = world.get(Some(&owner), &members).await.text;
        let (before, _) = page.split_once("/second-factor\"").expect("the operator has one");
        let path = format!("{}/second-factor", before.rsplit('"').next().unwrap());
        let refused = world.post(&operator, &path, &operator.form("")).await;
        assert_ne!(refused.status, StatusCode::SEE_OTHER, "an operator may not");
        let done = world.post(&owner, &path, &owner.form("")).await;
        assert!(done.header("location").ends_with("done=factor"), "{}", done.text);
        assert_eq!(world.get(Some(&operator), PAGE).await.status, StatusCode::SEE_OTHER);
        let again = world.post(&owner, &path, &owner.form("")).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND, "{}", world.db.name());
        world.person("operator").await;
    }
}

#[tokio::test]
async fn a_local_account_beside_a_provider_is_seen_by_everybody() {
    for site in sites().await {
        let world = &site.world;
        let operator = world.person("operator").await;
        let reader = world.person("reader").await;
        let page = world.get(Some(&reader), "/tenants").await.text;
        assert_eq!(page.matches("Break-glass").count(), 2, "{}", world.db.name());
        let told = "SELECT count(*) AS n FROM audit_entries WHERE action = 'user.signed_in' AND details LIKE '%break_glass%true%'";
        assert_eq!(world.db.store.test_count(told).await, 2);
        // A minute apart: a session that is not used ends before its hour.
        for _ in 0..3 {
            world.db.clock.advance(Duration::from_mins(20));
            world.get(Some(&operator), "/tenants").await;
        }
        assert_eq!(world.get(Some(&operator), "/tenants").await.status, StatusCode::SEE_OTHER);
    }
    for world in worlds().await {
        let operator = world.person("operator").await;
        let page = world.get(Some(&operator), "/tenants").await.text;
        assert!(!page.contains("Break-glass"), "without a provider local accounts are the rule");
    }
}
