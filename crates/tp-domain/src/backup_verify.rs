//! `backup.verify`: reads all that a backup set holds and says whether it is what was stored (PRODUCT S-2).

use serde_json::{Value, json};

use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, only_keys};

/// Ask for the verification of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyBackup {
    /// The set's number.
    pub backup: u64,
}

impl VerifyBackup {
    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let Some(map) =
            only_keys(inputs, &["backup"], "unknown input; allowed: backup", &mut errors)
        else {
            return Err(errors);
        };
        let number = map.get("backup").and_then(Value::as_u64);
        match number.filter(|number| (1..=i64::MAX as u64).contains(number)) {
            Some(backup) if errors.is_empty() => Ok(Self { backup }),
            Some(_) => Err(errors),
            None => {
                errors.push(InputError::new("/backup", "must be the number of a backup"));
                Err(errors)
            }
        }
    }
}

impl OperationRequest for VerifyBackup {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::BackupVerify;

    fn inputs(&self) -> Value {
        json!({"backup": self.backup})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_the_number_of_a_backup() {
        let request = VerifyBackup::parse(&json!({"backup": 7})).unwrap();
        assert_eq!(VerifyBackup::parse(&request.inputs()), Ok(request));
        for bad in [json!({}), json!({"backup": 0}), json!({"backup": "7"}), json!(7)] {
            assert!(VerifyBackup::parse(&bad).is_err(), "{bad}");
        }
        let both = VerifyBackup::parse(&json!({"backup": 1, "x": 1})).unwrap_err();
        assert_eq!(both[0].pointer, "/x");
    }
}
