//! What the login host of Microsoft Entra means by its refusals, as reason codes (PROTOCOL §6).
//!
//! Numbers are Microsoft's AADSTS codes (Entra documentation, reference-error-codes). Texts are not
//! looked at, but for the number that stands at the beginning of one.

use crate::reason::ReasonCode;

/// The reason of an AADSTS number; none for a number that tells nothing that we act upon.
pub const fn reason_of_number(number: u64) -> Option<ReasonCode> {
    Some(match number {
        90_002 | 700_016 | 700_011 | 90_038 | 90_051 => ReasonCode::AppNotFound,
        7_000_215 | 7_000_218 | 900_144 | 700_027 | 50_012 | 700_030 | 50_027 | 700_021
        | 700_023 | 700_024 => ReasonCode::CredentialInvalid,
        7_000_222 => ReasonCode::CredentialExpired,
        65_001 | 65_004 | 650_056 | 90_094 | 500_011 | 650_057 | 7_000_229 => {
            ReasonCode::ConsentMissing
        }
        90_033 | 90_006 | 90_012 | 90_024 | 50_033 | 90_090 => ReasonCode::GraphUnavailable,
        90_055 | 50_196 => ReasonCode::GraphThrottled,
        _ => return None,
    })
}

/// The reason of an answer of the admin-consent page: its `error`, and the number that its description
/// may begin with. Both come through a browser and are worth no more than a hint for people.
pub fn reason_of_consent(error: &str, description: &str) -> ReasonCode {
    let number = description.trim_start().strip_prefix("AADSTS").map(|rest| {
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end.min(9)].parse::<u64>().unwrap_or(0)
    });
    if let Some(reason) = number.and_then(reason_of_number) {
        return reason;
    }
    match error {
        "access_denied" | "consent_required" | "interaction_required" => ReasonCode::ConsentMissing,
        "unauthorized_client" | "invalid_client" => ReasonCode::AppNotFound,
        "temporarily_unavailable" | "server_error" => ReasonCode::GraphUnavailable,
        _ => ReasonCode::AuthFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_consent_page_become_reasons() {
        use ReasonCode as R;
        for (error, description, reason) in [
            ("access_denied", "AADSTS65004: User declined to consent.", R::ConsentMissing),
            ("access_denied", "", R::ConsentMissing),
            ("invalid_request", "AADSTS700016: Application not found.", R::AppNotFound),
            ("server_error", "AADSTS90033: A transient error.", R::GraphUnavailable),
            ("temporarily_unavailable", "later", R::GraphUnavailable),
            ("unauthorized_client", "AADSTS999999999999999999999", R::AppNotFound),
            ("invalid_request", "AADSTS", R::AuthFailed),
            ("<script>", "AADSTSé", R::AuthFailed),
        ] {
            assert_eq!(reason_of_consent(error, description), reason, "{error} {description}");
        }
    }
}
