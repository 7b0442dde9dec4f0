//! Query options of a request: read tolerantly, as Graph does for the clients of this field.

/// The options that lists and items know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) top: Option<usize>,
    pub(crate) skip: usize,
    pub(crate) select: Vec<String>,
    pub(crate) expand: Vec<Expand>,
    pub(crate) filter: Option<String>,
    pub(crate) order_by: Option<(String, bool)>,
    pub(crate) count: bool,
    /// How many pages of a fault went before this one.
    pub(crate) turn: u64,
    /// The pairs as they came, for next links.
    pub(crate) pairs: Vec<(String, String)>,
}

/// A navigation to be included, with what is asked of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expand {
    pub(crate) name: String,
    pub(crate) select: Vec<String>,
    pub(crate) within: Vec<Expand>,
}

/// The parts between separators that stand outside of brackets.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            letter if letter == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Reads `a($expand=b;$select=c),cast/d`; deeper than sixteen levels is not read.
fn expands(text: &str, depth: u32) -> Vec<Expand> {
    if depth > 16 {
        return Vec::new();
    }
    let one = |text: &str| {
        let (name, options) = text.split_once('(').unwrap_or((text, ""));
        let name = name.trim().rsplit('/').next().unwrap_or_default();
        let mut expand = Expand { name: name.to_owned(), ..Expand::default() };
        let options = options.strip_suffix(')').unwrap_or(options);
        for option in split(options, ';') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name.trim().trim_start_matches('$').to_ascii_lowercase().as_str() {
                "expand" => expand.within = expands(value, depth + 1),
                "select" => expand.select = list(value),
                _ => {}
            }
        }
        expand
    };
    let wanted = split(text, ',').into_iter().map(one);
    wanted.filter(|expand| !expand.name.is_empty()).collect()
}

fn list(text: &str) -> Vec<String> {
    let names = text.split(',').map(|name| name.trim().to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

impl Query {
    /// Reads the text behind `?`. A doubled `?` and options without `$` are tolerated.
    pub(crate) fn parse(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in
            url::form_urlencoded::parse(text.trim_start_matches(['?', '&']).as_bytes())
        {
            let plain = name.trim_start_matches(['?', '$']).to_lowercase();
            match plain.as_str() {
                "top" => query.top = value.parse().ok(),
                "skip" => {
                    query.skip = value.parse().unwrap_or(0);
                    continue;
                }
                "skiptoken" => {
                    (query.skip, query.turn) = offset(&value);
                    continue;
                }
                "select" => query.select = list(&value),
                "expand" => query.expand = expands(&value, 0),
                "filter" => query.filter = Some(value.clone().into_owned()),
                "orderby" => {
                    let first = value.split(',').next().unwrap_or_default().trim();
                    let (name, way) = first.split_once(' ').unwrap_or((first, "asc"));
                    query.order_by =
                        Some((name.to_owned(), way.trim().eq_ignore_ascii_case("desc")));
                }
                "count" => query.count = value == "true",
                _ => {}
            }
            query.pairs.push((name.trim_start_matches('?').to_owned(), value.into_owned()));
        }
        query
    }

    /// The same request from another place on.
    pub(crate) fn next(&self, skip: usize) -> String {
        self.with_token(&format!("sim-{skip}"))
    }

    pub(crate) fn with_token(&self, token: &str) -> String {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.pairs {
            text.append_pair(name, value);
        }
        text.append_pair("$skiptoken", token);
        text.finish()
    }

    /// A pair by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// `sim-25` or, with a mark of faults behind it, `sim-25-x3`.
fn offset(token: &str) -> (usize, u64) {
    let rest = token.strip_prefix("sim-").unwrap_or_default();
    let (skip, turn) = rest.split_once("-x").unwrap_or((rest, "0"));
    (skip.parse().unwrap_or(0), turn.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_tolerantly() {
        let query = Query::parse(
            "?$expand=a($expand=b,c;$select=x),m.cast/d&top=5&%24select=id,name&$skiptoken=sim-25",
        );
        assert_eq!(query.expand[0].name, "a");
        assert_eq!(query.expand[0].within[1].name, "c");
        assert_eq!(query.expand[0].select, ["x"]);
        assert_eq!(query.expand[1].name, "d");
        assert_eq!((query.top, query.skip), (Some(5), 25));
        assert_eq!(query.select, ["id", "name"]);
        assert!(query.next(50).contains("skiptoken=sim-50"));
        assert!(!query.next(50).contains("sim-25"));
        assert_eq!(Query::parse("&top=1000").top, Some(1000));
        let marked = Query::parse("?$skiptoken=sim-25-x3");
        assert_eq!((marked.skip, marked.turn), (25, 3));
        assert_eq!(Query::parse("$orderby=a desc").order_by, Some(("a".to_owned(), true)));
        assert!(Query::parse(&format!("$expand={}", "a($expand=".repeat(9999))).expand.len() == 1);
    }
}
