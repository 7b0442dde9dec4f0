//! `backup.import`: makes a backup set of an uploaded archive (PRODUCT S-2).

use serde_json::{Value, json};

use crate::ids::ArtefactId;
use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, only_keys};

/// Ask for the import of one upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportBackup {
    /// The upload.
    pub upload: ArtefactId,
}

impl ImportBackup {
    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let Some(map) =
            only_keys(inputs, &["upload"], "unknown input; allowed: upload", &mut errors)
        else {
            return Err(errors);
        };
        let upload = map.get("upload").and_then(Value::as_str).and_then(|id| id.parse().ok());
        match upload {
            Some(upload) if errors.is_empty() => Ok(Self { upload }),
            Some(_) => Err(errors),
            None => {
                errors.push(InputError::new("/upload", "must be the id of an upload"));
                Err(errors)
            }
        }
    }
}

impl OperationRequest for ImportBackup {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::BackupImport;

    fn inputs(&self) -> Value {
        json!({"upload": self.upload.to_string()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_the_id_of_an_upload() {
        let id = "01a21285-1568-753f-9440-551c8770bcad";
        let request = ImportBackup::parse(&json!({"upload": id})).unwrap();
        assert_eq!(ImportBackup::parse(&request.inputs()), Ok(request));
        for bad in [json!({}), json!({"upload": 7}), json!({"upload": "x"}), json!("x")] {
            assert!(ImportBackup::parse(&bad).is_err(), "{bad}");
        }
        let both = ImportBackup::parse(&json!({"upload": id, "x": 1})).unwrap_err();
        assert_eq!(both[0].pointer, "/x");
    }
}
