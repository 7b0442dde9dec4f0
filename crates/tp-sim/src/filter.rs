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
    Contains(String, String),
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
            Token::Word(word) if self.tokens.first() == Some(&Token::Open) => self.function(&word),
            Token::Word(path) => self.comparison(path),
            _ => None,
        }
    }

    fn function(&mut self, name: &str) -> Option<Filter> {
        self.take(&Token::Open)?;
        let filter = match name.to_ascii_lowercase().as_str() {
            "isof" => match self.next()? {
                Token::Text(name) => Filter::IsOf(name),
                _ => return None,
            },
            function @ ("startswith" | "contains") => {
                let Token::Word(path) = self.next()? else { return None };
                self.take(&Token::Comma)?;
                let Token::Text(text) = self.next()? else { return None };
                if function == "contains" {
                    Filter::Contains(path, text)
                } else {
                    Filter::StartsWith(path, text)
                }
            }
            _ => return None,
        };
        self.take(&Token::Close)?;
        Some(filter)
    }

    fn comparison(&mut self, path: String) -> Option<Filter> {
        let Token::Word(operator) = self.next()? else { return None };
        let value = match self.next()? {
            Token::Text(text) => Value::String(text),
            Token::Word(word) => match word.as_str() {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                number => Value::Number(number.parse::<i64>().ok()?.into()),
            },
            _ => return None,
        };
        match operator.to_ascii_lowercase().as_str() {
            "eq" => Some(Filter::Equal(path, value)),
            "ne" => Some(Filter::Unequal(path, value)),
            _ => None,
        }
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
            Self::Contains(path, text) => {
                at(object, path).as_str().is_some_and(|own| own.contains(text.as_str()))
            }
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
        let ring = json!({"@odata.type": "#microsoft.graph.windowsUpdateForBusinessConfiguration", "displayName": "O'Neil", "n": 3, "t": {"f": "baseline"}});
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
