//! `backup.export`: packs a backup set into an archive that can be downloaded (PRODUCT S-2).

use serde_json::{Value, json};

use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, only_keys};

/// The one form that there is.
const FORM: &str = "zip";

/// Ask for the archive of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportBackup {
    /// The set's number.
    pub backup: u64,
}

impl ExportBackup {
    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let allowed = "unknown input; allowed: backup, format";
        let Some(map) = only_keys(inputs, &["backup", "format"], allowed, &mut errors) else {
            return Err(errors);
        };
        if map.get("format").is_some_and(|form| form != FORM) {
            errors.push(InputError::new("/format", "must be zip"));
        }
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

impl OperationRequest for ExportBackup {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::BackupExport;

    fn inputs(&self) -> Value {
        json!({"backup": self.backup, "format": FORM})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_the_number_of_a_backup_and_one_format() {
        let request = ExportBackup::parse(&json!({"backup": 7})).unwrap();
        assert_eq!(ExportBackup::parse(&request.inputs()), Ok(request));
        let bad =
            [json!({}), json!({"backup": 0}), json!({"backup": 7, "format": "tar"}), json!([])];
        for bad in bad {
            assert!(ExportBackup::parse(&bad).is_err(), "{bad}");
        }
    }
}
