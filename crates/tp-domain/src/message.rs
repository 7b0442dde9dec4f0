//! Sentences for people that cannot carry a secret (rule I-7).

use std::fmt;

use crate::reason::ReasonCode;

/// A sentence that is safe to store and show: made of a reason code and of counted facts only.
///
/// No text becomes one, whatever it holds:
///
/// ```compile_fail,E0423
/// let token = String::from("eyJ0eXAiOiJKV1Qi");
/// let _ = tp_domain::message::SafeMessage(token);
/// ```
///
/// ```compile_fail,E0277
/// let token = String::from("eyJ0eXAiOiJKV1Qi");
/// let _: tp_domain::message::SafeMessage = token.into();
/// ```
///
/// ```
/// use tp_domain::message::{SafeMessage, Shown};
/// use tp_domain::reason::ReasonCode;
/// let _: SafeMessage = ReasonCode::GraphThrottled.message(&[Shown::Count("attempts", 3)]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeMessage(String);

/// A fact that may stand in a [`SafeMessage`].
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    /// A number with its unit: `Count("attempts", 3)`.
    Count(&'static str, u64),
    /// A policy type, by its key in the contract registry.
    PolicyType(&'a crate::policy::PolicyType),
    /// A sentence of the program's own, with the stable word for it.
    Said(&'static str, &'static str),
}

impl SafeMessage {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads back what the store wrote. The store writes nothing but safe messages, and `cargo xtask tidy`
    /// lets nobody else call this.
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for SafeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ReasonCode {
    /// The sentence of this code, followed by the facts.
    pub fn message(self, facts: &[Shown<'_>]) -> SafeMessage {
        let mut text = self.text().sentence.to_owned();
        for fact in facts {
            let shown = match fact {
                Shown::Count(unit, count) => format!(" ({count} {unit})"),
                Shown::PolicyType(policy_type) => format!(" [{policy_type}]"),
                Shown::Said(sentence, word) => format!(" {sentence} ({word})"),
            };
            text.push_str(&shown);
        }
        SafeMessage(text)
    }
}
