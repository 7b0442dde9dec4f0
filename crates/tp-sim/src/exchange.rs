//! One exchange over HTTP: which host it is for, faults, batches, counting, the log.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Uri, header};
use uuid::Uuid;

use crate::answer::{Answer, request_id};
use crate::approvals;
use crate::batch::{self, BatchItem};
use crate::call::{Call, Sent, decoded, flat, tidy};
use crate::faults::{FaultAction, FaultHost, Seen};
use crate::login::{self, Pass};
use crate::mischief::{self, Wire};
use crate::place::usual;
use crate::query::Query;
use crate::reads::{self, World};
use crate::server::{Entry, Inner, Sim};
use crate::{virtuals, writes};

/// An answer and what happens to it on its way.
pub(crate) struct Sending {
    pub(crate) answer: Answer,
    pub(crate) wire: Wire,
    pub(crate) wait: Duration,
    pub(crate) client_id: Option<String>,
}

impl Sending {
    fn plain(answer: Answer) -> Self {
        Self { answer, wire: Wire::Whole, wait: Duration::ZERO, client_id: None }
    }

    /// Adds what a fault does to the wire.
    fn suffer(&mut self, action: &FaultAction) {
        let (wire, wait) = mischief::wire(action);
        self.wait += wait;
        if wire != Wire::Whole {
            self.wire = wire;
        }
    }
}

/// What came over the wire.
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Incoming<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `scheme://host`, as the client sees it.
    fn origin(&self) -> String {
        if let Some(host) = self.header("x-original-host") {
            return format!("https://{host}");
        }
        format!("http://{}", self.header(header::HOST.as_str()).unwrap_or("localhost"))
    }
}

impl Sim {
    /// Answers whatever comes.
    pub(crate) fn exchange(&self, incoming: &Incoming<'_>) -> Sending {
        let path = decoded(incoming.uri.path());
        let query = incoming.uri.query().unwrap_or_default();
        if let Some(control) = path.strip_prefix("/__sim") {
            let method = incoming.method.as_str();
            return Sending::plain(self.control(method, control, query, incoming.body));
        }
        let tidy = tidy(&path);
        let (first, rest) = tidy[1..].split_once('/').unwrap_or((&tidy[1..], ""));
        let mut sending = match rest.to_ascii_lowercase().as_str() {
            "oauth2/v2.0/token"
            | "oauth2/token"
            | "adminconsent"
            | "v2.0/adminconsent"
            | "v2.0/.well-known/openid-configuration"
            | ".well-known/openid-configuration" => self.login(incoming, first, rest, &tidy),
            _ => self.graph(incoming, &tidy),
        };
        sending.client_id = incoming.header("client-request-id").map(str::to_owned);
        sending
    }

    fn login(&self, incoming: &Incoming<'_>, tenant: &str, what: &str, path: &str) -> Sending {
        let query = incoming.uri.query().unwrap_or_default();
        let mut inner = self.lock();
        let named = inner.estate.named(tenant).map(|own| (own.id.to_string(), own.domain.clone()));
        let fault = inner.faults.act(Seen {
            host: FaultHost::Login,
            method: incoming.method.as_str(),
            path,
            query,
            tenant: named.as_ref().map(|(id, domain)| (id.as_str(), domain.as_str())),
            in_batch: false,
        });
        let instead = fault.as_ref().and_then(|action| mischief::instead(action, FaultHost::Login));
        let answer = instead.unwrap_or_else(|| {
            let pairs = || -> Vec<(String, String)> {
                url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
            };
            match (incoming.method, what.ends_with("adminconsent")) {
                (&Method::POST, false) => {
                    let wrong = matches!(fault, Some(FaultAction::WrongTid));
                    let life = self.token_lifetime();
                    let estate = &inner.estate;
                    login::token(estate, self.tokens(), tenant, incoming.body, life, wrong)
                }
                (&Method::GET, true) => login::consent(&mut inner.estate, tenant, &pairs()),
                (&Method::GET, false) if what.contains("well-known") => {
                    login::discovery(&inner.estate, tenant, &incoming.origin())
                }
                _ => login::refuse(
                    400,
                    "invalid_request",
                    900_561,
                    "The endpoint only accepts other requests.",
                ),
            }
        });
        let mut sending = Sending::plain(answer);
        if let Some(action) = &fault {
            sending.answer = mischief::spoil(action, FaultHost::Login, None, sending.answer);
            sending.suffer(action);
        }
        inner.counters.login += 1;
        inner.note(Entry {
            host: "login",
            tenant: named.and_then(|(id, _)| Uuid::try_parse(&id).ok()),
            method: incoming.method.as_str(),
            path,
            query,
            status: sending.answer.status,
            body: None,
            batch: None,
        });
        sending
    }

    fn graph(&self, incoming: &Incoming<'_>, path: &str) -> Sending {
        let origin = incoming.origin();
        let pass = login::bearer(incoming.header("authorization"))
            .and_then(|token| self.tokens().pass(token));
        let (version, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let headers = incoming.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let is_batch = rest.eq_ignore_ascii_case("$batch") && incoming.method == Method::POST;
        let call = Call {
            method: incoming.method.as_str(),
            version,
            path: usual(&flat(rest)),
            query: Query::parse(incoming.uri.query().unwrap_or_default()),
            origin: &origin,
            headers: headers.collect(),
            body: if is_batch { Sent::Nothing } else { Sent::read(incoming.body) },
        };
        let seen = Asked {
            path,
            query: incoming.uri.query().unwrap_or_default(),
            batch: is_batch.then_some(incoming.body),
            within: None,
        };
        let sending = self.judged(pass.as_ref(), &call, &seen);
        self.lock().counters.graph_http += 1;
        sending
    }

    /// Faults, then what was asked for, then the log.
    fn judged(&self, pass: Option<&Pass>, call: &Call<'_>, asked: &Asked<'_>) -> Sending {
        let fault = {
            let mut inner = self.lock();
            let tenant = pass.and_then(|pass| inner.estate.tenant(pass.tenant));
            let named = tenant.map(|own| (own.id.to_string(), own.domain.clone()));
            inner.faults.act(Seen {
                host: FaultHost::Graph,
                method: call.method,
                path: asked.path,
                query: asked.query,
                tenant: named.as_ref().map(|(id, domain)| (id.as_str(), domain.as_str())),
                in_batch: asked.within.is_some(),
            })
        };
        if matches!(fault, Some(FaultAction::Revoke)) {
            self.tokens().revoke(None);
        }
        let pass = pass.filter(|_| !matches!(fault, Some(FaultAction::Revoke)));
        let instead = fault.as_ref().and_then(|action| mischief::instead(action, FaultHost::Graph));
        let mut counted = 1;
        let mut sending = match (instead, pass) {
            (Some(answer), _) => Sending::plain(answer),
            (None, None) => Sending::plain(login::no_token()),
            (None, Some(_)) if !["v1.0", "beta"].contains(&call.version) => {
                Sending::plain(Answer::bad_request("Invalid version. Use v1.0 or beta."))
            }
            (None, Some(pass)) => match asked.batch {
                Some(body) => match batch::parse(body) {
                    Err(refusal) => Sending::plain(refusal),
                    Ok(items) => {
                        counted = 0;
                        self.batch(pass, call, items)
                    }
                },
                None => Sending::plain(self.effect(pass, call)),
            },
        };
        if let Some(action) = &fault {
            sending.answer = mischief::spoil(action, FaultHost::Graph, Some(call), sending.answer);
            sending.suffer(action);
        }
        let mut inner = self.lock();
        inner.counters.graph += counted;
        inner.note(Entry {
            host: "graph",
            tenant: pass.map(|pass| pass.tenant),
            method: call.method,
            path: asked.path,
            query: asked.query,
            status: sending.answer.status,
            body: call.body.hash(),
            batch: asked.within,
        });
        sending
    }

    /// The requests of a batch, each as if it had come alone.
    fn batch(&self, pass: &Pass, outer: &Call<'_>, items: Vec<BatchItem>) -> Sending {
        let mut statuses: HashMap<String, u16> = HashMap::new();
        let mut answers = Vec::new();
        let mut whole = Sending::plain(Answer::nothing(200));
        let batch = request_id();
        for item in items {
            let url = item.url.trim_start_matches('/');
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            let path = decoded(path);
            let full = format!("/{}{}", outer.version, tidy(&path));
            let call = Call {
                method: &item.method,
                version: outer.version,
                path: usual(&flat(&path)),
                query: Query::parse(query),
                origin: outer.origin,
                headers: item.headers.clone(),
                body: item.body.clone(),
            };
            let asked = Asked { path: &full, query, batch: None, within: Some(&batch) };
            let sending = match item.refusal(&statuses) {
                Some(refusal) => Sending::plain(refusal),
                None => self.judged(Some(pass), &call, &asked),
            };
            whole.wait += sending.wait;
            if sending.wire != Wire::Whole {
                whole.wire = sending.wire;
            }
            statuses.insert(item.id.to_lowercase(), sending.answer.status);
            answers.push((item.id, sending.answer));
        }
        whole.answer = batch::reply(answers);
        whole
    }

    /// What is asked for, done.
    fn effect(&self, pass: &Pass, call: &Call<'_>) -> Answer {
        let mut inner = self.lock();
        let Inner { estate, throttle, .. } = &mut *inner;
        let Some(tenant) = estate.tenant_mut(pass.tenant) else { return login::no_token() };
        let world = World { routes: self.routes(), schema: self.schema(), granted: &pass.granted };
        let verdict = throttle.judge(world.routes, tenant.id, tenant.client_id, call);
        if let Some(refusal) = verdict.refusal {
            return refusal;
        }
        let mut answer = if call.is_write() {
            tenant.made += 1;
            let next = Uuid::new_v5(&tenant.id, format!("made/{}", tenant.made).as_bytes());
            let stop = writes::refusal(world, tenant, call);
            let stop = stop.or_else(|| approvals::stop(tenant, call, next));
            stop.unwrap_or_else(|| writes::answer(world, tenant, call, next))
        } else if call.method == "GET" {
            reads::answer(world, tenant, call)
        } else {
            virtuals::look_up(world, tenant, call).unwrap_or_else(Answer::not_allowed)
        };
        answer.headers.extend(verdict.headers);
        if call.is_write() {
            let tenant = pass.tenant;
            inner.note_write(tenant, call, answer.status);
        }
        answer
    }
}

/// How a request is named in rules and in the log.
struct Asked<'a> {
    /// With the version.
    path: &'a str,
    query: &'a str,
    /// The bytes of a batch.
    batch: Option<&'a [u8]>,
    /// The name of the batch that it came in.
    within: Option<&'a str>,
}
