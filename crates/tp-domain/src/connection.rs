//! How a tenant is reached: the credential's facts, when a warning is due, and what a check found
//! (PRODUCT G-7).

use std::time::Duration;

use serde_json::{Value, json};

use crate::ids::{CredentialId, RunId};
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// What an app registration proves itself with.
    pub enum CredentialKind {
        /// A client secret: a text that both sides know.
        Secret => "secret",
        /// A certificate: we sign with its private key, which leaves this installation never.
        Certificate => "certificate",
    }
}

words! {
    /// Whether a credential is signed in with.
    pub enum CredentialState {
        /// Runs sign in with it.
        Active => "active",
        /// Made here and not used yet: its certificate must be known to Microsoft Entra first.
        Pending => "pending",
    }
}

/// What may be known of a credential. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFacts {
    /// Its id.
    pub id: CredentialId,
    /// Secret or certificate.
    pub kind: CredentialKind,
    /// Whether runs sign in with it.
    pub state: CredentialState,
    /// When it ends: from the certificate, or as somebody said of a secret.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the certificate, in hex.
    pub thumbprint: Option<String>,
    /// When it was stored.
    pub set_at: Timestamp,
    /// Who stored it.
    pub set_by: String,
}

words! {
    /// How long before its end a credential is warned of (ruling 24).
    pub enum ExpiryWarning {
        /// A day or less is left.
        Day => "1_day",
        /// A week or less is left.
        Week => "7_days",
        /// Thirty days or fewer are left.
        Month => "30_days",
    }
}

impl ExpiryWarning {
    /// How much time is left when it becomes due.
    pub const fn before(self) -> Duration {
        match self {
            Self::Day => Duration::from_hours(24),
            Self::Week => Duration::from_hours(7 * 24),
            Self::Month => Duration::from_hours(30 * 24),
        }
    }

    /// The warning that is due now: the narrowest. None while there is time, and none when it is over:
    /// runs fail then, and say so.
    pub fn due(expires_at: Timestamp, now: Timestamp) -> Option<Self> {
        if expires_at <= now {
            return None;
        }
        Self::ALL.iter().copied().find(|warning| expires_at.minus(warning.before()) <= now)
    }
}

/// How a credential stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Nobody has said when it ends.
    NotSaid,
    /// It holds.
    Holds,
    /// It ends soon: so many whole days are left.
    Soon {
        /// Whole days.
        days: u64,
    },
    /// It has ended.
    Over,
}

impl CredentialFacts {
    /// How it stands now.
    pub fn expiry(&self, now: Timestamp) -> Expiry {
        let Some(end) = self.expires_at else { return Expiry::NotSaid };
        if end <= now {
            return Expiry::Over;
        }
        match ExpiryWarning::due(end, now) {
            None => Expiry::Holds,
            Some(_) => Expiry::Soon { days: end.since(now).as_secs() / 86_400 },
        }
    }
}

words! {
    /// The answer to one question of a check.
    pub enum Found {
        /// Yes.
        Yes => "yes",
        /// No.
        No => "no",
        /// It could not be found out.
        Unknown => "unknown",
    }
}

/// One answer, and why it is not better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The answer.
    pub found: Found,
    /// Why not, or why it is not known.
    pub reason: Option<ReasonCode>,
    /// The permission without which it cannot be known.
    pub needs: Option<String>,
}

impl Finding {
    /// It is so.
    pub const YES: Self = Self { found: Found::Yes, reason: None, needs: None };
    /// It is not so, and nothing is wrong with that.
    pub const NO: Self = Self { found: Found::No, reason: None, needs: None };

    /// It is not so.
    pub const fn no(reason: ReasonCode) -> Self {
        Self { found: Found::No, reason: Some(reason), needs: None }
    }

    /// It could not be found out.
    pub const fn unknown(reason: ReasonCode) -> Self {
        Self { found: Found::Unknown, reason: Some(reason), needs: None }
    }

    /// It could not be found out without this permission.
    pub fn unknown_without(permission: &str) -> Self {
        let needs = Some(permission.to_owned());
        Self { needs, ..Self::unknown(ReasonCode::PermissionMissing) }
    }

    /// As it is stored and as the API shows it.
    pub fn json(&self) -> Value {
        json!({
            "found": self.found.as_str(), "reason": self.reason.map(ReasonCode::as_str),
            "needs": self.needs,
        })
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        Some(Self {
            found: text("found")?.parse().ok()?,
            reason: text("reason").and_then(|reason| reason.parse().ok()),
            needs: text("needs").map(str::to_owned),
        })
    }
}

/// What a check of a connection found: facts only. What they mean for each policy type is derived where
/// it is shown, so that a newer registry judges an older check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionReport {
    /// The run that checked.
    pub run: RunId,
    /// When.
    pub checked_at: Timestamp,
    /// The app registration that signed in.
    pub client_id: String,
    /// The cloud.
    pub cloud: String,
    /// With what it signed in; none where there was nothing to sign in with.
    pub credential: Option<CredentialKind>,
    /// Whether the login host gave a token, for this tenant.
    pub token: Finding,
    /// Whether an administrator of the tenant has consented to the app.
    pub consent: Finding,
    /// The application permissions that the token carries; none where there is no token that can be read.
    pub granted: Option<Vec<String>>,
    /// Whether the tenant has a licence for Microsoft Intune.
    pub licence: Finding,
    /// The service plans that say so.
    pub plans: Vec<String>,
    /// Whether writes wait for a second administrator in Intune.
    pub approval: Finding,
    /// Which kinds of objects such approvals are for, in Intune's words.
    pub approval_for: Vec<String>,
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|one| one.as_str().map(str::to_owned)).collect()
}

impl ConnectionReport {
    /// As it is stored and as the API shows it; run and time stand beside it.
    pub fn json(&self) -> Value {
        json!({
            "client_id": self.client_id, "cloud": self.cloud,
            "credential": self.credential.map(CredentialKind::as_str),
            "token": self.token.json(), "consent": self.consent.json(), "granted": self.granted,
            "licence": self.licence.json(), "plans": self.plans,
            "approval": self.approval.json(), "approval_for": self.approval_for,
        })
    }

    /// Reads what [`Self::json`] wrote.
    pub fn read(run: RunId, checked_at: Timestamp, value: &Value) -> Option<Self> {
        let finding = |name: &str| value.get(name).and_then(Finding::read);
        let text = |name: &str| value.get(name)?.as_str();
        let granted = value.get("granted").filter(|list| !list.is_null());
        Some(Self {
            run,
            checked_at,
            client_id: text("client_id")?.to_owned(),
            cloud: text("cloud")?.to_owned(),
            credential: text("credential").and_then(|kind| kind.parse().ok()),
            token: finding("token")?,
            consent: finding("consent")?,
            granted: granted.map(texts).unwrap_or_default(),
            licence: finding("licence")?,
            plans: texts(value.get("plans")?)?,
            approval: finding("approval")?,
            approval_for: texts(value.get("approval_for")?)?,
        })
    }

    /// Whether it can be signed in with this connection.
    pub fn works(&self) -> bool {
        self.token.found == Found::Yes && self.consent.found == Found::Yes
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_micros(hours * HOUR)
    }

    #[test]
    fn a_warning_is_due_thirty_seven_and_one_day_before() {
        let due = |left: i64| ExpiryWarning::due(at(left), at(0));
        assert_eq!(due(30 * 24 + 1), None);
        assert_eq!(due(30 * 24), Some(ExpiryWarning::Month));
        assert_eq!(due(7 * 24 + 1), Some(ExpiryWarning::Month));
        assert_eq!(due(7 * 24), Some(ExpiryWarning::Week));
        assert_eq!(due(24), Some(ExpiryWarning::Day));
        assert_eq!(due(1), Some(ExpiryWarning::Day));
        assert_eq!(due(0), None, "what is over is not warned of");
    }

    #[test]
    fn a_credential_stands_in_time() {
        let facts = |end: Option<i64>| CredentialFacts {
            id: CredentialId::from_uuid(Uuid::from_u128(1)),
            kind: CredentialKind::Secret,
            state: CredentialState::Active,
            expires_at: end.map(at),
            thumbprint: None,
            set_at: at(0),
            set_by: String::new(),
        };
        assert_eq!(facts(None).expiry(at(0)), Expiry::NotSaid);
        assert_eq!(facts(Some(31 * 24)).expiry(at(0)), Expiry::Holds);
        assert_eq!(facts(Some(9 * 24 + 5)).expiry(at(0)), Expiry::Soon { days: 9 });
        assert_eq!(facts(Some(5)).expiry(at(0)), Expiry::Soon { days: 0 });
        assert_eq!(facts(Some(5)).expiry(at(5)), Expiry::Over);
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = ConnectionReport {
            run: RunId::from_uuid(Uuid::from_u128(1)),
            checked_at: at(7),
            client_id: "app".to_owned(),
            cloud: "global".to_owned(),
            credential: Some(CredentialKind::Certificate),
            token: Finding::YES,
            consent: Finding::no(ReasonCode::ConsentMissing),
            granted: Some(vec!["Group.Read.All".to_owned()]),
            licence: Finding::unknown_without("Organization.Read.All"),
            plans: vec!["INTUNE_A".to_owned()],
            approval: Finding::NO,
            approval_for: Vec::new(),
        };
        let read = |report: &ConnectionReport| {
            ConnectionReport::read(report.run, report.checked_at, &report.json())
        };
        assert_eq!(read(&report).as_ref(), Some(&report));
        assert!(!report.works());
        let bare = ConnectionReport { granted: None, credential: None, ..report };
        assert_eq!(read(&bare).as_ref(), Some(&bare));
        assert_eq!(ConnectionReport::read(bare.run, bare.checked_at, &json!({})), None);
    }
}
