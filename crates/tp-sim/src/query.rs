//! Query options of a request: read tolerantly, as Graph does for the clients of this field.

use serde_json::{Map, Value};

/// The options that lists and items know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) top: Option<usize>,
    pub(crate) skip: usize,
    pub(crate) select: Vec<String>,
    pub(crate) expand: Vec<String>,
    pub(crate) filter: Option<String>,
    pub(crate) count: bool,
    /// The pairs as they came, for next links.
    pub(crate) pairs: Vec<(String, String)>,
}

/// The names of an `$expand`, without what stands in brackets.
fn names(text: &str) -> Vec<String> {
    let (mut names, mut name, mut depth) = (Vec::new(), String::new(), 0_u32);
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            other if depth == 0 => name.push(other),
            _ => {}
        }
    }
    names.push(name);
    names.into_iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

impl Query {
    /// Reads the text behind `?`. A doubled `?` and options without `$` are tolerated.
    pub(crate) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in url::form_urlencoded::parse(text.trim_start_matches('?').as_bytes()) {
            match name.trim_start_matches('$').to_lowercase().as_str() {
                "top" => query.top = value.parse().ok(),
                "skip" => query.skip = value.parse().unwrap_or(0),
                "skiptoken" => {
                    query.skip =
                        value.strip_prefix("sim-").and_then(|n| n.parse().ok()).unwrap_or(0);
                    continue;
                }
                "select" => query.select = value.split(',').map(|n| n.trim().to_owned()).collect(),
                "expand" => query.expand = names(&value),
                "filter" => query.filter = Some(value.clone().into_owned()),
                "count" => query.count = value == "true",
                _ => {}
            }
            query.pairs.push((name.into_owned(), value.into_owned()));
        }
        query
    }

    /// The same request from another place on.
    pub(crate) fn next(&self, skip: usize) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.pairs.iter().filter(|(name, _)| name != "$skip") {
            text.append_pair(name, value);
        }
        text.append_pair("$skiptoken", &format!("sim-{skip}"));
        text.finish()
    }

    /// The object as Graph would send it: no hints of full metadata, navigation only when expanded,
    /// selected properties only.
    pub(crate) fn shape(&self, object: &Value, navigation: &[String]) -> Value {
        let Value::Object(map) = object else { return object.clone() };
        let mut shaped = Map::new();
        for (key, value) in map {
            let hint = key.starts_with('#')
                || key.ends_with("@odata.navigationLink")
                || key.ends_with("@odata.associationLink")
                || key.ends_with("@odata.context")
                || ["@odata.id", "@odata.editLink", "@odata.readLink", "@odata.context"]
                    .contains(&key.as_str());
            let hidden = navigation.iter().any(|name| name == key)
                && !self.expand.iter().any(|name| name.eq_ignore_ascii_case(key));
            let selected = self.select.is_empty()
                || key == "id"
                || key == "@odata.type"
                || self.select.iter().any(|name| name.eq_ignore_ascii_case(key))
                || self.expand.iter().any(|name| name.eq_ignore_ascii_case(key));
            if !hint && !hidden && selected {
                shaped.insert(key.clone(), value.clone());
            }
        }
        for name in &self.expand {
            if navigation.iter().any(|known| known.eq_ignore_ascii_case(name))
                && !shaped.contains_key(name)
            {
                shaped.insert(name.clone(), Value::Array(Vec::new()));
            }
        }
        Value::Object(shaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_tolerantly() {
        let query =
            Query::parse("?$expand=a($expand=b,c),d&top=5&%24select=id,name&$skiptoken=sim-25");
        assert_eq!(query.expand, ["a", "d"]);
        assert_eq!((query.top, query.skip), (Some(5), 25));
        assert_eq!(query.select, ["id", "name"]);
        assert!(query.next(50).contains("skiptoken=sim-50"));
        assert!(!query.next(50).contains("sim-25"));
    }
}
