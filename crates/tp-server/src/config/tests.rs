use super::*;

fn load(environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, String> {
    let own = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    let sources = Sources {
        file: None,
        environment: own(environment),
        flags: flags.iter().map(|(a, b)| (*a, (*b).to_owned())).collect(),
    };
    Config::load(&sources).map_err(|error| error.to_string())
}

#[test]
fn flags_win_over_environment_over_defaults() {
    let config = load(&[("TENANTPILOT_LISTEN", "127.0.0.1:9000")], &[]).unwrap();
    assert_eq!(config.listen.port(), 9000);
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:9000/");
    let both =
        [("TENANTPILOT_LISTEN", "127.0.0.1:9000"), ("PATH", "x"), ("TENANTPILOT_TOKEN", "t")];
    let config = load(&both, &[("listen", "127.0.0.1:9001")]).unwrap();
    assert_eq!(config.listen.port(), 9001);
    assert_eq!(config.worker.concurrency, 8);
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case<'_>; 7] = [
        (
            &[("TENANTPILOT_LISTNE", "x")],
            &["TENANTPILOT_LISTNE", "Did you mean TENANTPILOT_LISTEN?"],
        ),
        (&[("TENANTPILOT_LISTEN", "nowhere")], &["listen", "environment", "ADDRESS:PORT"]),
        (
            &[("TENANTPILOT_DATABASE_URL", "mysql://u:hunter2@h/d")],
            &["database.url", "postgres://"],
        ),
        (&[("TENANTPILOT_WORKER__CONCURRENCY", "0")], &["worker.concurrency", "1 to 256"]),
        (
            &[("TENANTPILOT_WORKER__HEARTBEAT_SECONDS", "20")],
            &["worker.heartbeat_seconds", "a third"],
        ),
        (&[("TENANTPILOT_PUBLIC_URL", "http://tp.example")], &["public_url", "plain http"]),
        (
            &[("TENANTPILOT_CLOUDS__SIM__GRAPH_URL", "http://127.0.0.1:1")],
            &["clouds.sim.login_url"],
        ),
    ];
    for (environment, words) in cases {
        let error = load(environment, &[]).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{environment:?}: {error}");
        }
        assert!(!error.contains("hunter2"), "a password is not echoed: {error}");
    }
}

#[test]
fn a_file_is_read_strictly() {
    assert_eq!(parse_file("listen = \"x\"\n[worker]\npoll_ms = 7").unwrap().len(), 2);
    assert!(parse_file("listen = [1]").unwrap_err().contains("listen"));
    assert!(parse_file("= broken").unwrap_err().contains("not TOML"));
    assert!(
        known("worker.pol_ms", Source::File).unwrap_err().to_string().contains("worker.poll_ms")
    );
    assert!(known("clouds.sim.graph_url", Source::File).is_ok());
    assert!(known("clouds.sim.other", Source::File).is_err());
}

#[test]
fn the_example_file_names_every_key_with_its_default() {
    let text = include_str!("../../../../config/tenantpilot.example.toml");
    let commented: String = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    let values: BTreeMap<String, String> = parse_file(&commented).unwrap().into_iter().collect();
    for key in KEYS {
        let value = values.get(key.name);
        assert!(value.is_some(), "{} is not in the example", key.name);
        if !key.default.is_empty() {
            assert_eq!(value.map(String::as_str), Some(key.default), "{}", key.name);
        }
    }
    assert!(parse_file(text).unwrap().is_empty(), "the example changes nothing as it is");
}

#[test]
fn a_password_is_masked() {
    let secret = "postgres://tp:hunter2@db.example/tp";
    let config = load(&[("TENANTPILOT_DATABASE_URL", secret)], &[]).unwrap();
    let shown = format!("{:?} {config:?}", config.shown());
    assert!(shown.contains("***"));
    assert!(!format!("{:?}", config.shown()).contains("hunter2"));
}
