//! The part of `OData`'s `$filter` that tools of this field use.

use serde_json::Value;

/// A condition.
#[derive(Debug, PartialEq)]
pub(crate) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    IsOf(String),
    Equal(String, Value),
    Unequal(String, Value),
    StartsWith(String, String),
    EndsWith(String, String),
    Contains(String, String),
    /// Path, whether larger, whether equal passes too, text.
    Order(String, bool, bool, String),
    In(String, Vec<Value>),
    /// `resources/any(r:r/resourceId eq 'x')`: collection, name, condition.
    Any(String, String, Box<Filter>),
}

/// Reads a filter; `None` for what Graph would refuse.
pub(crate) fn parse(text: &str) -> Option<Filter> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let filter = parser.or()?;
    parser.tokens.is_empty().then_some(filter)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(&letter) = letters.peek() {
        match letter {
            ' ' => drop(letters.next()),
            '(' | ')' | ',' => {
                letters.next();
                tokens.push(match letter {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
            }
            '\'' => {
                letters.next();
                let mut quoted = String::new();
                loop {
                    match letters.next()? {
                        '\'' if letters.peek() == Some(&'\'') => {
                            letters.next();
                            quoted.push('\'');
                        }
                        '\'' => break,
                        other => quoted.push(other),
                    }
                }
                tokens.push(Token::Text(quoted));
            }
            _ => {
                let mut word = String::new();
                while let Some(&next) = letters.peek() {
                    if " (),'".contains(next) {
                        break;
                    }
                    word.push(next);
                    letters.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Some(tokens)
}

struct Parser<'t> {
    tokens: &'t [Token],
    depth: u32,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.tokens.first(), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word))
    }

    fn take(&mut self, token: &Token) -> Option<()> {
        (self.next()? == *token).then_some(())
    }

    fn or(&mut self) -> Option<Filter> {
        let mut left = self.and()?;
        while self.is_word("or") {
            self.next();
            left = Filter::Or(Box::new(left), Box::new(self.and()?));
        }
        Some(left)
    }

    fn and(&mut self) -> Option<Filter> {
        let mut left = self.one()?;
        while self.is_word("and") {
            self.next();
            left = Filter::And(Box::new(left), Box::new(self.one()?));
        }
        Some(left)
    }

    fn one(&mut self) -> Option<Filter> {
        self.depth += 1;
        if self.depth > 50 {
            return None;
        }
        let filter = self.one_inner();
        self.depth -= 1;
        filter
    }

    fn one_inner(&mut self) -> Option<Filter> {
        if self.is_word("not") {
            self.next();
            return Some(Filter::Not(Box::new(self.one()?)));
        }
        match self.next()? {
            Token::Open => {
                // A cast in brackets is a path, not a group: `(microsoft.graph.managedApp/x) eq null`.
                if let [Token::Word(path), Token::Close, ..] = self.tokens
                    && path.contains('/')
                {
                    let path = path.clone();
                    self.next();
                    self.next();
                    return self.comparison(path);
                }
                let inner = self.or()?;
                self.take(&Token::Close)?;
                Some(inner)
            }
            Token::Word(word) if self.tokens.first() == Some(&Token::Open) => {
                match word.strip_suffix("/any") {
                    Some(path) => self.any(path),
                    None => self.function(&word),
                }
            }
            Token::Word(path) => self.comparison(path),
            _ => None,
        }
    }

    fn any(&mut self, path: &str) -> Option<Filter> {
        self.take(&Token::Open)?;
        let Token::Word(first) = self.next()? else { return None };
        let (name, rest) = first.split_once(':')?;
        let inner = if rest.is_empty() {
            self.or()?
        } else {
            // The name and the beginning of the condition came as one word.
            let mut tokens = vec![Token::Word(rest.to_owned())];
            tokens.extend(self.tokens.iter().cloned());
            let mut parser = Parser { tokens: &tokens, depth: self.depth + 1 };
            let inner = parser.or()?;
            let used = tokens.len() - parser.tokens.len();
            self.tokens = self.tokens.get(used - 1..)?;
            inner
        };
        self.take(&Token::Close)?;
        Some(Filter::Any(path.to_owned(), name.to_owned(), Box::new(inner)))
    }

    fn function(&mut self, name: &str) -> Option<Filter> {
        self.take(&Token::Open)?;
        let filter = match name.to_ascii_lowercase().as_str() {
            "isof" => match self.next()? {
                Token::Text(name) => Filter::IsOf(name),
                _ => return None,
            },
            function @ ("startswith" | "endswith" | "contains") => {
                let Token::Word(path) = self.next()? else { return None };
                self.take(&Token::Comma)?;
                let Token::Text(text) = self.next()? else { return None };
                match function {
                    "contains" => Filter::Contains(path, text),
                    "endswith" => Filter::EndsWith(path, text),
                    _ => Filter::StartsWith(path, text),
                }
            }
            _ => return None,
        };
        self.take(&Token::Close)?;
        Some(filter)
    }

    fn comparison(&mut self, path: String) -> Option<Filter> {
        let Token::Word(operator) = self.next()? else { return None };
        let operator = operator.to_ascii_lowercase();
        if operator == "in" {
            return self.among(path);
        }
        let value = value(self.next()?)?;
        let text = || match &value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        match operator.as_str() {
            "eq" => Some(Filter::Equal(path, value)),
            "ne" => Some(Filter::Unequal(path, value)),
            "gt" => Some(Filter::Order(path, true, false, text()?)),
            "ge" => Some(Filter::Order(path, true, true, text()?)),
            "lt" => Some(Filter::Order(path, false, false, text()?)),
            "le" => Some(Filter::Order(path, false, true, text()?)),
            _ => None,
        }
    }

    fn among(&mut self, path: String) -> Option<Filter> {
        self.take(&Token::Open)?;
        let mut values = Vec::new();
        loop {
            values.push(value(self.next()?)?);
            match self.next()? {
                Token::Comma => {}
                Token::Close => return Some(Filter::In(path, values)),
                _ => return None,
            }
        }
    }
}

/// A literal. Dates and ids stand without quotes.
fn value(token: Token) -> Option<Value> {
    match token {
        Token::Text(text) => Some(Value::String(text)),
        Token::Word(word) => match word.as_str() {
            "null" => Some(Value::Null),
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            word => match word.parse::<i64>() {
                Ok(number) => Some(number.into()),
                Err(_) if word.starts_with(|letter: char| letter.is_ascii_digit()) => {
                    Some(word.into())
                }
                Err(_) => None,
            },
        },
        _ => None,
    }
}

impl Filter {
    /// Whether the object passes.
    pub(crate) fn passes(&self, object: &Value) -> bool {
        match self {
            Self::And(a, b) => a.passes(object) && b.passes(object),
            Self::Or(a, b) => a.passes(object) || b.passes(object),
            Self::Not(a) => !a.passes(object),
            Self::IsOf(name) => object
                .get("@odata.type")
                .and_then(Value::as_str)
                .is_some_and(|own| own.trim_start_matches('#').eq_ignore_ascii_case(name)),
            Self::Equal(path, value) => at(object, path) == value,
            Self::Unequal(path, value) => at(object, path) != value,
            Self::StartsWith(path, text) => {
                at(object, path).as_str().is_some_and(|own| own.starts_with(text.as_str()))
            }
            Self::EndsWith(path, text) => {
                at(object, path).as_str().is_some_and(|own| own.ends_with(text.as_str()))
            }
            Self::Contains(path, text) => {
                at(object, path).as_str().is_some_and(|own| own.contains(text.as_str()))
            }
            Self::Order(path, larger, equal, text) => {
                let order = match at(object, path) {
                    Value::String(own) => own.as_str().cmp(text),
                    Value::Number(own) => match (own.as_f64(), text.parse::<f64>()) {
                        (Some(own), Ok(other)) => own.total_cmp(&other),
                        _ => return false,
                    },
                    _ => return false,
                };
                (order.is_gt() && *larger)
                    || (order.is_lt() && !larger)
                    || (order.is_eq() && *equal)
            }
            Self::In(path, values) => values.contains(at(object, path)),
            Self::Any(path, name, inner) => at(object, path).as_array().is_some_and(|list| {
                list.iter().any(|one| inner.passes(&serde_json::json!({ name: one })))
            }),
        }
    }

    /// Whether it asks for the concrete type, which some sets do not take.
    pub(crate) fn asks_for_type(&self) -> bool {
        match self {
            Self::And(a, b) | Self::Or(a, b) => a.asks_for_type() || b.asks_for_type(),
            Self::Not(inner) => inner.asks_for_type(),
            Self::IsOf(_) | Self::EndsWith(..) => true,
            _ => false,
        }
    }
}

/// The value at a path; a cast segment (`microsoft.graph.managedApp`) is passed over.
fn at<'o>(object: &'o Value, path: &str) -> &'o Value {
    let steps = path.split('/').filter(|step| !step.starts_with("microsoft.graph."));
    let mut here = object;
    for step in steps {
        here = here.get(step).unwrap_or(&Value::Null);
    }
    here
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_of_the_field_are_understood() {
        let ring = json!({"@odata.type": "#microsoft.graph.windowsUpdateForBusinessConfiguration", "displayName": "O'Neil", "n": 3, "t": {"f": "baseline"}, "d": "2026-01-17T09:00:00Z", "r": [{"id": "a"}, {"id": "b"}]});
        let cases = [
            ("isof('microsoft.graph.windowsUpdateForBusinessConfiguration')", true),
            ("not isof('microsoft.graph.a') and not isof('microsoft.graph.b')", true),
            ("displayName eq 'O''Neil'", true),
            ("startswith(displayName,'O') or n eq 4", true),
            ("contains(displayName, 'x')", false),
            ("t/f ne 'baseline'", false),
            ("(microsoft.graph.managedApp/appAvailability) eq null or isAssigned eq true", true),
            ("(microsoft.graph.managedApp/appAvailability eq null or n eq 3)", true),
            ("isBuiltIn eq false", false),
            ("n ge 3 and n lt 4 and d gt 2026-01-01T00:00:00Z", true),
            ("displayName in ('x', 'O''Neil')", true),
            ("r/any(s:s/id eq 'b') and d le 2026-02-01T00:00:00.5Z", true),
            ("r/any(s: s/id eq 'c')", false),
            ("endswith(displayName,'eil')", true),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap().passes(&ring), expected, "{text}");
        }
        for bad in ["", "displayName", "displayName like 'x'", "a eq 'x", "a eq 1 b", "((a eq 1)"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&"(".repeat(1000)), None);
    }
}
