//! Query strings: read strictly by the API, leniently by pages, and written back for links.

/// The pairs of a query string, in order, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl Pairs {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let text = text.unwrap_or_default();
        Self(
            url::form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .filter(|(_, v)| !v.is_empty())
                .collect(),
        )
    }

    /// The last value of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Without these names.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(own, _)| !names.contains(&own.as_str())).cloned().collect())
    }

    /// Without one pair.
    pub(crate) fn without_pair(&self, name: &str, value: &str) -> Self {
        Self(self.0.iter().filter(|(n, v)| !(n == name && v == value)).cloned().collect())
    }

    /// With a value in place of all of that name.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs = self.without(&[name]);
        pairs.0.push((name.to_owned(), value.to_owned()));
        pairs
    }

    /// A link to `path` with these pairs.
    pub(crate) fn link(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let text: Vec<String> = self
            .0
            .iter()
            .map(|(name, value)| {
                format!("{}={}", crate::paths::encode(name), crate::paths::encode(value))
            })
            .collect();
        format!("{path}?{}", text.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_and_written_back() {
        let pairs = Pairs::parse(Some("type=a&type=b&q=x%26y&empty="));
        assert_eq!(pairs.all("type").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(pairs.get("q"), Some("x&y"));
        assert_eq!(pairs.link("/p"), "/p?type=a&type=b&q=x%26y");
        assert_eq!(pairs.without_pair("type", "a").link("/p"), "/p?type=b&q=x%26y");
        assert_eq!(pairs.with("type", "c").link("/p"), "/p?q=x%26y&type=c");
        assert_eq!(Pairs::parse(None).link("/p"), "/p");
    }
}
