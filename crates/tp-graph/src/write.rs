//! Writing: another hand than reading (rule I-8, PRODUCT G-6).
//!
//! A [`GraphWriter`] is had for a warrant only: a plan that a person confirmed, for this very tenant. It sends
//! nothing that was not written down before. And it never sends blindly again: what may have arrived is
//! [`Sent::Lost`], and whoever writes finds out by reading what came of it.

mod approval;

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret as _;
use tp_catalog::contract::{ApiVersion, Contract};
use tp_catalog::steps::Step;
use tp_catalog::throttle::ThrottleGroup;
use tp_domain::budget::BudgetUse;
use tp_domain::json::Json;
use tp_domain::reason::ReasonCode;
use tp_domain::restore::plan::BodyHash;
use tp_domain::restore::warrant::{RecordedIntent, WriteWarrant};
use url::Url;

pub use approval::Approval;

use crate::error::{GraphError, Verdict, verdict};
use crate::http::{Answer, Call, Graph, refused};
use crate::session::GraphSession;
use crate::throttle::next_wait;

/// Microsoft takes that many characters of a justification (PROTOCOL §7).
const LONGEST_JUSTIFICATION: usize = 1024;

/// Writes what one confirmed plan says.
///
/// There is no other way to one:
///
/// ```compile_fail,E0451
/// fn by_hand<'a>(session: &'a tp_graph::session::GraphSession) -> tp_graph::write::GraphWriter<'a> {
///     tp_graph::write::GraphWriter { session, warrant: todo!() }
/// }
/// ```
///
/// The twin that compiles shows its warrant:
///
/// ```
/// use tp_domain::restore::warrant::WriteWarrant;
/// use tp_graph::session::GraphSession;
/// fn with_a_warrant<'a>(session: &'a GraphSession, warrant: &'a dyn WriteWarrant) {
///     let _ = session.writer(warrant);
/// }
/// ```
pub struct GraphWriter<'a> {
    session: &'a GraphSession,
    warrant: &'a dyn WriteWarrant,
}

impl fmt::Debug for GraphWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphWriter").finish_non_exhaustive()
    }
}

/// A write as it will be sent, to be written down first.
pub struct Prepared {
    group: ThrottleGroup,
    url: Url,
    method: Method,
    path: String,
    body: Option<Vec<u8>>,
    hash: Option<BodyHash>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the body: it may hold what must not be in a log.
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Prepared {
    /// The method.
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// The path below the version.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The hash of the body.
    pub const fn body_hash(&self) -> Option<&BodyHash> {
        self.hash.as_ref()
    }
}

/// What came of sending a write.
#[derive(Debug)]
pub enum Sent {
    /// Graph took it.
    Done {
        /// What it answered, where that could be read.
        value: Option<Json>,
        /// Its id of the request.
        request_id: Option<String>,
    },
    /// Graph refused it. Nothing was changed.
    Refused(GraphError),
    /// A second administrator must approve it; nothing was changed.
    Parked {
        /// The code under which it waits.
        code: String,
    },
    /// The answer was lost, or says nothing: it may have happened and may still happen.
    Lost(GraphError),
    /// It did not leave: no token, no share of the limits, no connection. Nothing was changed.
    NotSent(GraphError),
}

/// Which header says why.
enum Ground<'a> {
    Justification(String),
    Code(&'a str),
}

impl GraphSession {
    /// A writer for this warrant. The tenant of the session must be the tenant of the plan (TRUST T29).
    pub fn writer<'a>(
        &'a self,
        warrant: &'a dyn WriteWarrant,
    ) -> Result<GraphWriter<'a>, GraphError> {
        if warrant.entra_tenant_id() == self.access.entra_tenant_id {
            Ok(GraphWriter { session: self, warrant })
        } else {
            Err(GraphError::new(ReasonCode::TenantMismatch))
        }
    }

    /// The address of a version, for links in bodies.
    pub fn base(&self, version: ApiVersion) -> Result<String, GraphError> {
        let url = self.address(version, "", &[])?;
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

impl GraphWriter<'_> {
    /// Makes a step of a contract ready for sending.
    pub fn prepare(&self, contract: &Contract, step: &Step) -> Result<Prepared, GraphError> {
        let broken = |_| GraphError::new(ReasonCode::InternalError);
        let method = Method::from_bytes(step.method.as_str().as_bytes());
        // As it was kept, to the last digit.
        let body = step.body.as_ref().map(Json::canonical).transpose();
        let body = body.map_err(|_| GraphError::new(ReasonCode::PayloadTooLarge))?;
        let body = body.map(String::into_bytes);
        Ok(Prepared {
            group: contract.throttle,
            url: self.session.address(contract.api_version, &step.path, &[])?,
            method: method.map_err(broken)?,
            path: step.path.clone(),
            hash: body.as_deref().map(BodyHash::of_bytes),
            body,
        })
    }

    /// Sends what was written down.
    pub async fn send(&self, write: &Prepared, intent: &dyn RecordedIntent) -> Sent {
        let text = justification(self.warrant.reason(), intent.id());
        self.send_with(write, intent, Ground::Justification(STANDARD.encode(text))).await
    }

    /// Sends again what was approved: the same request, with the code of its approval.
    pub async fn send_approved(
        &self,
        write: &Prepared,
        intent: &dyn RecordedIntent,
        code: &str,
    ) -> Sent {
        self.send_with(write, intent, Ground::Code(code)).await
    }

    async fn send_with(
        &self,
        write: &Prepared,
        intent: &dyn RecordedIntent,
        ground: Ground<'_>,
    ) -> Sent {
        let same = intent.method() == write.method()
            && intent.path() == write.path
            && intent.body_hash() == write.hash.as_ref();
        if !same {
            return Sent::NotSent(GraphError::new(ReasonCode::InternalError));
        }
        let session = self.session;
        let call = Call {
            access: &session.access,
            group: write.group,
            url: &write.url,
            body: None,
            counts: 1,
            max_bytes: session.graph.options.max_page_bytes,
            observer: &*session.observer,
            lane: session.lane,
            uses: BudgetUse::Write,
        };
        session.graph.write(call, write, &ground).await
    }
}

/// Why it is written, for the second administrator; and our own mark, by which a request whose answer was lost
/// is found again.
fn justification(reason: &str, intent: uuid::Uuid) -> String {
    let mark = mark(intent);
    let room = LONGEST_JUSTIFICATION - mark.len();
    reason.chars().take(room).chain(mark.chars()).collect()
}

fn mark(intent: uuid::Uuid) -> String {
    format!(" (TenantPilot {intent})")
}

/// What follows the answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Done,
    Parked,
    Refused(ReasonCode),
    NewToken,
    /// It was not carried out: it may be sent again after a wait.
    Later(ReasonCode),
    /// It may have been carried out.
    Lost(ReasonCode),
}

/// By the status alone, but for what a body says of a 401. Only what says that nothing was done may lead to
/// sending again: Microsoft documents that of 429, 401 and 423, and not of any 5xx.
fn after(status: u16, body: &[u8], has_code: bool) -> After {
    if status == 412 && has_code {
        return After::Parked;
    }
    match (status, verdict(status, body)) {
        (_, Verdict::Good) => After::Done,
        (_, Verdict::NewToken) => After::NewToken,
        (429 | 423, Verdict::Again(reason)) => After::Later(reason),
        (408 | 500..=599, Verdict::Again(reason) | Verdict::Final(reason)) => {
            let reason = match reason {
                ReasonCode::GraphRefused => ReasonCode::GraphUnavailable,
                reason => reason,
            };
            After::Lost(reason)
        }
        (_, Verdict::Again(reason)) => After::Lost(reason),
        (_, Verdict::Final(reason)) => After::Refused(reason),
    }
}

impl Graph {
    /// Sends a write. It is sent again only where nothing can have come of it.
    async fn write(&self, call: Call<'_>, write: &Prepared, ground: &Ground<'_>) -> Sent {
        let (mut waited, mut renewed, mut attempt) = (Duration::ZERO, false, 0);
        loop {
            let ready = async {
                waited = self.wait_for_group(&call, waited).await?;
                let token = self.token(call.access, None, call.observer).await?;
                self.take_from_budget(&call).await?;
                Ok::<_, GraphError>(token)
            };
            let token = match ready.await {
                Ok(token) => token,
                Err(error) => return Sent::NotSent(error),
            };
            attempt += 1;
            // A connection of its own: one that was kept may be closed by the other side at this moment, and
            // then nobody knows what has arrived.
            let mut request = self.fresh.request(write.method.clone(), write.url.clone());
            request = match ground {
                Ground::Justification(text) => {
                    request.header("x-msft-approval-justification", text)
                }
                Ground::Code(code) => request.header("x-msft-approval-code", *code),
            };
            if let Some(body) = &write.body {
                request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
            }
            let request = request.bearer_auth(token.bearer.expose_secret());
            let begun = Instant::now();
            let result = self.send(&call.access.cloud, request, call.max_bytes).await;
            let (reason, told, last) = match result {
                Ok(answer) => {
                    match after(answer.status, &answer.body, answer.approval_code.is_some()) {
                        After::Done => return done(&answer),
                        After::Parked => {
                            return Sent::Parked { code: answer.approval_code.unwrap_or_default() };
                        }
                        After::Refused(reason) => return Sent::Refused(refused(reason, &answer)),
                        After::Lost(reason) => return Sent::Lost(refused(reason, &answer)),
                        After::NewToken if renewed => {
                            return Sent::Refused(refused(ReasonCode::AuthFailed, &answer));
                        }
                        After::NewToken => {
                            renewed = true;
                            if let Err(error) =
                                self.token(call.access, Some(&token), call.observer).await
                            {
                                return Sent::NotSent(error);
                            }
                            continue;
                        }
                        After::Later(reason) => {
                            (reason, answer.retry_after, refused(reason, &answer))
                        }
                    }
                }
                Err(error) if error.is_unsent() => (error.reason(), None, error),
                Err(error) if error.reason() == ReasonCode::UntrustedNextLink => {
                    return Sent::NotSent(error);
                }
                Err(error) => {
                    tracing::warn!(
                        reason = %error.reason(),
                        after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                        "the answer to a write was lost",
                    );
                    return Sent::Lost(error);
                }
            };
            if attempt >= self.options.attempts {
                return Sent::NotSent(last);
            }
            let wait = next_wait(attempt, told, (self.chance)());
            if reason == ReasonCode::GraphThrottled {
                self.hold(call.access, call.group, wait).await;
            } else {
                match self.wait(wait, waited, reason, call.observer).await {
                    Ok(total) => waited = total,
                    Err(error) => return Sent::NotSent(error),
                }
            }
        }
    }
}

fn done(answer: &Answer) -> Sent {
    let value = Json::parse_unicode(&answer.body).ok();
    Sent::Done { value, request_id: answer.request_id.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_carried_out_may_be_sent_again() {
        use ReasonCode as R;
        let forbidden = r#"{"error":{"code":"Forbidden"}}"#;
        let cases: [(u16, &str, bool, After); 16] = [
            (200, "{}", false, After::Done),
            (204, "", false, After::Done),
            (302, "", false, After::Refused(R::MalformedResponse)),
            (400, "", false, After::Refused(R::GraphRefused)),
            (401, "", false, After::NewToken),
            (401, forbidden, false, After::Refused(R::PermissionMissing)),
            (403, "", false, After::Refused(R::PermissionMissing)),
            (404, "", false, After::Refused(R::ItemGone)),
            (408, "", false, After::Lost(R::GraphUnavailable)),
            (409, "", false, After::Refused(R::GraphRefused)),
            (412, "", false, After::Refused(R::GraphRefused)),
            (412, "", true, After::Parked),
            (423, "", false, After::Later(R::GraphUnavailable)),
            (429, "", false, After::Later(R::GraphThrottled)),
            (501, "", false, After::Lost(R::GraphUnavailable)),
            (504, "", false, After::Lost(R::GraphUnavailable)),
        ];
        for (status, body, has_code, expected) in cases {
            assert_eq!(after(status, body.as_bytes(), has_code), expected, "{status}");
        }
    }

    #[test]
    fn a_justification_has_room_for_our_mark() {
        let intent = uuid::Uuid::from_u128(7);
        let text = justification(&"ä".repeat(3000), intent);
        assert_eq!(text.chars().count(), 1024);
        assert!(text.ends_with(&mark(intent)));
    }
}
