//! Bad input: a clear error that names what is allowed, and nothing written.

use crate::process::{Installation, run};

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn a_wrong_configuration_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = pair("TENANTPILOT_DATA_DIR", &folder.path().join("data").display().to_string());
    let cases = [
        (pair("TENANTPILOT_LISTN", "x"), "Did you mean TENANTPILOT_LISTEN?"),
        (pair("TENANTPILOT_DATABASE_URL", "mysql://u:hunter2@h/d"), "postgres://USER"),
        (pair("TENANTPILOT_LOG__LEVEL", "loud"), "error, warn, info, debug or trace"),
        (pair("TENANTPILOT_PUBLIC_URL", "http://tp.example"), "plain http"),
    ];
    for (variable, words) in cases {
        let refused = run(&["serve"], &[data.clone(), variable], "");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("hunter2"));
    }
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "[worker]\nconcurency = 3\n").unwrap();
    let path = file.display().to_string();
    let refused = run(&["--config", &path, "config", "check"], std::slice::from_ref(&data), "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("worker.concurency") && said.contains("worker.concurrency"), "{said}");
    assert!(!folder.path().join("data").exists(), "nothing was written");
}

#[tokio::test]
async fn an_unreachable_database_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = pair("TENANTPILOT_DATA_DIR", &folder.path().display().to_string());
    let url = pair("TENANTPILOT_DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/none");
    let refused = run(&["serve"], &[data, url], "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(said.contains("database"), "{said}");
    assert!(!said.contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verbs_have_their_exit_codes() {
    let mut installation = Installation::new(None, 0, None);
    let server = installation.serve(&["serve"]).await;
    installation.add_tenant().await;
    let url = installation.url();
    let with = |token: &str| {
        vec![
            pair("TENANTPILOT_SERVER", &url),
            pair("TENANTPILOT_TOKEN", token),
            pair("TENANTPILOT_TENANT", "contoso"),
        ]
    };
    let good = with(&installation.token);
    let code =
        |args: &[&str], environment: &[(String, String)]| run(args, environment, "").status.code();
    assert_eq!(code(&["run", "start", "inventory.sync", "--wait"], &good), Some(0));
    assert_eq!(code(&["run", "list"], &with("nonsense")), Some(4));
    assert_eq!(code(&["run", "view", "00000000-0000-7000-8000-000000000000"], &good), Some(6));
    assert_eq!(code(&["run", "start", "no.such"], &good), Some(2));
    let unknown = r#"{"types":["noSuchType"]}"#;
    assert_eq!(code(&["run", "start", "inventory.sync", "--inputs", unknown], &good), Some(2));
    assert_eq!(code(&["tenant", "list", "-o", "json"], &good), Some(0));
    assert_eq!(code(&["policy", "list", "--type", "noSuchType"], &good), Some(2));
    assert_eq!(code(&["run", "list", "--bogus"], &good), Some(2));
    let listed = run(&["tenant", "list", "-o", "name"], &good, "");
    assert_eq!(String::from_utf8(listed.stdout).unwrap(), "contoso\n");
    let again = run(
        &["admin", "bootstrap", "--workspace", "X", "--email", "a@b.example", "--password-stdin"],
        installation.environment(),
        "correct horse battery",
    );
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("another process"), "the SQLite file is in use: {said}");
    installation.stop_sim();
    let one = r#"{"types":["roleScopeTag"]}"#;
    let late = code(
        &["run", "start", "inventory.sync", "--inputs", one, "--wait", "--timeout", "1"],
        &good,
    );
    assert_eq!(late, Some(124), "the run goes on, the command does not");
    drop(server);
    assert_eq!(code(&["run", "list"], &good), Some(10));
}

#[test]
fn a_proxy_is_never_sent_the_token_for_a_loopback_server() {
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let proxy = format!("http://{}", trap.local_addr().unwrap());
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    // Nobody listens there any more: the command must say so, and ask nobody else.
    drop(server);
    let environment = [
        pair("TENANTPILOT_SERVER", &url),
        pair("TENANTPILOT_TOKEN", "tpat_secret"),
        pair("http_proxy", &proxy),
        pair("HTTP_PROXY", &proxy),
        pair("ALL_PROXY", &proxy),
    ];
    let refused = run(&["tenant", "list"], &environment, "");
    assert_eq!(refused.status.code(), Some(10));
    assert!(trap.accept().is_err(), "the proxy saw no connection");
}
