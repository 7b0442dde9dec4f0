//! What else the door holds back: redirects, ports, hosts, cookies, proxies, large and slow answers.

use std::time::{Duration, Instant};

use tp_egress::{EgressError, EgressOptions, EgressRequest};
use url::Url;

use crate::world::{Lies, Listener, egress, options};

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn redirects_are_answers_and_are_not_followed() {
    let trap = Listener::new(&answer("200 OK", "", "secret")).await;
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let location = format!("location: http://{}/\r\n", trap.address);
        let own = Listener::new(&answer(status, &location, "")).await;
        // Even where the other place may be asked, too.
        let door = egress(options(&[own.url(), trap.url()], &[]), Lies::new(&[&[]]));
        let reply = door.send(EgressRequest::get(own.url(), 1024)).await.unwrap();
        assert_eq!(reply.status.to_string(), status[..3]);
    }
    assert_eq!(trap.count(), 0);
}

#[tokio::test]
async fn a_declared_origin_opens_itself_and_nothing_beside_it() {
    let own = Listener::new(&answer("200 OK", "", "ok")).await;
    let trap = Listener::new(&answer("200 OK", "", "secret")).await;
    let port = trap.address.port();
    let door = egress(options(&[own.url()], &[port]), Lies::new(&[&["127.0.0.1"]]));
    for other in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{}/", own.address.port()),
        format!("https://other.example:{port}/"),
        format!("https://127.0.0.2:{port}/"),
    ] {
        let url: Url = other.parse().unwrap();
        let error = door.send(EgressRequest::get(url, 1024)).await.unwrap_err();
        assert!(
            matches!(error, EgressError::BadAddress | EgressError::AddressNotAllowed),
            "{other}: {error:?}"
        );
    }
    assert_eq!((own.count(), trap.count()), (0, 0));
    door.send(EgressRequest::get(own.url(), 1024)).await.unwrap();
    assert_eq!(own.count(), 1);
}

#[tokio::test]
async fn ports_and_hosts_are_those_of_the_lists() {
    let door = egress(
        EgressOptions { allow_hosts: vec!["Hooks.Example".to_owned()], ..EgressOptions::default() },
        Lies::new(&[&["10.0.0.1"]]),
    );
    let check = |text: &str| door.check(&text.parse().unwrap());
    assert_eq!(check("https://hooks.example/a"), Ok(()));
    assert_eq!(check("https://hooks.example:8443/a"), Ok(()));
    assert_eq!(check("https://HOOKS.example/a"), Ok(()));
    assert_eq!(check("https://other.example/a"), Err(EgressError::HostNotAllowed));
    assert_eq!(check("https://hooks.example.evil.example/"), Err(EgressError::HostNotAllowed));
    for port in [22, 25, 80, 5432, 6379, 9200, 65535] {
        let text = format!("https://hooks.example:{port}/");
        assert_eq!(check(&text), Err(EgressError::PortNotAllowed), "{port}");
    }
    assert_eq!(check("http://hooks.example/"), Err(EgressError::BadAddress));
}

#[tokio::test]
async fn a_private_network_is_open_for_named_hosts_only() {
    let door = egress(
        EgressOptions {
            allow_private: vec!["login.corp.example".to_owned()],
            ..EgressOptions::default()
        },
        Lies::new(&[&["169.254.169.254"]]),
    );
    // Named, but link-local: never.
    let url: Url = "https://login.corp.example/".parse().unwrap();
    let error = door.send(EgressRequest::get(url, 10)).await.unwrap_err();
    assert_eq!(error, EgressError::AddressNotAllowed);
    let check = |text: &str| door.check(&text.parse().unwrap());
    assert_eq!(check("https://10.0.0.1/"), Err(EgressError::AddressNotAllowed));
    let by_address = egress(
        EgressOptions { allow_private: vec!["10.0.0.1".to_owned()], ..EgressOptions::default() },
        Lies::new(&[&[]]),
    );
    assert_eq!(by_address.check(&"https://10.0.0.1/".parse().unwrap()), Ok(()));
    assert_eq!(
        by_address.check(&"https://10.0.0.2/".parse().unwrap()),
        Err(EgressError::AddressNotAllowed)
    );
}

#[tokio::test]
async fn no_cookie_comes_back() {
    let own = Listener::new(&answer("200 OK", "set-cookie: a=b\r\n", "ok")).await;
    let door = egress(options(&[own.url()], &[]), Lies::new(&[&[]]));
    for _ in 0..2 {
        door.send(EgressRequest::get(own.url(), 1024)).await.unwrap();
    }
    let heads = own.heads();
    assert_eq!((heads.len(), own.count()), (2, 2), "and each request has its own connection");
    assert!(heads.iter().all(|head| !head.to_lowercase().contains("cookie:")), "{heads:?}");
}

#[tokio::test]
async fn answers_are_bounded_in_bytes_and_time() {
    let large = Listener::new(&answer("200 OK", "", &"x".repeat(2048))).await;
    let hole = Listener::new("").await;
    let bounds = EgressOptions {
        total_timeout: Duration::from_millis(300),
        ..options(&[large.url(), hole.url()], &[])
    };
    let door = egress(bounds, Lies::new(&[&[]]));
    let error = door.send(EgressRequest::get(large.url(), 2047)).await.unwrap_err();
    assert_eq!(error, EgressError::TooLarge);
    assert_eq!(door.send(EgressRequest::get(large.url(), 2048)).await.unwrap().body.len(), 2048);
    let begin = Instant::now();
    let error = door.send(EgressRequest::get(hole.url(), 10)).await.unwrap_err();
    assert_eq!(error, EgressError::Unreachable);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// The child of the next test: asks the address that it is given.
#[tokio::test]
async fn child_asks() {
    #[expect(clippy::disallowed_methods, reason = "the parent tells the child by its environment")]
    let address = std::env::var("TENANTPILOT_TEST_EGRESS");
    let Ok(address) = address else { return };
    let url: Url = address.parse().unwrap();
    let door = egress(options(std::slice::from_ref(&url), &[]), Lies::new(&[&[]]));
    assert_eq!(door.send(EgressRequest::get(url, 1024)).await.unwrap().body, b"mine");
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    let own = Listener::new(&answer("200 OK", "", "mine")).await;
    let trap = Listener::new(&answer("200 OK", "", "the proxy's")).await;
    let proxy = format!("http://{}", trap.address);
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "door::child_asks"]).env("TENANTPILOT_TEST_EGRESS", own.url().as_str());
    for variable in
        ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    {
        child.env(variable, &proxy);
    }
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((own.count(), trap.count()), (1, 0));
}
