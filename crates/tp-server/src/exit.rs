//! Exit codes (INTERFACE §1).

use tp_client::ClientError;

pub(crate) const DONE: u8 = 0;
pub(crate) const ERROR: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const RUN_FAILED: u8 = 3;
pub(crate) const SIGN_IN: u8 = 4;
pub(crate) const NOT_PERMITTED: u8 = 5;
pub(crate) const NOT_FOUND: u8 = 6;
pub(crate) const CONFLICT: u8 = 7;
pub(crate) const PARTIALLY: u8 = 8;
pub(crate) const DIFFERENCES: u8 = 9;
pub(crate) const UNAVAILABLE: u8 = 10;
pub(crate) const CANCELED: u8 = 11;
pub(crate) const TIMEOUT: u8 = 124;
pub(crate) const INTERRUPTED: u8 = 130;

/// The code for a refusal of the server.
pub(crate) fn of_error(error: &ClientError) -> u8 {
    match error {
        ClientError::BadServer(_) => USAGE,
        ClientError::Unreachable(_) => UNAVAILABLE,
        ClientError::NotOurs | ClientError::NotWritten(_) => ERROR,
        ClientError::BrokenOff => UNAVAILABLE,
        ClientError::Refused { status, .. } => match status {
            400 | 422 | 428 => USAGE,
            401 => SIGN_IN,
            403 => NOT_PERMITTED,
            404 => NOT_FOUND,
            409 | 412 => CONFLICT,
            429 | 503 => UNAVAILABLE,
            _ => ERROR,
        },
    }
}

/// The code for the end of a run.
pub(crate) fn of_outcome(outcome: &str) -> u8 {
    match outcome {
        "succeeded" => DONE,
        "partially_succeeded" => PARTIALLY,
        "canceled" => CANCELED,
        "failed" | "blocked" => RUN_FAILED,
        _ => ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_refusals_have_their_codes() {
        let outcomes = [
            ("succeeded", 0),
            ("partially_succeeded", 8),
            ("failed", 3),
            ("blocked", 3),
            ("canceled", 11),
        ];
        for (word, code) in outcomes {
            assert_eq!(of_outcome(word), code, "{word}");
        }
        let refused = |status| ClientError::Refused {
            status,
            code: String::new(),
            detail: String::new(),
            errors: Vec::new(),
            request_id: String::new(),
        };
        for (status, code) in
            [(401, 4), (403, 5), (404, 6), (409, 7), (422, 2), (503, 10), (500, 1)]
        {
            assert_eq!(of_error(&refused(status)), code, "{status}");
        }
    }
}
