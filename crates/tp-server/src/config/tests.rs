use super::keys::KEYS;
use super::sources::parse_file;
use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn load_all(
    file: Option<&str>,
    environment: Pairs<'_>,
    flags: &[(&'static str, &str)],
) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let sources = Sources {
        file: file.map(|_| path),
        environment: environment.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        flags: flags.iter().map(|(a, b)| (*a, (*b).to_owned())).collect(),
    };
    Config::load(&sources).map_err(|error| error.to_string())
}

fn load(environment: Pairs<'_>) -> Result<Config, String> {
    load_all(None, environment, &[])
}

fn shown<'c>(config: &'c Config, name: &str) -> (&'c str, &'c str) {
    let entry = config.shown().iter().find(|(own, _, _)| own == name).unwrap();
    (&entry.1, &entry.2)
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let file = "listen = \"127.0.0.1:9001\"\n[worker]\nconcurrency = 3\nper_tenant = 5\n";
    let environment =
        [("TENANTPILOT_LISTEN", "127.0.0.1:9002"), ("TENANTPILOT_WORKER__CONCURRENCY", "4")];
    let config = load_all(Some(file), &environment, &[("listen", "127.0.0.1:9003")]).unwrap();
    assert_eq!(config.listen.port(), 9003);
    assert_eq!(config.public_url.as_str(), "http://127.0.0.1:9003/");
    let worker = config.worker;
    assert_eq!((worker.concurrency, worker.per_tenant, worker.poll.as_millis()), (4, 5, 500));
    assert_eq!(shown(&config, "listen"), ("\"127.0.0.1:9003\"", "command line"));
    let (value, source) = shown(&config, "worker.concurrency");
    assert_eq!((value, source), ("4", "environment variable TENANTPILOT_WORKER__CONCURRENCY"));
    assert!(shown(&config, "worker.per_tenant").1.ends_with("own.toml"));
    assert_eq!(shown(&config, "worker.poll_ms"), ("500", "default"));
}

#[test]
fn what_depends_on_another_key_is_shown_as_it_is_used() {
    let config = load(&[("TENANTPILOT_DATA_DIR", "/srv/tp")]).unwrap();
    assert_eq!(config.keys_file, PathBuf::from("/srv/tp/keys.json"));
    assert_eq!(shown(&config, "keys.file").0, "\"/srv/tp/keys.json\"");
    assert_eq!(shown(&config, "database.url").0, "\"sqlite:/srv/tp/tenantpilot.db\"");
    assert_eq!(shown(&config, "public_url").0, "\"http://127.0.0.1:8080/\"");
}

#[test]
fn what_is_shown_can_be_used_as_a_file() {
    let environment = [
        ("TENANTPILOT_DATA_DIR", "a \"b\" \u{1b}[31m"),
        ("TENANTPILOT_CLOUDS__SIM__GRAPH_URL", "http://127.0.0.1:1"),
        ("TENANTPILOT_CLOUDS__SIM__LOGIN_URL", "http://127.0.0.1:2"),
    ];
    let config = load(&environment).unwrap();
    let lines: Vec<String> =
        config.shown().iter().map(|(name, value, _)| format!("{name} = {value}")).collect();
    let text = lines.join("\n");
    assert!(!text.contains('\u{1b}'), "{text}");
    let again = load_all(Some(&text), &[], &[]).unwrap();
    assert_eq!(again.data_dir, config.data_dir);
    assert_eq!(again.clouds, config.clouds);
    assert_eq!(again.shown().len(), config.shown().len());
}

#[test]
fn variables_of_others_are_left_alone() {
    let others = [
        ("PATH", "x"),
        ("TENANTPILOT_TOKEN", "t"),
        ("TENANTPILOT_TENANT", "contoso"),
        ("TENANTPILOT_SERVER", "x"),
        ("TENANTPILOT_TEST_POSTGRES", "x"),
        ("TENANTPILOT_TEST_KILLS", "x"),
    ];
    assert!(load(&others).is_ok());
}

#[test]
fn a_wrong_variable_is_named_with_what_is_allowed() {
    let sim = ("TENANTPILOT_CLOUDS__SIM__LOGIN_URL", "http://127.0.0.1:1");
    let cases: [(Pairs<'_>, &[&str]); 22] = [
        (&[("TENANTPILOT_LISTNE", "x")], &["TENANTPILOT_LISTNE", "mean TENANTPILOT_LISTEN?"]),
        (&[("TENANTPILOT_DATABASE__URL", "x")], &["Did you mean TENANTPILOT_DATABASE_URL?"]),
        (&[("TENANTPILOT_listen", "127.0.0.1:1")], &["unknown variable TENANTPILOT_listen"]),
        (&[("TENANTPILOT_CLOUDS__SIM__TOKEN", "x")], &["TENANTPILOT_CLOUDS__NAME__{GRAPH_URL"]),
        (&[("TENANTPILOT_LISTEN", "nowhere")], &["listen", "TENANTPILOT_LISTEN", "ADDRESS:PORT"]),
        (&[("TENANTPILOT_LISTEN", "")], &["listen", "ADDRESS:PORT"]),
        (&[("TENANTPILOT_DATA_DIR", "")], &["data_dir", "a folder"]),
        (&[("TENANTPILOT_DATA_DIR", "a\u{fffd}")], &["TENANTPILOT_DATA_DIR", "not UTF-8"]),
        (
            &[("TENANTPILOT_DATABASE_URL", "mysql://u:hunter2@h/d")],
            &["database.url", "postgres://"],
        ),
        (&[("TENANTPILOT_DATABASE_URL", "sqlite::memory:")], &["database.url", "sqlite:PATH"]),
        (&[("TENANTPILOT_WORKER__CONCURRENCY", "0")], &["worker.concurrency", "1 to 256"]),
        (&[("TENANTPILOT_WORKER__CONCURRENCY", "-1")], &["worker.concurrency", "1 to 256"]),
        (&[("TENANTPILOT_WORKER__HEARTBEAT_SECONDS", "20")], &["heartbeat_seconds", "a third"]),
        (&[("TENANTPILOT_LOG__LEVEL", "loud")], &["log.level", "debug or trace"]),
        (&[("TENANTPILOT_LISTEN", "0.0.0.0:8080")], &["plain http", "public_url"]),
        (&[("TENANTPILOT_PUBLIC_URL", "http://tp.example")], &["public_url", "plain http"]),
        (&[("TENANTPILOT_PUBLIC_URL", "ftp://127.0.0.1")], &["public_url", "https://HOST"]),
        (&[("TENANTPILOT_PUBLIC_URL", "https://a:hunter2@b")], &["public_url", "without user"]),
        (&[("TENANTPILOT_PUBLIC_URL", "https://tp.example/x")], &["public_url", "path"]),
        (&[sim], &["clouds.sim.graph_url"]),
        (
            &[sim, ("TENANTPILOT_CLOUDS__SIM__GRAPH_URL", "http://graph.example")],
            &["clouds.sim.graph_url", "TENANTPILOT_CLOUDS__SIM__GRAPH_URL", "loopback"],
        ),
        (
            &[
                ("TENANTPILOT_CLOUDS__GLOBAL__GRAPH_URL", "https://a.example"),
                ("TENANTPILOT_CLOUDS__GLOBAL__LOGIN_URL", "https://a.example"),
            ],
            &["clouds.global", "built in"],
        ),
    ];
    for (environment, words) in cases {
        let error = load(environment).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{environment:?}: {error}");
        }
        assert!(!error.contains("hunter2"), "a password is not echoed: {error}");
    }
}

#[test]
fn a_wrong_file_is_named_with_what_is_allowed() {
    let cases: [(&str, &[&str]); 13] = [
        ("listne = 1", &["unknown key listne", "own.toml", "Did you mean listen?"]),
        ("[worker]\npol_ms = 7", &["worker.pol_ms", "Did you mean worker.poll_ms?"]),
        ("[wroker]", &["unknown key wroker"]),
        ("worker = 3", &["unknown key worker "]),
        ("[listen]\nport = 3", &["bad value for listen", "ADDRESS:PORT"]),
        ("listen = [1]", &["bad value for listen"]),
        ("data_dir = true", &["data_dir", "a folder"]),
        ("[worker]\npoll_ms = \"7\"", &["worker.poll_ms", "10 to 60000"]),
        ("[worker]\npoll_ms = 7.5", &["worker.poll_ms", "10 to 60000"]),
        ("[clouds.sim]\nother = \"x\"", &["clouds.sim.other", "clouds.NAME.{graph_url"]),
        ("[clouds.\"a.b\"]\ngraph_url = \"x\"", &["unknown key clouds.a.b"]),
        ("listen = \"127.0.0.1:1\"\nlisten = \"x\"", &["not TOML", "line 2"]),
        ("[database]\nurl = \"mysql://u:hunter2@h/d\"", &["database.url", "own.toml"]),
    ];
    for (text, words) in cases {
        let error = load_all(Some(text), &[], &[]).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{text:?}: {error}");
        }
        assert!(!error.contains("hunter2"), "a password is not echoed: {error}");
    }
    let sources = Sources { file: Some("no/such.toml".into()), ..Sources::default() };
    let error = Config::load(&sources).unwrap_err().to_string();
    assert!(error.contains("no/such.toml"), "{error}");
}

#[test]
fn the_example_names_every_key_with_its_default_and_a_reason() {
    let text = include_str!("../../../../config/tenantpilot.example.toml");
    let source = Source::File("example".into());
    assert!(parse_file(text, &source).unwrap().is_empty(), "it changes nothing as it is");
    let in_use: String = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    let values = parse_file(&in_use, &source).unwrap();
    for key in KEYS {
        let value = values.iter().find(|(name, _)| name == key.name);
        let value = value.map(|(_, given)| given.value.as_str());
        assert!(value.is_some(), "{} is not in the example", key.name);
        if !key.default.is_empty() {
            assert_eq!(value, Some(key.default), "{}", key.name);
        }
    }
    assert!(load_all(Some(&in_use), &[], &[]).is_ok(), "every value of it is allowed");
    // A key stands below a sentence that says what it is for.
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].starts_with("#: ") && pair[1].contains('='))
    {
        let is_reason = pair[0].starts_with("# ");
        assert!(is_reason || pair[0].starts_with("#: graph_url"), "{}", pair[1]);
    }
}

#[test]
fn the_defaults_are_those_of_the_engine_and_the_graph_client() {
    let config = load(&[]).unwrap();
    let (own, engine) = (config.worker, tp_engine::worker::WorkerOptions::default());
    assert_eq!(format!("{own:?}"), format!("{engine:?}"));
    assert_eq!(config.max_in_flight, tp_graph::GraphOptions::default().max_in_flight);
}

#[test]
fn a_password_is_masked_wherever_it_stands() {
    for secret in [
        "postgres://tp:hunter2@db.example/tp",
        "postgres://tp@db.example/tp?password=hunter2&sslmode=require",
        "postgres://tp:hunter2@db.example/tp?options=-c%20x%3Dhunter2",
    ] {
        let config = load(&[("TENANTPILOT_DATABASE_URL", secret)]).unwrap();
        let (value, _) = shown(&config, "database.url");
        assert!(value.contains("***") && value.contains("db.example"), "{value}");
        let all = format!("{:?} {config:?}", config.shown());
        assert!(!all.contains("hunter2"), "{all}");
    }
}

const ISSUER: (&str, &str) =
    ("TENANTPILOT_OIDC__ISSUER", "https://login.example/organizations/v2.0");
const TENANT: &str = "11111111-2222-3333-4444-555555555555";

#[test]
fn half_a_provider_is_a_mistake() {
    let app = ("TENANTPILOT_OIDC__CLIENT_ID", "app");
    let tenants = ("TENANTPILOT_OIDC__ALLOWED_TENANTS", TENANT);
    let cases: [(Pairs<'_>, &[&str]); 10] = [
        (&[app], &["oidc.client_id", "oidc.issuer"]),
        (&[("TENANTPILOT_OIDC__CLIENT_SECRET_FILE", "x")], &["client_secret_file", "oidc.issuer"]),
        (&[ISSUER, tenants], &["oidc.client_id"]),
        (&[ISSUER, app], &["oidc.issuer", "oidc.allowed_tenants", "every tenant in the world"]),
        (&[ISSUER, app, ("TENANTPILOT_OIDC__ALLOWED_TENANTS", "contoso")], &["allowed_tenants"]),
        (
            &[("TENANTPILOT_OIDC__ISSUER", "http://login.example"), app],
            &["oidc.issuer", "https://"],
        ),
        (
            &[("TENANTPILOT_OIDC__ISSUER", "https://login.example"), app, tenants],
            &["allowed_tenants"],
        ),
        (&[("TENANTPILOT_EGRESS__ALLOW_PRIVATE", "https://a.example")], &["egress.allow_private"]),
        (&[("TENANTPILOT_OIDC__CLIENT_SECRET", "hunter2")], &["OIDC__CLIENT_SECRET_FILE"]),
        (&[ISSUER, app, tenants, ("TENANTPILOT_OIDC__NAME", "a\nb")], &["oidc.name"]),
    ];
    for (environment, words) in cases {
        let error = load(environment).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{environment:?}: {error}");
        }
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_secret_of_the_app_is_in_a_file_of_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let text = format!(
        "[oidc]\nissuer = \"{}\"\nclient_id = \"app\"\nallowed_tenants = [\"{TENANT}\"]\nclient_secret_file = \"{}\"\n",
        ISSUER.1,
        file.display()
    );
    let config = load_all(Some(&text), &[], &[]).unwrap();
    let oidc = config.oidc.as_ref().unwrap();
    let missing = oidc.settings().unwrap_err().to_string();
    assert!(missing.contains("client_secret_file") && missing.contains("secret"), "{missing}");
    for bad in ["", "\n", "two\nlines", "hunter2\u{e9}"] {
        std::fs::write(&file, bad).unwrap();
        let error = oidc.settings().unwrap_err().to_string();
        assert!(error.contains("in one line") && !error.contains("hunter2"), "{error}");
    }
    std::fs::write(&file, "hunter2\n").unwrap();
    let settings = oidc.settings().unwrap();
    assert!(!format!("{settings:?} {config:?} {:?}", config.shown()).contains("hunter2"));
    let broken = load_all(Some("[oidc]\nallowed_tenants = [1]"), &[], &[]).unwrap_err();
    assert!(broken.contains("allowed_tenants"), "{broken}");
}
