//! Tokens, their refusals, admin consent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::world::{World, http, read};

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn a_token_says_whose_it_is_and_until_when() {
    let world = World::new().await;
    let claims = claims(&world.token);
    assert_eq!(claims["tid"], world.tenant.id.to_string());
    assert_eq!(claims["appid"], world.tenant.client_id.to_string());
    assert_eq!(claims["roles"], json!(world.tenant.permissions));
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(life, 3599);
    world.change(&json!({"token_lifetime_s": 0})).await;
    let token = format!("Bearer {}", world.new_token().await);
    let late = world.try_send("GET", "/v1.0/groups", None, &[("authorization", &token)]).await;
    assert_eq!(read(late.unwrap()).await.code(), "InvalidAuthenticationToken");
    let none = http().get(format!("{}/v1.0/groups", world.sim.url)).send().await.unwrap();
    assert_eq!(none.status(), 401);
}

#[tokio::test]
async fn refusals_have_the_numbers_of_entra() {
    let world = World::new().await;
    let (tenant, client) = (world.tenant.id.to_string(), world.tenant.client_id.to_string());
    let scope = "https://graph.microsoft.com/.default";
    let form = |client: &str, secret: &str, scope: &str| {
        [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
            ("scope", scope),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let secret = world.tenant.client_secret.clone();
    let cases = [
        ("none.example", form(&client, &secret, scope), 90_002),
        (tenant.as_str(), form("00000000-0000-0000-0000-000000000001", &secret, scope), 700_016),
        (tenant.as_str(), form(&client, "wrong", scope), 7_000_215),
        (tenant.as_str(), form(&client, "", scope), 7_000_218),
        (tenant.as_str(), form(&client, &secret, "nonsense"), 70_011),
    ];
    for (tenant, form, number) in cases {
        let form: Vec<(&str, &str)> = form.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let answer = world.login(tenant, &form).await.json();
        assert_eq!(answer["error_codes"], json!([number]), "{answer}");
        assert!(
            answer["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{number}:"))
        );
    }
    let good = form(&client, &secret, scope);
    let good: Vec<(&str, &str)> = good.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    for (change, number) in [
        (json!({"secret_expired": true}), 7_000_222),
        (json!({"secret_expired": false, "consented": false}), 65_001),
    ] {
        world.change(&change).await;
        assert_eq!(world.login(&tenant, &good).await.json()["error_codes"], json!([number]));
    }
}

#[tokio::test]
async fn faults_meet_the_login_host() {
    let world = World::new().await;
    let host = json!({"host": "login"});
    for (action, status, error) in [
        (json!({"kind": "status", "status": 503}), 503, "temporarily_unavailable"),
        (json!({"kind": "aadsts", "number": 53003}), 400, "invalid_grant"),
        (json!({"kind": "aadsts", "number": 7_000_222}), 401, "invalid_client"),
    ] {
        world.faults(json!([{"match": host, "action": action}])).await;
        let answer = world.login(&world.tenant.domain, &[]).await;
        assert_eq!(answer.status, status, "{action}");
        assert_eq!(answer.json()["error"], error);
    }
    world.faults(json!([{"match": host, "action": {"kind": "wrong_tid"}}])).await;
    assert_ne!(claims(&world.new_token().await)["tid"], world.tenant.id.to_string());
    world.faults(json!([{"match": host, "action": {"kind": "html"}}])).await;
    assert!(world.login(&world.tenant.domain, &[]).await.text.starts_with("<html>"));
}

#[tokio::test]
async fn an_administrator_consents() {
    let world = World::new().await;
    world.change(&json!({"consented": false})).await;
    let client = world.tenant.client_id;
    let query =
        format!("client_id={client}&redirect_uri=http%3A%2F%2F127.0.0.1%2Fback&state=s%201");
    let url =
        |tenant: &str, more: &str| format!("{}/{tenant}/adminconsent?{query}{more}", world.sim.url);
    let no = http().get(url("organizations", "&sim_decision=deny")).send().await.unwrap();
    assert!(no.headers()["location"].to_str().unwrap().contains("error=access_denied"));
    assert_eq!(world.new_token().await, "");
    let yes = http().get(url("organizations", "")).send().await.unwrap();
    assert_eq!(yes.status(), 302);
    let back =
        format!("http://127.0.0.1/back?admin_consent=True&tenant={}&state=s+1", world.tenant.id);
    assert_eq!(yes.headers()["location"], back.as_str());
    assert_ne!(world.new_token().await, "");
    assert_eq!(http().get(url("none.example", "")).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_client_is_told_where_the_endpoints_are() {
    let world = World::new().await;
    let url =
        format!("{}/{}/v2.0/.well-known/openid-configuration", world.sim.url, world.tenant.domain);
    let meant = http().get(url).header("x-original-host", "login.microsoftonline.com");
    let found: Value = meant.send().await.unwrap().json().await.unwrap();
    let endpoint =
        format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", world.tenant.id);
    assert_eq!(found["token_endpoint"], endpoint);
}

mod certificate {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256};
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut made = vec![tag];
        match length {
            0..128 => made.push(u8::try_from(length).unwrap()),
            _ => made.extend([
                0x82,
                u8::try_from(length / 256).unwrap(),
                u8::try_from(length % 256).unwrap(),
            ]),
        }
        made.extend_from_slice(content);
        made
    }

    /// A certificate of which only the place of its key matters here.
    fn certificate(key: &KeyPair) -> Vec<u8> {
        let spki = key.public_key().as_der().unwrap();
        let part = |tag| der(tag, &[]);
        let version = der(0xa0, &der(2, &[2]));
        let signed = [
            version,
            der(2, &[1]),
            part(0x30),
            part(0x30),
            part(0x30),
            part(0x30),
            spki.as_ref().to_vec(),
        ];
        der(0x30, &[der(0x30, &signed.concat()), part(0x30), der(3, &[0])].concat())
    }

    fn assertion(world: &World, key: &KeyPair, der: &[u8], alg: &str, change: &Value) -> String {
        let print = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        let header =
            json!({"alg": alg, "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(print.as_ref())});
        let client = world.tenant.client_id.to_string();
        let mut body = json!({
            "aud": format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", world.tenant.id),
            "iss": client, "sub": client, "jti": "1", "exp": 4_000_000_000_u64, "nbf": 0,
        });
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(body.to_string())
        );
        let mut signature = vec![0; key.public_modulus_len()];
        let random = SystemRandom::new();
        let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding =
            if alg == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
        key.sign(encoding, &random, text.as_bytes(), &mut signature).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[tokio::test]
    async fn a_certificate_signs_in() {
        let world = World::new().await;
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let own = certificate(&key);
        let client = world.tenant.client_id.to_string();
        let sign_in = async |assertion: String| {
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", client.as_str()),
                ("scope", "https://graph.microsoft.com/.default"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
            ];
            world.login(&world.tenant.domain, &form).await.json()
        };
        let good = assertion(&world, &key, &own, "PS256", &json!({}));
        assert_eq!(sign_in(good.clone()).await["error_codes"], json!([700_027]), "not registered");
        world.change(&json!({"certificates": [STANDARD.encode(&own)]})).await;
        for alg in ["PS256", "RS256"] {
            let answer = sign_in(assertion(&world, &key, &own, alg, &json!({}))).await;
            assert!(answer["access_token"].is_string(), "{alg}: {answer}");
        }
        let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let forged = assertion(&world, &other, &own, "PS256", &json!({}));
        assert_eq!(sign_in(forged).await["error_codes"], json!([700_027]));
        for (change, number) in [
            (json!({"exp": 1}), 700_024),
            (json!({"aud": "https://login.microsoftonline.com/other/oauth2/v2.0/token"}), 700_023),
            (
                json!({"aud": format!("https://login.microsoftonline.com/{}/other", world.tenant.id)}),
                700_023,
            ),
            (json!({"iss": "other"}), 700_021),
        ] {
            let answer = sign_in(assertion(&world, &key, &own, "PS256", &change)).await;
            assert_eq!(answer["error_codes"], json!([number]), "{answer}");
        }
        world.change(&json!({"algorithms": ["RS256"]})).await;
        let old = assertion(&world, &key, &own, "RS256", &json!({}));
        assert!(sign_in(old).await["access_token"].is_string());
        assert_eq!(
            sign_in(good).await["error_codes"],
            json!([700_027]),
            "PS256 is not known there"
        );
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused() {
    let world = World::new().await;
    let path = format!("/tenants/{}/revoke", world.tenant.id);
    assert_eq!(world.control("POST", &path, &json!({})).await.status, 200);
    assert_eq!(world.get("/v1.0/groups").await.status, 401);
    tokio::time::timeout(Duration::from_secs(5), world.new_token()).await.unwrap();
}
