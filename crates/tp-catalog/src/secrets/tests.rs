use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use tp_domain::json;
use tp_domain::policy::PolicyType;

use super::*;
use crate::fields::Secret;
use crate::pattern::Pattern;
use crate::registry::Catalog;

fn contract(catalog: &Catalog, key: &str) -> Contract {
    catalog.contract(&PolicyType::new(key).unwrap()).unwrap().clone()
}

/// Redacts with a fingerprint that only the test can read.
fn redacted(contract: &Contract, object: &mut Json) -> Redactions {
    let seen = RefCell::new(0);
    redact(contract, object, &|_| {
        *seen.borrow_mut() += 1;
        format!("fingerprint-{}", seen.borrow())
    })
}

/// Puts `value` where the rule says that a secret stands, with what must stand beside it.
fn plant(secret: &Secret, value: &str) -> Json {
    let mut object = Json::Object(Object::new());
    if let Some(name) = secret.when.types.first() {
        let name = format!("#microsoft.graph.{name}");
        object.as_object_mut().unwrap().insert("@odata.type", Json::from(name));
    }
    let steps: Vec<&str> = secret.at.as_str().split('/').skip(1).collect();
    let mut inner = Object::new();
    let (last, holders) = steps.split_last().unwrap();
    inner.insert(*last, Json::from(value));
    if let Some(beside) = &secret.when.beside {
        inner.insert(beside.member.as_str(), beside.equals.clone());
    }
    let mut at = Json::Object(inner);
    for step in holders.iter().rev() {
        at = match *step {
            "*" => Json::Array(vec![at]),
            // Some levels, as settings have them.
            "**" => json!([{"settingInstance": {"children": [at]}}]),
            name => Json::Object([(name.into(), at)].into_iter().collect()),
        };
    }
    let Json::Object(at) = at else { panic!("{} begins with a wildcard", secret.at) };
    object.as_object_mut().unwrap().extend(at);
    object
}

/// Every secret of every contract, with a planted value in its place: what must go is gone, what is
/// restricted is listed.
#[test]
fn every_secret_of_the_registry_is_found() {
    let catalog = Catalog::builtin().unwrap();
    let (mut redacts, mut restricts, mut types) = (0, 0, 0);
    for (_, contract) in catalog.iter() {
        types += usize::from(!contract.secrets.is_empty());
        for secret in &contract.secrets {
            let planted = "PLANTED-5f2c-canary";
            let mut object = plant(secret, planted);
            let before = object.clone();
            let found = redacted(contract, &mut object);
            let name = format!("{} {}", contract.key, secret.at);
            match secret.handling {
                Handling::Redact => {
                    redacts += 1;
                    assert!(!object.to_string().contains(planted), "{name}");
                    assert_eq!(found.taken.len(), 1, "{name}");
                    let taken = &found.taken[0];
                    assert_eq!((taken.by, taken.reads_as), (FoundBy::Contract, secret.reads_as));
                    assert_eq!(before.pointer(&taken.pointer).unwrap(), &planted, "{name}");
                    let marker = json!({MARKER: "fingerprint-1"});
                    assert_eq!(object.pointer(&taken.pointer), Some(&marker), "{name}");
                }
                Handling::Restrict => {
                    restricts += 1;
                    assert!(object == before, "{name}: it is kept");
                    assert_eq!(found.restricted.len(), 1, "{name}");
                    assert_eq!(before.pointer(&found.restricted[0]).unwrap(), &planted, "{name}");
                }
            }
        }
    }
    println!("{redacts} places to redact and {restricts} to restrict, in {types} types");
    assert_eq!((redacts, restricts, types), (20, 20, 26));
}

#[test]
fn names_tell_secrets_that_no_contract_knows() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "deviceConfiguration");
    let mut object = json!({
        "@odata.type": "#microsoft.graph.windows10GeneralConfiguration",
        "minimumPasswordLength": 8,
        "passwordRequiredType": "alphanumeric",
        "recoveryPassword": true,
        "proxy": {"clientSecret": "s1", "address": "a", "a/b~c": {"apiKey": ["k1", ""]}},
        "omaSettings": [
            {"omaUri": "./Vendor/MSFT/WiFi/Profile/PreSharedKey", "value": "s2"},
            {"omaUri": "./Vendor/MSFT/Policy/Config/Camera/AllowCamera", "value": "1"},
        ],
        "wifiPassword": "****",
        "vpnPassword": null,
        "token": "",
    });
    let found = redacted(&contract, &mut object);
    let places: Vec<_> =
        found.taken.iter().map(|one| (one.pointer.as_str(), one.reads_as)).collect();
    assert_eq!(
        places,
        [
            ("/omaSettings/0/value", ReadsAs::Clear),
            ("/proxy/a~1b~0c/apiKey", ReadsAs::Clear),
            ("/proxy/clientSecret", ReadsAs::Clear),
            ("/wifiPassword", ReadsAs::Masked),
        ]
    );
    assert!(found.taken.iter().all(|one| one.by == FoundBy::Name));
    let shown = object.to_string();
    assert!(shown.contains("\"minimumPasswordLength\":8") && shown.contains("alphanumeric"));
    for secret in ["s1", "s2", "k1"] {
        assert!(!shown.contains(&format!("\"{secret}\"")), "{secret} in {shown}");
    }
}

#[test]
fn the_contract_goes_before_the_name_and_the_outer_place_before_the_inner() {
    let catalog = Catalog::builtin().unwrap();
    let mut contract = contract(&catalog, "vppToken");
    let mut object = json!({"token": "t", "outer": {"password": "p", "x": 1}});
    let found = redacted(&contract, &mut object);
    assert_eq!((found.taken[1].by, found.taken[1].reads_as), (FoundBy::Contract, ReadsAs::Masked));
    assert_eq!(found.taken[0].pointer, "/outer/password");
    contract.secrets[0].at = Pattern::new("/outer").unwrap();
    let mut object = json!({"outer": {"password": "p"}, "outer-x": {"password": "p"}});
    let found = redacted(&contract, &mut object);
    let places: Vec<_> = found.taken.iter().map(|one| one.pointer.as_str()).collect();
    assert_eq!(places, ["/outer", "/outer-x/password"]);
}

#[test]
fn what_looks_like_a_marker_is_taken_for_a_secret() {
    let catalog = Catalog::builtin().unwrap();
    let contract = contract(&catalog, "settingsCatalogPolicy");
    let mut object = json!({"name": "A", "description": {MARKER: "forged", "more": "x"}});
    let found = redacted(&contract, &mut object);
    assert_eq!(found.taken.len(), 1);
    assert_eq!(
        (found.taken[0].by, found.taken[0].pointer.as_str()),
        (FoundBy::Marker, "/description")
    );
    assert_eq!(object, json!({"name": "A", "description": {MARKER: "fingerprint-1"}}));
    // The same for the object as a whole.
    let mut object = json!({MARKER: "forged"});
    assert_eq!(redacted(&contract, &mut object).taken[0].pointer, "");
}

/// Where the corpus is; a test without it says so and passes.
fn corpus() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/graph/corpus");
    let folder =
        std::env::var_os("TENANTPILOT_TEST_CORPUS").map_or_else(|| beside.into(), PathBuf::from);
    if folder.join("index.json").exists() {
        return Some(folder);
    }
    println!("skipped: no corpus");
    None
}

/// What is taken out of real policies, by type and place: a name rule that hides settings would show here.
#[test]
fn of_real_policies_only_secrets_are_taken() {
    let Some(corpus) = corpus() else { return };
    let catalog = Catalog::builtin().unwrap();
    let index = Json::parse(&std::fs::read(corpus.join("index.json")).unwrap()).unwrap();
    let mut places = BTreeMap::<String, usize>::new();
    let mut read = 0;
    for entry in index.as_array().unwrap() {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let key = PolicyType::new(text("type")).unwrap();
        let Some(contract) = catalog.contract(&key) else { continue };
        let bytes = std::fs::read(corpus.join(text("file"))).unwrap();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let Ok(mut object) = Json::parse(bytes) else { continue };
        read += 1;
        for taken in redacted(contract, &mut object).taken {
            let steps = taken.pointer.split('/').skip(1);
            let plain: Vec<_> =
                steps.map(|step| if step.parse::<u32>().is_ok() { "*" } else { step }).collect();
            let by = if taken.by == FoundBy::Contract { "contract" } else { "name" };
            *places.entry(format!("{} /{} by {by}", contract.key, plain.join("/"))).or_default() +=
                1;
        }
    }
    let lines = places.iter().map(|(place, count)| format!("{count} {place}\n"));
    let list = lines.collect::<Vec<_>>().concat();
    println!("{read} objects read");
    assert!(read > 1_300, "{read}");
    assert_eq!(
        list,
        include_str!("../../tests/golden/corpus-redactions.txt"),
        "redactions:\n{list}"
    );
}
