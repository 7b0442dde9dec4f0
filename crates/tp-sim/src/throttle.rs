//! Throttling as PROTOCOL §4 has it: windows per app and tenant, resource units for the directory, one
//! request a second for conditional access. What is refused counts too.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::answer::Answer;
use crate::call::Call;
use crate::routes::Route;

/// Whether and how fast limits work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttling {
    /// Off: nothing is refused.
    pub enabled: bool,
    /// Windows are so many times shorter than the real ones: 10 makes 20 seconds two.
    #[serde(default = "one")]
    pub speed: f64,
}

const fn one() -> f64 {
    1.0
}

impl Default for Throttling {
    fn default() -> Self {
        Self { enabled: false, speed: 1.0 }
    }
}

/// A limit: requests or units within a window.
#[derive(Clone, Copy, Debug)]
struct Limit {
    name: &'static str,
    units: u64,
    window: Duration,
}

const fn limit(name: &'static str, units: u64, seconds: u64) -> Limit {
    Limit { name, units, window: Duration::from_secs(seconds) }
}

const INTUNE_ANY: Limit = limit("any", 1000, 20);
const INTUNE_WRITE: Limit = limit("write", 100, 20);
const DEVICES_ANY: Limit = limit("any", 2000, 20);
const DEVICES_WRITE: Limit = limit("write", 200, 20);
const ACCESS_ANY: Limit = limit("any", 1, 1);
const DIRECTORY_UNITS: Limit = limit("any", 3500, 10);
const DIRECTORY_WRITE: Limit = limit("write", 3000, 150);

type Key = (Uuid, &'static str, &'static str);

/// What was asked, by tenant, service and kind.
#[derive(Debug)]
pub(crate) struct Throttle {
    pub(crate) settings: Throttling,
    used: HashMap<Key, VecDeque<(Instant, u64)>>,
}

/// A judgement.
pub(crate) struct Verdict {
    pub(crate) refusal: Option<Answer>,
    /// For the answer that is given instead.
    pub(crate) headers: Vec<(String, String)>,
}

/// The service of a path and its limits.
fn service(routes: &[Route], call: &Call<'_>) -> (&'static str, Vec<Limit>) {
    let path = call.path.to_ascii_lowercase();
    let route = routes.iter().find(|route| {
        let own = route.path.split("/{").next().unwrap_or_default();
        path.split_at_checked(own.len()).is_some_and(|(start, rest)| {
            start.eq_ignore_ascii_case(own) && (rest.is_empty() || rest.starts_with('/'))
        })
    });
    let name = route.map_or("", |route| route.throttle.as_str());
    let (service, any, write) = match name {
        "intune-devices" => ("intune-devices", DEVICES_ANY, DEVICES_WRITE),
        "conditional-access" => return ("conditional-access", vec![ACCESS_ANY]),
        "identity" => ("identity", DIRECTORY_UNITS, DIRECTORY_WRITE),
        _ if path.starts_with("/device") => ("intune-default", INTUNE_ANY, INTUNE_WRITE),
        _ => ("identity", DIRECTORY_UNITS, DIRECTORY_WRITE),
    };
    (service, if call.is_write() { vec![any, write] } else { vec![any] })
}

/// What a request of the directory costs.
fn units(call: &Call<'_>) -> u64 {
    let path = call.path.to_ascii_lowercase();
    let mut units: i64 = if call.is_write() {
        1
    } else if path.ends_with("/transitivemembers") {
        5
    } else if path.ends_with("/members")
        || path.ends_with("/getbyids")
        || path.contains("subscribedskus")
    {
        3
    } else if path.starts_with("/applications") || path.starts_with("/users") {
        2
    } else {
        1
    };
    let query = &call.query;
    units -= i64::from(!query.select.is_empty());
    units += i64::from(!query.expand.is_empty());
    units -= i64::from(query.top.is_some_and(|top| top < 20));
    u64::try_from(units).unwrap_or(1).max(1)
}

impl Throttle {
    pub(crate) fn new(settings: Throttling) -> Self {
        Self { settings, used: HashMap::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.used.clear();
    }

    /// Counts a request and judges it.
    pub(crate) fn judge(
        &mut self,
        routes: &[Route],
        tenant: Uuid,
        app: Uuid,
        call: &Call<'_>,
    ) -> Verdict {
        let (service, limits) = service(routes, call);
        let is_directory = service == "identity";
        let cost = if is_directory { units(call) } else { 1 };
        let mut headers = Vec::new();
        if is_directory {
            headers.push(("x-ms-resource-unit".to_owned(), cost.to_string()));
        }
        if !self.settings.enabled {
            return Verdict { refusal: None, headers };
        }
        let (now, speed) = (Instant::now(), self.settings.speed.max(0.001));
        let mut refusal = None;
        for limit in limits {
            let window = limit.window.div_f64(speed);
            let used = self.used.entry((tenant, service, limit.name)).or_default();
            while used.front().is_some_and(|(at, _)| now.duration_since(*at) >= window) {
                used.pop_front();
            }
            let sum: u64 = used.iter().map(|(_, cost)| cost).sum::<u64>() + cost;
            used.push_back((now, cost));
            if sum > limit.units {
                let left = used
                    .front()
                    .map_or(window, |(at, _)| window.saturating_sub(now.duration_since(*at)));
                refusal = Some(refuse(service, limit, left, speed, (tenant, app)));
            } else if is_directory && sum * 10 > limit.units * 8 {
                let share = sum * 100 / limit.units;
                headers.push((
                    "x-ms-throttle-limit-percentage".to_owned(),
                    format!("{}.{:02}", share / 100, share % 100),
                ));
            }
        }
        Verdict { refusal, headers }
    }
}

fn refuse(service: &str, limit: Limit, left: Duration, speed: f64, of: (Uuid, Uuid)) -> Answer {
    let answer = Answer::error(429, "TooManyRequests", "Too many requests.");
    // Conditional access sends no Retry-After.
    if service == "conditional-access" {
        return answer;
    }
    // Real windows are told in whole seconds, shortened ones as they are.
    let wait = if speed > 1.0 {
        format!("{:.3}", left.as_secs_f64().max(0.001))
    } else {
        left.as_secs_f64().ceil().to_string()
    };
    let answer = answer.with_header("Retry-After", &wait);
    if service != "identity" {
        return answer;
    }
    let (kind, why) = match limit.name {
        "write" => ("Write", "WriteLimitExceeded"),
        _ => ("ReadWrite", "ResourceUnitLimitExceeded"),
    };
    let scope = format!("Tenant_Application/{kind}/{}/{}", of.1, of.0);
    answer.with_header("x-ms-throttle-scope", &scope).with_header("x-ms-throttle-information", why)
}
