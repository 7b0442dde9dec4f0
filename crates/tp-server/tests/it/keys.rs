//! `tenantpilot keys` and what `doctor` says of the payload store.

use std::path::Path;

use serde_json::Value;

use crate::process::run;

/// An installation on SQLite with a workspace, without a server.
struct Place {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data").display().to_string();
        let place =
            Self { folder, environment: vec![("TENANTPILOT_DATA_DIR".to_owned(), data_dir)] };
        let args = ["admin", "bootstrap", "--workspace", "W", "--email", "o@example.com"];
        let args = [args.as_slice(), &["--password-stdin"]].concat();
        let made = run(&args, &place.environment, "a long enough password");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        place
    }

    fn keys_file(&self) -> std::path::PathBuf {
        self.folder.path().join("data/keys.json")
    }

    /// What the command says on standard output and standard error, and whether it went well.
    fn says(&self, args: &[&str]) -> (String, String, bool) {
        let done = run(args, &self.environment, "");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&done.stdout), text(&done.stderr), done.status.success())
    }
}

fn secrets_of(file: &Path) -> Vec<String> {
    let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let keys = file["keys"].as_array().unwrap();
    keys.iter().map(|key| key["key"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_master_key_is_listed_rotated_and_forgotten_and_never_printed() {
    let place = Place::new();
    let listed = || -> Vec<Value> {
        let (out, err, good) = place.says(&["keys", "list", "-o", "json"]);
        assert!(good, "{err}");
        serde_json::from_str(&out).unwrap()
    };
    let first = listed();
    assert_eq!((first.len(), &first[0]["active"]), (1, &Value::Bool(true)));
    let old = first[0]["id"].as_str().unwrap().to_owned();
    let (new, talk, good) = place.says(&["keys", "rotate"]);
    assert!(good, "{talk}");
    let both = listed();
    assert_eq!((both.len(), both[1]["id"].as_str()), (2, Some(new.trim())));
    assert_eq!((&both[0]["active"], &both[1]["active"]), (&Value::Bool(false), &Value::Bool(true)));
    let (_, refused, good) = place.says(&["keys", "forget", new.trim()]);
    assert!(!good && refused.contains("make another one active first"), "{refused}");
    let secrets = secrets_of(&place.keys_file());
    assert_eq!(secrets.len(), 2, "the control: they are in the file");
    let (_, talk, good) = place.says(&["keys", "forget", &old]);
    assert!(good, "{talk}");
    let left = listed();
    assert_eq!((left.len(), left[0]["id"].as_str()), (1, Some(new.trim())));
    let all = format!("{first:?} {both:?} {left:?} {new} {talk} {refused}");
    assert!(secrets.iter().all(|secret| !all.contains(secret)), "a key was printed");
}

#[test]
fn doctor_tries_the_payload_store_out() {
    let mut place = Place::new();
    let check = |place: &Place| -> Value {
        let (out, _, _) = place.says(&["doctor", "-o", "json"]);
        let checks: Vec<Value> = serde_json::from_str(&out).unwrap();
        checks.into_iter().find(|check| check["check"] == "payload store").unwrap()
    };
    let good = check(&place);
    assert_eq!(good["good"], true, "{good}");
    let payloads = place.folder.path().join("data/payloads");
    assert_eq!(std::fs::read_dir(payloads.join("probe")).unwrap().count(), 0, "nothing is left");
    // A file where the folder should be.
    std::fs::write(place.folder.path().join("file"), "").unwrap();
    let broken = format!("file://{}", place.folder.path().join("file/payloads").display());
    place.environment.push(("TENANTPILOT_PAYLOADS_URL".to_owned(), broken));
    let bad = check(&place);
    assert_eq!(bad["good"], false, "{bad}");
    let url = "ftp://somewhere".to_owned();
    place.environment.push(("TENANTPILOT_PAYLOADS_URL".to_owned(), url));
    let (_, refused, good) = place.says(&["doctor"]);
    assert!(!good && refused.contains("bad value for payloads.url"), "{refused}");
}
