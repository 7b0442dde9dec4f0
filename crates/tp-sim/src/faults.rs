//! Faults on order: a list of rules; the first that matches a request acts.
//!
//! ```json
//! [{"match": {"host": "graph", "path_contains": "deviceConfigurations"}, "after": 1, "times": 2,
//!   "action": {"kind": "status", "status": 429, "retry_after": "2.128"}}]
//! ```
//! `after` lets that many matching requests pass first; `times` bounds how often it acts (without it:
//! for ever). A batch is matched as a whole by its own path; where no rule acts on it, each of its
//! requests is matched like one that came alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One rule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests.
    #[serde(rename = "match", default)]
    pub matches: FaultMatch,
    /// How many matching requests pass first.
    #[serde(default)]
    pub after: u64,
    /// How often it acts; without it for ever.
    #[serde(default)]
    pub times: Option<u64>,
    /// What happens.
    pub action: FaultAction,
}

/// Which requests a fault is for. Everything that is said must hold.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultMatch {
    /// `graph` or `login`; without it both.
    #[serde(default)]
    pub host: Option<FaultHost>,
    /// Part of the path.
    #[serde(default)]
    pub path_contains: Option<String>,
    /// The end of the path, in any case of its letters.
    #[serde(default)]
    pub path_ends: Option<String>,
    /// Part of the query, as it was sent.
    #[serde(default)]
    pub query_contains: Option<String>,
    /// The method.
    #[serde(default)]
    pub method: Option<String>,
    /// The id or domain of the tenant.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Only requests within batches, or only those without.
    #[serde(default)]
    pub in_batch: Option<bool>,
}

/// Which of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultHost {
    /// Graph.
    Graph,
    /// The login host.
    Login,
}

/// When a connection breaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Nothing was done.
    #[default]
    Before,
    /// It was done, and half of the answer is sent.
    During,
    /// It was done, and nothing is sent.
    After,
}

/// What is wrong with the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Malformed {
    /// `{"value": [NaN`: neither a number nor an end.
    #[default]
    Nan,
    /// Half of the true answer, with a proper end of the connection.
    Cut,
    /// A byte order mark before the true answer.
    Bom,
    /// A byte that is no UTF-8, within a text.
    InvalidUtf8,
    /// Half of a surrogate pair, within a text.
    LoneSurrogate,
    /// U+0000 within a text.
    Nul,
    /// Each object has its id twice.
    DuplicateKeys,
    /// 200,000 lists within each other.
    Deep,
    /// A list where an object belongs.
    WrongType,
    /// Objects that are texts.
    WrongItems,
    /// `value` is missing.
    NoValue,
    /// `value` is an object.
    ValueIsObject,
    /// `value` is null.
    ValueIsNull,
    /// No bytes at all.
    Nothing,
}

/// What happens to the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// An error of that status.
    Status {
        /// The status.
        status: u16,
        /// The text of a Retry-After header.
        #[serde(default)]
        retry_after: Option<String>,
        /// The error's code.
        #[serde(default)]
        code: Option<String>,
        /// The error's text.
        #[serde(default)]
        message: Option<String>,
        /// Whether what was asked for is done all the same.
        #[serde(default)]
        done: bool,
    },
    /// The login host's refusal by number.
    Aadsts {
        /// `7000222`.
        number: u64,
        /// `invalid_client` and the like.
        #[serde(default)]
        error: Option<String>,
    },
    /// 401 around a 403, which no new token mends.
    DisguisedForbidden,
    /// It takes longer.
    #[serde(alias = "delay")]
    Latency {
        /// By so many milliseconds.
        ms: u64,
    },
    /// The connection breaks.
    Reset {
        /// When.
        #[serde(default)]
        when: Moment,
    },
    /// The answer stops in the middle of its body and the connection is cut.
    Truncate,
    /// A page of HTML with status 200.
    Html,
    /// JSON that is none, or not what was agreed.
    Malformed {
        /// What is wrong with it.
        #[serde(default)]
        how: Malformed,
    },
    /// The answer's next link is that: a text or anything else.
    NextLink {
        /// What.
        url: Value,
    },
    /// The answer's next link leads to itself.
    Loop,
    /// Each page has another one behind it.
    Endless,
    /// A page without objects, before the one that was asked for.
    EmptyPage,
    /// A list without objects, and without a next link.
    Empty,
    /// A list of only so many of its objects, and without a next link.
    Shrink {
        /// How many.
        keep: usize,
    },
    /// An object comes twice.
    Duplicate {
        /// The last one of a page is the first one of the next; else it is twice in one.
        #[serde(default)]
        across: bool,
    },
    /// 404 for what a list has named.
    Vanish,
    /// The token is for another tenant.
    WrongTid,
    /// All tokens are void.
    Revoke,
    /// A redirect.
    Redirect {
        /// Where to.
        to: String,
    },
    /// A body of that many bytes.
    Huge {
        /// How many.
        bytes: usize,
    },
    /// An answer whose body never comes, or comes byte by byte.
    Drip {
        /// Milliseconds for each byte; without it never.
        #[serde(default)]
        ms: Option<u64>,
    },
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) host: FaultHost,
    pub(crate) method: &'a str,
    /// With the version.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// The tenant's id and domain.
    pub(crate) tenant: Option<(&'a str, &'a str)>,
    pub(crate) in_batch: bool,
}

/// Rules with their counters.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, u64)>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(faults.into_iter().map(|fault| (fault, 0)).collect())
    }

    /// The rules with how many requests each has matched.
    pub(crate) fn seen(&self) -> &[(Fault, u64)] {
        &self.0
    }

    /// The action for a request, if a rule acts on it now.
    pub(crate) fn act(&mut self, seen: Seen<'_>) -> Option<FaultAction> {
        for (fault, count) in &mut self.0 {
            if !fault.matches.is(seen) {
                continue;
            }
            *count += 1;
            let turn = *count > fault.after;
            let left = fault.times.is_none_or(|times| *count <= fault.after + times);
            if turn && left {
                return Some(fault.action.clone());
            }
        }
        None
    }
}

impl FaultMatch {
    fn is(&self, seen: Seen<'_>) -> bool {
        let is_tenant = |wanted: &str| {
            seen.tenant.is_some_and(|(id, domain)| {
                id.eq_ignore_ascii_case(wanted) || domain.eq_ignore_ascii_case(wanted)
            })
        };
        let ends = |end: &str| seen.path.to_ascii_lowercase().ends_with(&end.to_ascii_lowercase());
        self.host.is_none_or(|wanted| wanted == seen.host)
            && self.method.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(seen.method))
            && self.path_contains.as_deref().is_none_or(|part| seen.path.contains(part))
            && self.path_ends.as_deref().is_none_or(ends)
            && self.query_contains.as_deref().is_none_or(|part| seen.query.contains(part))
            && self.tenant.as_deref().is_none_or(is_tenant)
            && self.in_batch.is_none_or(|wanted| wanted == seen.in_batch)
    }
}
