//! Many reads in few requests: JSON batches of up to 20 (PROTOCOL §3).
//!
//! Each item of a batch is judged, counted and throttled on its own. Those that were told to wait go into a
//! later batch after the longest wait of all; a link to more pages inside an answer is followed.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tp_catalog::contract::ApiVersion;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::json::{Json, Object, Text};
use tp_domain::reason::ReasonCode;
use url::Url;

use crate::error::{GraphError, Verdict, verdict};
use crate::paging::{MAX_PAGES, next_link};
use crate::session::GraphSession;

/// Microsoft's limit of one batch.
const LARGEST: usize = 20;

/// Batches at once: more would only wait for the same limits.
const AT_ONCE: usize = 4;

/// One read.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// Below the version, with its query; made by [`GraphSession::address`].
    pub(crate) url: Url,
    /// Whether the answer is a set in pages, which are put together.
    pub(crate) is_set: bool,
}

/// What came of it: the object, or all elements of the set.
pub(crate) type Got = Result<Json, GraphError>;

/// An ask on its way.
struct Open {
    index: usize,
    ask: Ask,
    /// The page that is asked for next.
    next: Url,
    elements: Vec<Json>,
    seen: HashSet<String>,
    attempts: u32,
    renewed: bool,
}

/// What a round of batches leaves of an ask.
enum Step {
    Done(usize, Got),
    More(Box<Open>),
}

impl GraphSession {
    /// Reads all of them; the answers stand in the order of the asks. A fault of one is its own answer.
    pub(crate) async fn ask_many(
        &self,
        version: ApiVersion,
        group: ThrottleGroup,
        asks: Vec<Ask>,
    ) -> Vec<Got> {
        let mut answers: Vec<Option<Got>> = asks.iter().map(|_| None).collect();
        let mut open: Vec<Open> = asks
            .into_iter()
            .enumerate()
            .map(|(index, ask)| {
                let next = ask.url.clone();
                Open {
                    index,
                    ask,
                    next,
                    elements: Vec::new(),
                    seen: HashSet::new(),
                    attempts: 0,
                    renewed: false,
                }
            })
            .collect();
        let size = largest(group);
        while !open.is_empty() {
            let mut chunks = Vec::new();
            while !open.is_empty() {
                let rest = open.split_off(size.min(open.len()));
                chunks.push(std::mem::replace(&mut open, rest));
            }
            let mut rounds = stream::iter(chunks)
                .map(|chunk| self.round(version, group, chunk))
                .buffer_unordered(AT_ONCE);
            while let Some(steps) = rounds.next().await {
                for step in steps {
                    match step {
                        Step::Done(index, got) => answers[index] = Some(got),
                        Step::More(more) => open.push(*more),
                    }
                }
            }
        }
        let missing = || Err(GraphError::new(ReasonCode::InternalError));
        answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }

    /// One batch; an ask that stands alone goes as a plain request.
    async fn round(
        &self,
        version: ApiVersion,
        group: ThrottleGroup,
        mut chunk: Vec<Open>,
    ) -> Vec<Step> {
        if chunk.len() == 1
            && let Some(open) = chunk.pop()
        {
            return vec![match self.fetch(group, &open.next).await {
                Ok(body) => Self::take(open, body),
                Err(error) => Step::Done(open.index, Err(error)),
            }];
        }
        let base = match self.address(version, "", &[]) {
            Ok(base) => base,
            Err(error) => return done(chunk, &error),
        };
        let requests: Vec<serde_json::Value> = chunk
            .iter()
            .enumerate()
            .map(|(id, open)| {
                json!({"id": id.to_string(), "method": "GET", "url": below(&base, &open.next)})
            })
            .collect();
        let counts = u32::try_from(chunk.len()).unwrap_or(1);
        let mut batch = base.clone();
        if let Ok(mut segments) = batch.path_segments_mut() {
            segments.push("$batch");
        }
        let body = json!({"requests": requests});
        let replies = match self.post(group, &batch, &body, counts).await.and_then(replies) {
            Ok(replies) => replies,
            Err(error) => return done(chunk, &error),
        };
        self.judge(group, chunk, replies).await
    }

    async fn judge(
        &self,
        group: ThrottleGroup,
        chunk: Vec<Open>,
        mut replies: HashMap<String, Reply>,
    ) -> Vec<Step> {
        let mut steps = Vec::with_capacity(chunk.len());
        let (mut longest, mut throttled) = (None, false);
        for (id, mut open) in chunk.into_iter().enumerate() {
            let Some(reply) = replies.remove(&id.to_string()) else {
                let error = GraphError::new(ReasonCode::MalformedResponse);
                steps.push(Step::Done(open.index, Err(error)));
                continue;
            };
            let Reply { status, retry_after, request_id, body } = reply;
            let text = body.as_ref().map(Json::to_string).unwrap_or_default();
            let refused = |reason| GraphError::answered(reason, status, request_id.clone());
            let reason = match verdict(status, text.as_bytes()) {
                Verdict::Good => {
                    steps.push(match body {
                        Some(body) => Self::take(open, body),
                        None if status == 204 => Self::take(open, Json::Null),
                        None => Step::Done(open.index, Err(refused(ReasonCode::MalformedResponse))),
                    });
                    continue;
                }
                // The outer request had a good token a moment ago: once more, in a later batch.
                Verdict::NewToken if !open.renewed => {
                    open.renewed = true;
                    steps.push(Step::More(Box::new(open)));
                    continue;
                }
                Verdict::NewToken => {
                    steps.push(Step::Done(open.index, Err(refused(ReasonCode::AuthFailed))));
                    continue;
                }
                Verdict::Final(reason) => {
                    steps.push(Step::Done(open.index, Err(refused(reason))));
                    continue;
                }
                Verdict::Again(reason) => reason,
            };
            open.attempts += 1;
            if open.attempts >= self.attempts() {
                steps.push(Step::Done(open.index, Err(refused(reason))));
                continue;
            }
            throttled |= reason == ReasonCode::GraphThrottled;
            longest = longest.max(Some(self.wait_after(open.attempts, retry_after.as_deref())));
            steps.push(Step::More(Box::new(open)));
        }
        // The others of the batch got through, so only those that did not are sent again.
        if let Some(wait) = longest {
            if throttled {
                self.hold(group, wait).await;
            } else {
                self.pause(wait).await;
            }
        }
        steps
    }

    /// Puts a page to what is there; done when there is no further one.
    fn take(mut open: Open, body: Json) -> Step {
        let fault = |reason, open: &Open| Step::Done(open.index, Err(GraphError::new(reason)));
        if body.is_null() {
            // "No content": there is nothing, and nothing more.
            let nothing = if open.ask.is_set { Json::Array(Vec::new()) } else { Json::Null };
            return Step::Done(open.index, Ok(nothing));
        }
        if !open.ask.is_set {
            return match body {
                Json::Object(_) | Json::String(_) => Step::Done(open.index, Ok(body)),
                _ => fault(ReasonCode::MalformedResponse, &open),
            };
        }
        let Json::Object(mut body) = body else {
            return fault(ReasonCode::MalformedResponse, &open);
        };
        match body.remove("value") {
            Some(Json::Array(elements)) => open.elements.extend(elements),
            _ => return fault(ReasonCode::MalformedResponse, &open),
        }
        let Some(link) = body.remove("@odata.nextLink") else {
            return Step::Done(open.index, Ok(Json::Array(open.elements)));
        };
        match next_link(&open.ask.url, &link) {
            Err(reason) => fault(reason, &open),
            Ok(_) if open.seen.len() >= usize::try_from(MAX_PAGES).unwrap_or(usize::MAX) => {
                fault(ReasonCode::PageLimit, &open)
            }
            Ok(next) if !open.seen.insert(next.to_string()) || next == open.ask.url => {
                fault(ReasonCode::PagingLoop, &open)
            }
            Ok(next) => {
                open.next = next;
                open.attempts = 0;
                Step::More(Box::new(open))
            }
        }
    }
}

/// A limit of one request a second leaves nothing to batch: twenty at once would be nineteen too many.
fn largest(group: ThrottleGroup) -> usize {
    let per_window = group.limits().and_then(|limits| limits.app_any.or(limits.tenant_any));
    let room = per_window.map_or(LARGEST, |count| usize::try_from(count).unwrap_or(LARGEST));
    room.clamp(1, LARGEST)
}

fn done(chunk: Vec<Open>, error: &GraphError) -> Vec<Step> {
    chunk.into_iter().map(|open| Step::Done(open.index, Err(error.clone()))).collect()
}

/// The address as a batch wants it: below the version.
fn below(base: &Url, url: &Url) -> String {
    let path = url.path().strip_prefix(base.path().trim_end_matches('/')).unwrap_or(url.path());
    match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

struct Reply {
    status: u16,
    retry_after: Option<String>,
    request_id: Option<String>,
    body: Option<Json>,
}

/// The answers by id. Ids that were sent as text may come back as numbers and in another case.
fn replies(body: Json) -> Result<HashMap<String, Reply>, GraphError> {
    let malformed = || GraphError::new(ReasonCode::MalformedResponse);
    let Json::Object(mut body) = body else { return Err(malformed()) };
    let Some(Json::Array(list)) = body.remove("responses") else { return Err(malformed()) };
    let mut replies = HashMap::with_capacity(list.len());
    for reply in list {
        let Json::Object(mut reply) = reply else { return Err(malformed()) };
        let id = match reply.remove("id") {
            Some(Json::String(id)) => id.lossy(),
            Some(Json::Number(id)) => id.as_str().to_owned(),
            _ => return Err(malformed()),
        };
        let status = reply.get("status").and_then(Json::as_u64);
        let status = status.and_then(|status| u16::try_from(status).ok()).ok_or_else(malformed)?;
        let headers = match reply.remove("headers") {
            Some(Json::Object(headers)) => headers,
            _ => Object::new(),
        };
        let request_id = header(&headers, "request-id")
            .and_then(|text| uuid::Uuid::try_parse(&text).ok())
            .map(|id| id.to_string());
        let retry_after = header(&headers, "retry-after");
        replies.insert(id, Reply { status, retry_after, request_id, body: reply.remove("body") });
    }
    Ok(replies)
}

fn header(headers: &Object, name: &str) -> Option<String> {
    let is_it = |key: &Text| key.as_str().is_some_and(|key| key.eq_ignore_ascii_case(name));
    match headers.iter().find(|(key, _)| is_it(key))?.1 {
        Json::String(text) => text.as_str().map(str::to_owned),
        Json::Number(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tp_domain::json;

    use super::*;

    #[test]
    fn a_batch_address_stands_below_the_version() {
        let base: Url = "https://graph.example/beta".parse().unwrap();
        let url: Url = "https://graph.example/beta/a/b?$top=5".parse().unwrap();
        assert_eq!(below(&base, &url), "/a/b?$top=5");
    }

    #[test]
    fn a_limit_of_one_a_second_is_not_batched() {
        assert_eq!(largest(ThrottleGroup::ConditionalAccess), 1);
        assert_eq!(largest(ThrottleGroup::IntuneDefault), 20);
        assert_eq!(largest(ThrottleGroup::Identity), 20);
    }

    #[test]
    fn answers_are_found_by_their_ids() {
        let body = json!({"responses": [
            {"id": 1, "status": 200, "body": {}},
            {"id": "0", "status": 429, "headers": {"retry-After": 7}},
        ]});
        let found = replies(body).unwrap();
        assert_eq!(found["0"].retry_after.as_deref(), Some("7"));
        assert_eq!(found["1"].status, 200);
        for bad in [json!([]), json!({}), json!({"responses": [{}]}), json!({"responses": [1]})] {
            assert!(replies(bad).is_err());
        }
    }
}
