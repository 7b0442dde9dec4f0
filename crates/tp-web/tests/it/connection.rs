//! The connection of a tenant: pages, API, consent, for each role and on both databases.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tp_catalog::permissions::Needed;
use tp_catalog::registry::Catalog;
use tp_domain::connection::{ConnectionReport, CredentialKind, Finding};
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_store::CertificateCredential;

use crate::world::{Person, Reply, World, worlds};

const PAGE: &str = "/t/contoso/settings/connection";
const API: &str = "/api/v1/tenants/contoso";

async fn call(world: &World, person: &Person, method: Method, path: &str, body: &Value) -> Reply {
    world.send_json(person, method.as_str(), path, &body.to_string(), &[]).await
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn follow(world: &World, person: &Person, reply: &Reply) -> String {
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
    world.get(Some(person), reply.header("location")).await.text
}

/// A check that found this, through the worker's door.
async fn checked(world: &World, person: &Person, granted: Option<Vec<String>>, token: Finding) {
    let form = person.form("");
    let started = world.post(person, &format!("{PAGE}/check"), &form).await;
    assert!(started.header("location").contains("started="), "{}", started.text);
    let claim = world.claim_of(OperationKind::ConnectionVerify).await;
    let report = ConnectionReport {
        run: claim.id(),
        checked_at: claim.now(),
        client_id: "app".to_owned(),
        cloud: "global".to_owned(),
        credential: Some(CredentialKind::Secret),
        consent: if granted.is_some() {
            Finding::YES
        } else {
            Finding::unknown(ReasonCode::AuthFailed)
        },
        token,
        granted,
        licence: Finding::unknown_without("Organization.Read.All"),
        plans: Vec::new(),
        approval: Finding::YES,
        approval_for: vec!["app".to_owned(), "<b>".to_owned()],
    };
    claim.connection_report(&report).await.unwrap();
    world.finish(claim).await;
}

#[tokio::test]
async fn everybody_sees_the_connection_and_managers_change_it() {
    for world in worlds().await {
        let (owner, operator, reader) = (
            world.person("owner").await,
            world.person("operator").await,
            world.person("reader").await,
        );
        let page = world.get(Some(&owner), PAGE).await;
        assert_eq!(page.status, StatusCode::OK, "{}", world.db.name());
        assert!(page.text.contains("Nobody has checked this connection yet"));
        assert!(page.text.contains("DeviceManagementConfiguration.<wbr>Read.<wbr>All"));
        assert!(!page.text.contains("aria-disabled"), "an owner may do all of it");
        let seen = world.get(Some(&operator), PAGE).await.text;
        assert!(seen.contains("tenant.credentials.rotate"), "{}", world.db.name());
        assert!(seen.contains("Check now</button></form>"), "an operator may check");
        let seen = world.get(Some(&reader), PAGE).await.text;
        assert!(seen.contains("operations.start"));
        let secret = "&client_id=app&client_secret=stolen";
        for (person, path, form) in [
            (&operator, "/secret", secret),
            (&operator, "/certificate", "&certificate_pem=x"),
            (&operator, "/certificate/make", ""),
            (&operator, "/certificate/use", ""),
            (&operator, "/consent", ""),
            (&reader, "/check", ""),
        ] {
            let reply = world.post(person, &format!("{PAGE}{path}"), &person.form(form)).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
        }
        let foreign = world.post(&operator, "/t/secret/settings/connection/check", "csrf=x").await;
        assert_ne!(foreign.status, StatusCode::SEE_OTHER);
        assert_eq!(world.runs().await, 0);
    }
}

#[tokio::test]
async fn a_secret_is_replaced_and_never_shown() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let what = world.db.name();
        for (form, said) in [
            ("&client_id=app&client_secret=", "its value, not its id"),
            ("&client_id=app&client_secret=n3w&expires_on=soon", "as a date"),
            ("&client_id=app&client_secret=n3w&expires_on=2020-01-31", "has ended already"),
            ("&client_id=a%2Fb&client_secret=n3w", "as the app registration shows it"),
        ] {
            let reply = world.post(&owner, &format!("{PAGE}/secret"), &owner.form(form)).await;
            assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{what} {form}");
            assert!(reply.text.contains(said), "{what} {form}");
            assert!(!reply.text.contains("n3w"), "{form}");
        }
        let form = owner.form("&client_id=app&client_secret=n3w-secret&expires_on=2026-01-26");
        let reply = world.post(&owner, &format!("{PAGE}/secret"), &form).await;
        let page = follow(&world, &owner, &reply).await;
        assert!(page.contains("The client secret was replaced"), "{what}");
        assert!(page.contains("Client secret ends in 8 days"), "{what}");
        assert!(!page.contains("n3w-secret"));
        let list = world.get(Some(&owner), "/tenants").await.text;
        assert!(list.contains("Client secret ends in 8 days"), "{what}");
        let audited = "SELECT count(*) AS n FROM audit_entries WHERE action = 'tenant.credential_set' AND details LIKE '%2026-01-26%' AND request_id IS NOT NULL";
        assert_eq!(world.db.store.test_count(audited).await, 1);
        // People who can replace it are told, once.
        assert_eq!(world.db.store.upkeep().credential_warnings().await.unwrap(), 1);
        let told = world.get(Some(&owner), "/notifications").await.text;
        assert!(told.contains("The client secret ends within 30 days"), "{what}");
        assert!(told.contains("href=\"/t/contoso/settings/connection\""));
        let json = world.get(Some(&owner), "/api/v1/notifications").await.json();
        assert_eq!(json["data"][0]["kind"], "credential.expiry");
        assert_eq!(json["data"][0]["moment"], "30_days");
        assert_eq!(json["data"][0]["run"], Value::Null);
        world.db.clock.advance(Duration::from_hours(24 * 9));
        let owner = world.person("owner").await;
        let page = world.get(Some(&owner), PAGE).await.text;
        assert!(page.contains("Client secret has ended"), "{what}");
    }
}

fn key_pem(own: &CertificateCredential) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(own.private_key());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

#[tokio::test]
async fn a_certificate_is_taken_in_or_refused_with_a_reason() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let what = world.db.name();
        let own = CertificateCredential::generate("own", world.db.store.now()).unwrap();
        let post = async |pem: &str| {
            let form = owner.form(&format!("&client_id=app&certificate_pem={}", encoded(pem)));
            world.post(&owner, &format!("{PAGE}/certificate"), &form).await
        };
        let bare = post(&own.certificate_pem()).await;
        assert_eq!(bare.status, StatusCode::UNPROCESSABLE_ENTITY, "{what}");
        assert!(bare.text.contains("the private key is missing"), "{what}");
        let both = format!("{}{}", own.certificate_pem(), key_pem(&own));
        let page = follow(&world, &owner, &post(&both).await).await;
        assert!(page.contains("The certificate was replaced"), "{what}");
        assert!(page.contains(&own.thumbprint()));
        let file = world.get(Some(&owner), &format!("{PAGE}/certificate?which=active")).await;
        assert_eq!(file.text, own.certificate_pem(), "{what}: the public part, and nothing else");
        assert!(file.header("content-disposition").contains("tenantpilot-contoso.pem"));
        let none = world.get(Some(&owner), &format!("{PAGE}/certificate")).await;
        assert_eq!(none.status, StatusCode::NOT_FOUND, "{what}");
    }
}

#[tokio::test]
async fn a_key_pair_is_made_downloaded_and_used() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let what = world.db.name();
        let post = async |path: &str| {
            let path = format!("{PAGE}/certificate/{path}");
            world.post(&owner, &path, &owner.form("&client_id=app")).await
        };
        assert_eq!(post("use").await.status, StatusCode::CONFLICT, "{what}: none waits");
        let page = follow(&world, &owner, &post("make").await).await;
        assert!(
            page.contains("A key pair was made") && page.contains("A new key pair waits"),
            "{what}"
        );
        let file = world.get(Some(&owner), &format!("{PAGE}/certificate?which=pending")).await;
        assert!(file.text.starts_with("-----BEGIN CERTIFICATE-----"), "{what}");
        assert!(!file.text.contains("PRIVATE"));
        let page = follow(&world, &owner, &post("use").await).await;
        assert!(page.contains("The new certificate is signed in with"), "{what}");
        assert!(!page.contains("A new key pair waits"));
        follow(&world, &owner, &post("make").await).await;
        let page = follow(&world, &owner, &post("discard").await).await;
        assert!(page.contains("thrown away") && !page.contains("A new key pair waits"), "{what}");
    }
}

#[tokio::test]
async fn a_check_says_what_works_here() {
    for world in worlds().await {
        let owner = world.person("owner").await;
        let what = world.db.name();
        let catalog = Catalog::builtin().unwrap();
        let mut granted: Vec<String> = Needed::of_all(&catalog).read.into_iter().collect();
        granted.retain(|name| name != "DeviceManagementScripts.Read.All");
        granted.push("Directory.Read.All".to_owned());
        checked(&world, &owner, Some(granted), Finding::YES).await;
        let page = world.get(Some(&owner), PAGE).await.text;
        assert!(page.contains("11 granted") && page.contains("1 missing"), "{what}");
        assert!(page.contains("5 policy types are not backed up"), "{what}");
        assert!(page.contains("Read only"), "{what}");
        assert!(page.contains("more than needed"), "{what}: Directory.Read.All is");
        assert!(page.contains("wait for a second administrator in Intune: apps, other policies"));
        assert!(!page.contains("<b>"), "{what}: what Graph says is text");
        let types = world.get(Some(&owner), "/t/contoso/policy-types").await.text;
        assert!(types.contains("Permission missing") && types.contains("Works"), "{what}");
        let api = world.get(Some(&owner), &format!("{API}/policy-types")).await.json();
        let of = |key: &str| {
            let all = api["data"].as_array().unwrap();
            all.iter().find(|entry| entry["key"] == key).unwrap()["in_tenant"].clone()
        };
        assert_eq!(of("deviceConfiguration")["reading"]["state"], "yes", "{what}");
        let script = of("deviceManagementScript");
        assert_eq!(script["reading"]["missing"], json!(["DeviceManagementScripts.Read.All"]));
        let connection = world.get(Some(&owner), &format!("{API}/connection")).await.json();
        assert_eq!(connection["report"]["works"], true, "{what}");
        assert_eq!(connection["permissions"]["read_only"], true);
        assert_eq!(connection["report"]["licence"]["needs"], "Organization.Read.All");
        let tenants = world.get(Some(&owner), "/tenants").await.text;
        assert!(tenants.contains("1 permission missing"), "{what}");
        // A sign-in that is refused later takes nothing of that away, but says so first.
        checked(&world, &owner, None, Finding::no(ReasonCode::CredentialExpired)).await;
        let page = world.get(Some(&owner), PAGE).await.text;
        assert!(page.contains("Refused") && page.contains("credential_expired"), "{what}");
        assert!(page.contains("11 granted"), "{what}: by the latest token");
        let overview = world.get(Some(&owner), "/t/contoso/overview").await.text;
        assert!(overview.contains("Sign-in refused"), "{what}");
    }
}

/// The link of the page that asks for consent, and its state.
async fn asked(world: &World, person: &Person) -> (String, String) {
    let page = world.post(person, &format!("{PAGE}/consent"), &person.form("")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let (_, rest) = page.text.split_once("href=\"https://login.microsoftonline.com/").unwrap();
    let link = rest.split('"').next().unwrap().replace("&amp;", "&");
    let (_, state) = link.split_once("state=").unwrap();
    (format!("https://login.microsoftonline.com/{link}"), state.to_owned())
}

#[tokio::test]
async fn consent_comes_back_once_to_who_asked() {
    for world in worlds().await {
        let (owner, elsewhere) = (world.person("owner").await, world.person("owner").await);
        let what = world.db.name();
        let (link, state) = asked(&world, &owner).await;
        let url: url::Url = link.parse().unwrap();
        assert_eq!(url.path(), "/00000000-0000-0000-0000-000000000001/v2.0/adminconsent");
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let back = "http://127.0.0.1:8080/consent/callback".to_owned();
        assert!(pairs.contains(&("redirect_uri".to_owned(), back)), "{what}: {pairs:?}");
        let scope = "https://graph.microsoft.com/.default".to_owned();
        assert!(pairs.contains(&("scope".to_owned(), scope)));
        let tenant = "00000000-0000-0000-0000-000000000001";
        let given = format!("/consent/callback?admin_consent=True&tenant={tenant}&state={state}");
        // Without a session, and in another one, it is said and nothing happens.
        for person in [None, Some(&elsewhere)] {
            let page = world.get(person, &given).await;
            assert_eq!(page.status, StatusCode::OK, "{what}");
            assert!(page.text.contains("Nothing was changed by coming back"), "{what}");
        }
        assert_eq!(world.runs().await, 0, "{what}");
        let reply = world.get(Some(&owner), &given).await;
        let page = follow(&world, &owner, &reply).await;
        assert!(page.contains("Connection check queued"), "{what}");
        assert_eq!(world.runs().await, 1);
        let again = world.get(Some(&owner), &given).await;
        assert!(again.text.contains("was used already"), "{what}");
        let claim = world.claim_of(OperationKind::ConnectionVerify).await;
        world.finish(claim).await;

        let (_, state) = asked(&world, &owner).await;
        let other = "00000000-0000-0000-0000-000000000002";
        let path = format!("/consent/callback?admin_consent=True&tenant={other}&state={state}");
        let page = follow(&world, &owner, &world.get(Some(&owner), &path).await).await;
        assert!(page.contains("tenant_mismatch"), "{what}: another tenant's administrator");
        let (_, state) = asked(&world, &owner).await;
        let path = format!(
            "/consent/callback?error=access_denied&error_description=AADSTS65004%3A+%3Cb%3Eno&state={state}"
        );
        let page = follow(&world, &owner, &world.get(Some(&owner), &path).await).await;
        assert!(page.contains("consent_missing") && !page.contains("<b>no"), "{what}");
        let (_, state) = asked(&world, &owner).await;
        world.db.clock.advance(Duration::from_mins(16));
        let path = format!("/consent/callback?admin_consent=True&tenant={tenant}&state={state}");
        assert!(world.get(Some(&owner), &path).await.text.contains("too old"), "{what}");
        let bare = world.get(Some(&owner), "/consent/callback?state=x").await;
        assert_eq!(bare.status, StatusCode::BAD_REQUEST, "{what}");
        assert_eq!(world.runs().await, 1, "{what}");
    }
}

#[tokio::test]
async fn the_api_changes_a_credential_and_tells_nothing_of_it() {
    for world in worlds().await {
        let (owner, operator) = (world.person("owner").await, world.person("operator").await);
        let what = world.db.name();
        let patch = async |person: &Person, body: Value| {
            call(&world, person, Method::PATCH, API, &body).await
        };
        for (body, said) in [
            (json!({}), "client_secret or certificate_pem is needed"),
            (json!({"client_secret": "a", "certificate_pem": "b"}), "not both"),
            (json!({"client_secret": "a", "name": "x"}), "unknown field"),
            (json!({"client_secret": 7}), "must be a text"),
            (json!({"client_secret": "a", "credential_expires_at": "soon"}), "must be a time"),
            (
                json!({"client_secret": "a", "credential_expires_at": "2020-01-01T00:00:00Z"}),
                "over already",
            ),
            (json!({"certificate_pem": "-----BEGIN CERTIFICATE-----"}), "this is not PEM"),
        ] {
            let reply = patch(&owner, body).await;
            assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{what} {said}");
            assert!(reply.text.contains(said), "{what} {said}: {}", reply.text);
        }
        let end = "2027-01-31T00:00:00Z";
        let body = json!({"client_id": "app-2", "client_secret": "n3w-secret", "credential_expires_at": end});
        assert_eq!(patch(&operator, body.clone()).await.status, StatusCode::FORBIDDEN, "{what}");
        let reply = patch(&owner, body).await;
        assert_eq!(reply.status, StatusCode::OK, "{what}: {}", reply.text);
        assert!(!reply.text.contains("n3w-secret"));
        let json = reply.json();
        assert_eq!(json["client_id"], "app-2", "{what}");
        assert_eq!(json["credential"]["expires_at"], "2027-01-31T00:00:00.000Z");
        assert!(json["consent_link"].as_str().unwrap().contains("client_id=app-2"));

        let path = format!("{API}/certificate");
        let made = call(&world, &owner, Method::POST, &path, &json!({})).await;
        assert_eq!(made.status, StatusCode::CREATED, "{what}: {}", made.text);
        assert!(!made.text.contains("PRIVATE"));
        let shown = world.get(Some(&owner), &path).await.json();
        assert_eq!(shown["certificate_pem"], made.json()["certificate_pem"], "{what}");
        let used = call(&world, &owner, Method::POST, &format!("{path}/use"), &json!({})).await;
        assert_eq!(used.json()["credential"]["kind"], "certificate", "{what}");
        let gone = call(&world, &owner, Method::DELETE, &path, &json!({})).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{what}");
        call(&world, &owner, Method::POST, &path, &json!({})).await;
        let gone = call(&world, &owner, Method::DELETE, &path, &json!({})).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{what}");
        let runs = format!("{API}/runs");
        let start = json!({"kind": "connection.verify"});
        let started = call(&world, &operator, Method::POST, &runs, &start).await;
        assert_eq!(started.status, StatusCode::ACCEPTED, "{what}: {}", started.text);
        let same = call(&world, &owner, Method::POST, &runs, &start).await;
        assert_eq!(same.json()["deduplicated"], true, "{what}");
    }
}
