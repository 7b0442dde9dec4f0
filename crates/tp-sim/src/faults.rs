//! Faults on order: a list of rules; the first that matches a request acts.
//!
//! ```json
//! [{"match": {"host": "graph", "path_contains": "deviceConfigurations"}, "after": 1, "times": 2,
//!   "action": {"kind": "status", "status": 429, "retry_after": "2.128"}}]
//! ```
//! `after` lets that many matching requests pass first; `times` bounds how often it acts (without it:
//! for ever).

use serde::{Deserialize, Serialize};

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
    /// The method.
    #[serde(default)]
    pub method: Option<String>,
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
    },
    /// It takes longer.
    Latency {
        /// By so many milliseconds.
        ms: u64,
    },
    /// The answer stops in the middle of its body and the connection is cut.
    Truncate,
    /// A page of HTML with status 200.
    Html,
    /// JSON that is none.
    Malformed,
    /// The answer's next link leads there.
    NextLink {
        /// Where.
        url: String,
    },
    /// The answer's next link leads to itself.
    Loop,
    /// A list without objects, and without a next link.
    Empty,
    /// The token is for another tenant.
    WrongTid,
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
    /// An answer whose body never comes.
    Drip,
}

/// Rules with their counters.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, u64)>);

impl Faults {
    pub(crate) fn new(faults: Vec<Fault>) -> Self {
        Self(faults.into_iter().map(|fault| (fault, 0)).collect())
    }

    /// The action for a request, if a rule acts on it now.
    pub(crate) fn act(&mut self, host: FaultHost, method: &str, path: &str) -> Option<FaultAction> {
        for (fault, seen) in &mut self.0 {
            let wanted = &fault.matches;
            let is = wanted.host.is_none_or(|wanted| wanted == host)
                && wanted.method.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(method))
                && wanted.path_contains.as_deref().is_none_or(|part| path.contains(part));
            if !is {
                continue;
            }
            *seen += 1;
            let turn = *seen > fault.after;
            let left = fault.times.is_none_or(|times| *seen <= fault.after + times);
            if turn && left {
                return Some(fault.action.clone());
            }
        }
        None
    }
}
