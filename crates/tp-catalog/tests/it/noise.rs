//! What Graph changes by itself between two readings of one state.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};
use tp_catalog::contract::Contract;
use tp_catalog::fields::{Encoding, When};
use tp_catalog::parts::{Order, PartOf};
use tp_catalog::pattern::{Down, Follow, Pattern, Spot};

/// The object with its assignments, as another reading might give it.
pub(crate) fn noisy(contract: &Contract, object: &Value) -> Value {
    let mut noisy = object.clone();
    technical(contract, &mut noisy);
    encodings(contract, &mut noisy);
    sets(contract, &mut noisy);
    spelling(&mut noisy);
    noisy
}

/// Technical members have other values.
fn technical(contract: &Contract, object: &mut Value) {
    let mut patterns: Vec<Pattern> = contract.ignore_in_diff.clone();
    if let Some(assignments) = &contract.assignments {
        let each = Pattern::new("/assignments/*").unwrap();
        patterns.extend(
            assignments
                .strip
                .iter()
                .chain(&assignments.not_compared)
                .map(|stripped| each.below(stripped.as_str()).unwrap()),
        );
    }
    for pattern in patterns {
        for place in find(&pattern, object) {
            let value = object.pointer_mut(&place).unwrap();
            *value = match value.take() {
                Value::Null => json!("set by the service"),
                Value::Bool(value) => json!(!value),
                Value::Number(number) => json!(number.as_f64().unwrap() + 1.0),
                Value::String(text) => json!(format!("{text} (later)")),
                Value::Array(_) => json!(["another"]),
                Value::Object(_) => json!({"another": 1}),
            };
        }
        // A member that was not there before.
        if let Some(name) =
            pattern.as_str().strip_prefix('/').filter(|name| !name.contains(['/', '*']))
        {
            let members = object.as_object_mut().unwrap();
            members.entry(name.to_owned()).or_insert(json!("new in this version"));
        }
    }
}

/// Base64 has line breaks, JSON in texts has spaces.
fn encodings(contract: &Contract, object: &mut Value) {
    for encoded in &contract.encoded {
        for place in find(&encoded.at, object) {
            if !holds(&encoded.when, object, &place) {
                continue;
            }
            let Some(Value::String(text)) = object.pointer_mut(&place) else { continue };
            let pretty = |text: &str| -> Option<String> {
                let value: Value = serde_json::from_str(text).ok()?;
                serde_json::to_string_pretty(&value).ok()
            };
            match encoded.encoding {
                Encoding::Json => *text = pretty(text).unwrap_or_else(|| text.clone()),
                Encoding::Base64Json => {
                    let decoded = STANDARD.decode(&*text).ok();
                    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
                    if let Some(pretty) = decoded.and_then(|text| pretty(&text)) {
                        *text = STANDARD.encode(pretty);
                    }
                }
                Encoding::Base64Text | Encoding::Base64Bytes => {
                    if STANDARD.decode(&*text).is_ok() {
                        let letters: Vec<char> = text.chars().collect();
                        let lines: Vec<String> =
                            letters.chunks(64).map(|line| line.iter().collect()).collect();
                        *text = lines.join("\r\n");
                    }
                }
            }
        }
    }
}

/// Sets come in another order.
fn sets(contract: &Contract, object: &mut Value) {
    let mut patterns: Vec<Pattern> = contract.sets.iter().map(|set| set.at.clone()).collect();
    patterns.push(Pattern::new("/roleScopeTagIds").unwrap());
    patterns.push(Pattern::new("/assignments").unwrap());
    for part in &contract.subresources {
        if part.part == PartOf::Payload && part.order == Order::Set {
            let tail = format!("/{}", part.put_at);
            let each = part.read.sub_path.as_ref().and_then(|path| path.each.as_ref());
            patterns.push(
                each.map_or_else(
                    || Pattern::new(&tail).unwrap(),
                    |each| each.below(&tail).unwrap(),
                ),
            );
        }
    }
    // Inner sets first: turning an outer one around moves them.
    let mut places: Vec<String> =
        patterns.iter().flat_map(|pattern| find(pattern, object)).collect();
    places.sort();
    places.dedup();
    places.sort_by_key(|place| std::cmp::Reverse(place.matches('/').count()));
    for place in places {
        if let Some(Value::Array(elements)) = object.pointer_mut(&place) {
            elements.reverse();
            if elements.len() > 2 {
                elements.rotate_left(1);
            }
        }
    }
}

/// Members in another order, annotations, null and absent, other spellings.
fn spelling(value: &mut Value) {
    match value {
        // A marker is no object of Graph's.
        Value::Object(members) if members.contains_key("@tenantpilot.redacted") => {}
        Value::Object(members) => {
            let mut turned = Map::new();
            turned.insert("@odata.etag".to_owned(), json!("W/\"later\""));
            turned.insert("#microsoft.graph.assign".to_owned(), json!({"title": "assign"}));
            for (name, mut member) in std::mem::take(members).into_iter().rev() {
                let is_empty = member.as_array().is_some_and(Vec::is_empty);
                if member.is_null() || name == "assignments" && is_empty {
                    // The list of assignments is a part of its own: not there is not read.
                    if !member.is_null() {
                        turned.insert(name, member);
                    }
                    continue;
                }
                turned.insert(format!("{name}@odata.context"), json!("https://graph.example/x"));
                if is_empty {
                    turned.insert(name, Value::Null);
                    continue;
                }
                spelling(&mut member);
                turned.insert(name, member);
            }
            turned.insert("notThereBefore".to_owned(), Value::Null);
            turned.insert("emptyBefore".to_owned(), json!([]));
            *members = turned;
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(spelling);
        }
        Value::Number(number) => {
            // Up to 2^53 the number is the same.
            if let Some(small) = number.as_i64().filter(|n| n.unsigned_abs() < (1 << 53)) {
                #[expect(clippy::cast_precision_loss, reason = "it is below 2^53")]
                let float = Number::from_f64(small as f64).unwrap();
                *number = float;
            }
        }
        Value::String(text) => {
            let is_guid = text.len() == 36 && text.matches('-').count() == 4;
            let is_hex = text.chars().all(|one| one.is_ascii_hexdigit() || one == '-');
            if is_guid && is_hex {
                *text = text.to_ascii_uppercase();
            } else if text.len() == 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T' {
                *text = text.replace('Z', ".0000000Z");
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// The places that a pattern means.
fn find(pattern: &Pattern, value: &Value) -> Vec<String> {
    let follow = Follow::new(vec![pattern.clone()]);
    let mut found = Vec::new();
    look(&follow, follow.start(), value, String::new(), &mut found);
    found
}

fn look(follow: &Follow, spot: Spot, value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let step = name.replace('~', "~0").replace('/', "~1");
                let below = follow.down(spot, Down::Member(name));
                look(follow, below, member, format!("{pointer}/{step}"), found);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let below = follow.down(spot, Down::Element);
                look(follow, below, element, format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
    if !follow.met(spot).is_empty() {
        found.push(pointer);
    }
}

fn holds(when: &When, object: &Value, place: &str) -> bool {
    let odata_type = object["@odata.type"].as_str().unwrap_or_default();
    let name = odata_type.rsplit('.').next().unwrap();
    let holder = object.pointer(place.rsplit_once('/').unwrap().0).unwrap();
    (when.types.is_empty() || when.types.iter().any(|one| one == name))
        && when.beside.as_ref().is_none_or(|beside| {
            holder[&beside.member] == serde_json::to_value(&beside.equals).unwrap()
        })
}
