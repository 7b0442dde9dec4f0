//! Reads the file and the environment into keys and texts. Values are judged elsewhere.

use std::path::PathBuf;

use super::keys::{self, Kind};
use super::{ConfigError, Given, Source, Sources};

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "tenantpilot.toml";

/// The keys of the file, in its order.
pub(super) fn file(sources: &Sources) -> Result<Vec<(String, Given)>, ConfigError> {
    let path = sources.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && sources.file.is_none() => {
            return Ok(Vec::new());
        }
        Err(error) => {
            return Err(ConfigError(format!(
                "cannot read the configuration file {}: {error}",
                path.display()
            )));
        }
    };
    parse_file(&text, &Source::File(path))
}

/// Reads the text of a file strictly: every key known, every value of its kind.
pub(super) fn parse_file(text: &str, source: &Source) -> Result<Vec<(String, Given)>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        ConfigError(format!("the {source} is not TOML: line {line}: {}", error.message()))
    })?;
    let mut values = Vec::new();
    flatten("", &table, source, &mut values)?;
    Ok(values)
}

fn flatten(
    prefix: &str,
    table: &toml::Table,
    source: &Source,
    values: &mut Vec<(String, Given)>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let given = match (keys::kind(&name), value) {
            (None, toml::Value::Table(inner)) if keys::is_section(&name) => {
                flatten(&name, inner, source, values)?;
                continue;
            }
            (None, _) => return Err(keys::unknown(&name, source)),
            (Some(Kind::Text), toml::Value::String(text)) => text.clone(),
            (Some(Kind::List), toml::Value::String(text)) => text.clone(),
            (Some(Kind::List), toml::Value::Array(all)) => {
                let words: Option<Vec<&str>> = all.iter().map(toml::Value::as_str).collect();
                words.ok_or_else(|| bad(&name, source))?.join(",")
            }
            (Some(Kind::Number), toml::Value::Integer(number)) => number.to_string(),
            (Some(Kind::Number), float @ toml::Value::Float(_)) => float.to_string(),
            (Some(_), _) => return Err(bad(&name, source)),
        };
        values.push((name, Given { value: given, source: source.clone() }));
    }
    Ok(())
}

/// The keys that variables of the environment set.
pub(super) fn environment(sources: &Sources) -> Result<Vec<(String, Given)>, ConfigError> {
    let mut values = Vec::new();
    for (variable, value) in &sources.environment {
        if let Some(name) = keys::of_variable(variable)? {
            let source = Source::Environment(variable.clone());
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(ConfigError(format!("the value of the {source} is not UTF-8")));
            }
            values.push((name, Given { value: value.clone(), source }));
        }
    }
    Ok(values)
}

/// The refusal of a value: names the key, where it came from, and what is allowed. Not the value
/// itself, which may hold a password.
pub(super) fn bad(name: &str, source: &Source) -> ConfigError {
    ConfigError(format!(
        "bad value for {name} (from the {source}); allowed: {}",
        keys::allowed(name)
    ))
}
