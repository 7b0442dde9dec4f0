//! TRUST A25: forged tokens and answers, through the whole router. Each is refused, with its reason.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::issuer::{Forged, OTHER, PERSONAL, STRANGER, TENANT, With, base64};
use crate::sign_in::{Begun, Site, sites};

/// What is done to an honest token. The second is the provider's origin, the third "now" in seconds.
type Forge = fn(&mut Forged, &str, i64);

fn without(claims: &mut Value, name: &str) {
    claims.as_object_mut().unwrap().remove(name);
}

/// What, how, and the reason of the refusal.
const FORGED: [(&str, Forge, &str); 41] = [
    (
        "iss of another tenant",
        |t, o, _| t.claims["iss"] = json!(format!("{o}/{OTHER}/v2.0")),
        "issuer_mismatch",
    ),
    ("tid of another tenant", |t, _, _| t.claims["tid"] = json!(OTHER), "issuer_mismatch"),
    (
        "a tenant that is not allowed",
        |t, o, _| {
            t.claims["iss"] = json!(format!("{o}/{OTHER}/v2.0"));
            t.claims["tid"] = json!(OTHER);
        },
        "tenant_not_allowed",
    ),
    (
        "issuer of another host",
        |t, _, _| t.claims["iss"] = json!(format!("https://login.example/{TENANT}/v2.0")),
        "issuer_mismatch",
    ),
    (
        "the common issuer",
        |t, o, _| t.claims["iss"] = json!(format!("{o}/common/v2.0")),
        "issuer_mismatch",
    ),
    (
        "the issuer's template",
        |t, o, _| t.claims["iss"] = json!(format!("{o}/{{tenantid}}/v2.0")),
        "issuer_mismatch",
    ),
    (
        "the issuer with a slash",
        |t, o, _| t.claims["iss"] = json!(format!("{o}/{TENANT}/v2.0/")),
        "issuer_mismatch",
    ),
    ("no issuer", |t, _, _| without(&mut t.claims, "iss"), "issuer_mismatch"),
    ("no tid", |t, _, _| without(&mut t.claims, "tid"), "tenant_missing"),
    ("tid that is no id", |t, _, _| t.claims["tid"] = json!("contoso.example"), "tenant_missing"),
    (
        "tid in another spelling",
        |t, _, _| t.claims["tid"] = json!("{11111111-1111-4111-8111-111111111111}"),
        "tenant_missing",
    ),
    (
        "a private account",
        |t, o, _| {
            t.claims["iss"] = json!(format!("{o}/{PERSONAL}/v2.0"));
            t.claims["tid"] = json!(PERSONAL);
        },
        "personal_account",
    ),
    (
        "a key of another issuer",
        |t, _, _| {
            t.head["kid"] = json!("foreign");
            t.with = With::Foreign;
        },
        "key_issuer",
    ),
    ("a key in no list, under a listed name", |t, _, _| t.with = With::Unlisted, "signature_wrong"),
    (
        "an unknown key",
        |t, _, _| {
            t.head["kid"] = json!("unknown");
            t.with = With::Unlisted;
        },
        "key_unknown",
    ),
    ("no key name", |t, _, _| without(&mut t.head, "kid"), "key_unknown"),
    (
        "its own key in its head",
        |t, o, _| {
            without(&mut t.head, "kid");
            t.head["jwk"] = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
            t.head["jku"] = json!(format!("{o}/keys"));
            t.with = With::Unlisted;
        },
        "key_unknown",
    ),
    ("a key of another kind", |t, _, _| t.head["alg"] = json!("ES256"), "key_unknown"),
    ("PKCS 1 said to be PSS", |t, _, _| t.head["alg"] = json!("PS256"), "signature_wrong"),
    (
        "alg none",
        |t, _, _| {
            t.head["alg"] = json!("none");
            t.with = With::Nothing;
        },
        "algorithm_not_allowed",
    ),
    (
        "alg None",
        |t, _, _| {
            t.head["alg"] = json!("nOnE");
            t.with = With::Nothing;
        },
        "algorithm_not_allowed",
    ),
    (
        "HS256 with the public key",
        |t, _, _| {
            t.head["alg"] = json!("HS256");
            t.with = With::PublicAsSecret;
        },
        "algorithm_not_allowed",
    ),
    ("HMAC said to be RS256", |t, _, _| t.with = With::PublicAsSecret, "signature_wrong"),
    ("no signature", |t, _, _| t.with = With::Nothing, "signature_wrong"),
    ("RS512", |t, _, _| t.head["alg"] = json!("RS512"), "algorithm_not_allowed"),
    (
        "an extension that must be understood",
        |t, _, _| t.head["crit"] = json!(["exp"]),
        "token_malformed",
    ),
    ("an access token", |t, _, _| t.head["typ"] = json!("at+jwt"), "token_malformed"),
    ("aud of another app", |t, _, _| t.claims["aud"] = json!("their-app"), "audience_mismatch"),
    (
        "aud of several apps",
        |t, _, _| t.claims["aud"] = json!(["our-app", "their-app"]),
        "audience_mismatch",
    ),
    ("aud of nobody", |t, _, _| t.claims["aud"] = json!([]), "audience_mismatch"),
    ("no aud", |t, _, _| without(&mut t.claims, "aud"), "audience_mismatch"),
    ("azp of another app", |t, _, _| t.claims["azp"] = json!("their-app"), "party_mismatch"),
    ("no nonce", |t, _, _| without(&mut t.claims, "nonce"), "nonce_mismatch"),
    ("expired", |t, _, now| t.claims["exp"] = json!(now - 121), "token_expired"),
    ("no end", |t, _, _| without(&mut t.claims, "exp"), "token_expired"),
    ("an end that is no number", |t, _, _| t.claims["exp"] = json!("2099"), "token_malformed"),
    ("not yet valid", |t, _, now| t.claims["nbf"] = json!(now + 121), "token_not_yet_valid"),
    ("issued in the future", |t, _, now| t.claims["iat"] = json!(now + 121), "token_issued_at"),
    (
        "issued before it was asked for",
        |t, _, now| t.claims["iat"] = json!(now - 121),
        "token_issued_at",
    ),
    ("no object id", |t, _, _| without(&mut t.claims, "oid"), "subject_missing"),
    (
        "an e-mail address as object id",
        |t, _, _| t.claims["oid"] = json!("owner@example.com"),
        "subject_missing",
    ),
];

#[tokio::test]
async fn forged_tokens_are_refused_each_with_its_reason() {
    for site in sites().await {
        site.links_owner().await;
        for (what, forge, reason) in FORGED {
            // Unknown keys are looked for once a minute: each gets its own.
            site.world.db.clock.advance(Duration::from_secs(61));
            let begun = site.begin("/tenants").await;
            let mut forged = site.honest(&begun);
            let now = site.now();
            forge(&mut forged, &site.issuer.origin, now);
            site.refuses(&begun, forged.token(), reason, what).await;
        }
        println!("A25: {} forged tokens refused", FORGED.len());
    }
}

#[tokio::test]
async fn what_is_not_a_token_is_refused() {
    for site in sites().await {
        site.links_owner().await;
        let begun = site.begin("/tenants").await;
        let honest = site.honest(&begun).token();
        let parts: Vec<&str> = honest.split('.').collect();
        let other = site.honest(&begun);
        let claims = Forged { claims: json!({"iss": 7}), ..other.clone() }.token();
        let stranger = {
            let mut t = other;
            t.claims["oid"] = json!(STRANGER);
            t
        }
        .token();
        let stranger: Vec<&str> = stranger.split('.').collect();
        for (text, reason) in [
            (String::new(), "token_malformed"),
            ("a.b.c".to_owned(), "token_malformed"),
            (format!("{}.{}", parts[0], parts[1]), "token_malformed"),
            (format!("{honest}.x"), "token_malformed"),
            (format!("{}.{}.{}", base64("[]"), parts[1], parts[2]), "token_malformed"),
            (format!("{}.{}.{}", parts[0], stranger[1], parts[2]), "signature_wrong"),
            (claims, "token_malformed"),
            (format!("{}.{}.{}", parts[0], "A".repeat(20_000), parts[2]), "token_malformed"),
        ] {
            let begun = site.begin("/tenants").await;
            site.refuses(&begun, text.clone(), reason, &text.chars().take(60).collect::<String>())
                .await;
        }
    }
}

#[tokio::test]
async fn each_allowed_way_of_signing_lets_in() {
    for site in sites().await {
        site.links_owner().await;
        let ways: [(Forge, &str); 5] = [
            (|_, _, _| (), "RS256"),
            (
                |t, _, _| {
                    t.head["alg"] = json!("PS256");
                    t.with = With::OwnPss;
                },
                "PS256",
            ),
            (
                |t, _, _| {
                    t.head["alg"] = json!("ES256");
                    t.head["kid"] = json!("curve");
                    t.with = With::Curve;
                },
                "ES256",
            ),
            (|t, _, _| t.claims["aud"] = json!(["our-app"]), "a list of one"),
            (|t, _, now| t.claims["iat"] = json!(now + 100), "a clock that is a little ahead"),
        ];
        for (forge, what) in ways {
            let begun = site.begin("/operations").await;
            let mut forged = site.honest(&begun);
            forge(&mut forged, &site.issuer.origin, site.now());
            let reply = site.answered(&begun, forged.token()).await;
            assert_eq!(reply.status, StatusCode::SEE_OTHER, "{what}: {}", reply.text);
            assert_eq!(reply.header("location"), "/operations", "{what}");
        }
    }
}

/// State, code and nonce of one sign-in are of use for it alone, once, in its browser.
#[tokio::test]
async fn answers_of_other_sign_ins_are_refused() {
    for site in sites().await {
        site.links_owner().await;
        let (mine, theirs) = (site.begin("/tenants").await, site.begin("/tenants").await);
        // The nonce of another sign-in.
        let token = site.honest(&theirs).token();
        site.refuses(&mine, token, "nonce_mismatch", "nonce replay").await;
        // The state was used up by that, whatever came of it.
        let token = site.honest(&mine).token();
        site.refuses(&mine, token, "state_unknown", "state replay").await;
        // A good answer in another browser: its owner's session is not forced upon somebody (login CSRF).
        let victim = site.begin("/tenants").await;
        let stolen = Begun { cookie: victim.cookie.clone(), ..theirs.clone() };
        let token = site.honest(&theirs).token();
        site.refuses(&stolen, token, "state_unknown", "another browser").await;
        let bare = Begun { cookie: "tp-sign-in=short".to_owned(), ..theirs.clone() };
        let token = site.honest(&theirs).token();
        site.refuses(&bare, token, "state_unknown", "no browser").await;
        // A code of another sign-in: its challenge does not fit our verifier (PKCE).
        let asked = site.issuer.token_requests();
        site.issuer.gives("injected", &victim.challenge, site.honest(&theirs).token());
        let reply = site.callback(&theirs, "injected", "").await;
        site.is_refused(&reply, "code_refused", "an injected code").await;
        assert_eq!(site.issuer.token_requests(), asked + 1);
        // A code that was used.
        let first = site.begin("/tenants").await;
        let reply = site.answered(&first, site.honest(&first).token()).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER);
        let second = site.begin("/tenants").await;
        let reply = site.callback(&second, "code", "").await;
        site.is_refused(&reply, "code_refused", "code replay").await;
        // Ten minutes later.
        let late = site.begin("/tenants").await;
        site.world.db.clock.advance(Duration::from_mins(10));
        let token = site.honest(&late).token();
        site.refuses(&late, token, "state_unknown", "a late answer").await;
        // The person went back.
        let back = site.begin("/tenants").await;
        let reply = site.callback(&back, "code", "&error=access_denied").await;
        site.is_refused(&reply, "provider_refused", "an error").await;
    }
}

/// RFC 9207: an answer says whose it is, and another's code is not sent to ours.
#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_before_its_code_is_sent() {
    for site in sites().await {
        site.links_owner().await;
        let own = format!("{}/{TENANT}/v2.0", site.issuer.origin);
        let begun = site.begin("/tenants").await;
        let reply = site.callback(&begun, "code", "&iss=https://evil.example").await;
        site.is_refused(&reply, "response_issuer", "another issuer").await;
        assert_eq!(site.issuer.token_requests(), 0);
        // Of the right kind, but of another tenant than the token.
        let begun = site.begin("/tenants").await;
        site.issuer.gives("code", &begun.challenge, site.honest(&begun).token());
        let foreign = format!("&iss={}/{OTHER}/v2.0", site.issuer.origin);
        let reply = site.callback(&begun, "code", &foreign).await;
        site.is_refused(&reply, "response_issuer", "another tenant").await;
        let begun = site.begin("/tenants").await;
        site.issuer.gives("code", &begun.challenge, site.honest(&begun).token());
        let reply = site.callback(&begun, "code", &format!("&iss={own}")).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
        // Where it is promised, it must be there.
        site.world.db.clock.advance(Duration::from_hours(2));
        site.issuer.discovers("authorization_response_iss_parameter_supported", json!(true));
        let begun = site.begin("/tenants").await;
        let token = site.honest(&begun).token();
        site.refuses(&begun, token, "response_issuer", "no issuer").await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_the_configured_one_is_not_gone_to() {
    for (name, value) in [
        ("issuer", json!("https://evil.example/{tenantid}/v2.0")),
        ("issuer", json!("https://evil.example/common/v2.0")),
        ("token_endpoint", json!("http://evil.example/token")),
        ("token_endpoint", json!("https://127.0.0.1:1/token")),
        ("jwks_uri", json!("https://169.254.169.254/keys")),
        ("jwks_uri", json!("file:///etc/passwd")),
        ("authorization_endpoint", json!("http://evil.example/authorize")),
        ("authorization_endpoint", json!("javascript:alert(1)")),
        ("end_session_endpoint", json!("http://evil.example/out")),
        ("code_challenge_methods_supported", json!(["plain"])),
    ] {
        for site in sites().await {
            site.issuer.discovers(name, value.clone());
            let reply = site.world.get(None, "/login/oidc").await;
            assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{name} {value}");
            assert!(reply.text.contains("provider_misconfigured"), "{name} {value}");
            assert_eq!(reply.header("location"), "");
        }
    }
}

#[tokio::test]
async fn a_new_key_is_found_and_a_flood_of_unknown_ones_asks_nobody() {
    for site in sites().await {
        site.links_owner().await;
        let enter = async |site: &Site, kid: &str| {
            let begun = site.begin("/tenants").await;
            let mut forged = site.honest(&begun);
            forged.head["kid"] = json!(kid);
            forged.with = With::Unlisted;
            site.answered(&begun, forged.token()).await
        };
        for number in 0..20 {
            let reply = enter(&site, &format!("none-{number}")).await;
            site.is_refused(&reply, "key_unknown", "a flood").await;
        }
        assert_eq!(site.issuer.key_requests(), 1);
        site.issuer.lists("new");
        let reply = enter(&site, "new").await;
        site.is_refused(&reply, "key_unknown", "within the minute").await;
        site.world.db.clock.advance(Duration::from_secs(61));
        let reply = enter(&site, "new").await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
        assert_eq!(site.issuer.key_requests(), 2);
    }
}
