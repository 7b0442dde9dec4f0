//! What properties each entity has: the simulator's own data, `data/properties.json`, drawn from the
//! published metadata of Graph.
//!
//! A property stands as `name=flags`: `*` a collection, then `b` boolean, `n` number, `s` text, `e`
//! a word of an enumeration, `o` an object; `!` never null, `R` read-only, `N` navigation.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

const PROPERTIES: &str = include_str!("../data/properties.json");

#[derive(Deserialize)]
struct Row {
    base: Option<String>,
    properties: String,
}

/// What may stand in one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts of a property, one by one")]
pub(crate) struct Property {
    pub(crate) is_collection: bool,
    pub(crate) kind: Kind,
    pub(crate) is_nullable: bool,
    pub(crate) is_read_only: bool,
    pub(crate) is_navigation: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Number,
    Text,
    Word,
    Object,
}

impl Property {
    fn read(flags: &str) -> Self {
        let kind = match flags.trim_start_matches('*').chars().next() {
            Some('b') => Kind::Boolean,
            Some('n') => Kind::Number,
            Some('s') => Kind::Text,
            Some('e') => Kind::Word,
            _ => Kind::Object,
        };
        Self {
            is_collection: flags.starts_with('*'),
            kind,
            is_nullable: !flags.contains('!'),
            is_read_only: flags.contains('R'),
            is_navigation: flags.contains('N'),
        }
    }

    /// Whether a value is of the property's kind. Flag enumerations come as one text or as a list.
    pub(crate) fn takes(self, value: &Value) -> bool {
        let one = |value: &Value| match self.kind {
            Kind::Boolean => value.is_boolean(),
            // Large numbers, NaN and the like stand as text.
            Kind::Number => value.is_number() || value.is_string(),
            Kind::Text => value.is_string(),
            Kind::Word => value.is_string(),
            Kind::Object => value.is_object() || value.is_null(),
        };
        match value {
            Value::Null => self.is_nullable || self.is_collection || self.kind == Kind::Object,
            Value::Array(values) => {
                (self.is_collection || self.kind == Kind::Word) && values.iter().all(one)
            }
            value => (!self.is_collection || self.kind == Kind::Word) && one(value),
        }
    }
}

/// All entities with their properties.
#[derive(Debug)]
pub(crate) struct Schema(HashMap<String, HashMap<String, Property>>);

impl Schema {
    pub(crate) fn read() -> Result<Self, serde_json::Error> {
        let rows: HashMap<String, Row> = serde_json::from_str(PROPERTIES)?;
        let own = |row: &Row| {
            let pairs = row.properties.split(' ').filter_map(|pair| pair.split_once('='));
            pairs
                .map(|(name, flags)| (name.to_owned(), Property::read(flags)))
                .collect::<HashMap<_, _>>()
        };
        let of = |row: &Row| {
            let base = row.base.as_ref().and_then(|base| rows.get(base));
            let mut all = base.map(own).unwrap_or_default();
            all.extend(own(row));
            all
        };
        Ok(Self(rows.iter().map(|(name, row)| (name.clone(), of(row))).collect()))
    }

    /// The properties of an entity by its name without namespace.
    pub(crate) fn of(&self, entity: &str) -> Option<&HashMap<String, Property>> {
        self.0.get(entity)
    }

    pub(crate) fn property(&self, entity: &str, name: &str) -> Option<Property> {
        self.of(entity)?.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn derived_entities_have_the_properties_of_their_base() {
        let schema = Schema::read().unwrap();
        let version = schema.property("iosCompliancePolicy", "version").unwrap();
        assert!(
            version.takes(&json!(1))
                && !version.takes(&json!(null))
                && !version.takes(&json!(true))
        );
        let tags = schema.property("iosCompliancePolicy", "roleScopeTagIds").unwrap();
        assert!(tags.takes(&json!(["0"])) && !tags.takes(&json!("0")));
        assert!(schema.property("mobileApp", "isAssigned").unwrap().is_read_only);
        assert!(schema.property("winGetApp", "packageIdentifier").is_some());
        assert!(schema.property("winGetApp", "noSuch").is_none());
    }
}
