//! `restore.preview`: reads the tenant and freezes the plan of a restore.

use serde_json::{Value, json};

use crate::ids::RestoreId;
use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, only_keys};

/// Ask for the preview of a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MakeRestorePreview {
    /// The restore.
    pub restore: RestoreId,
}

impl MakeRestorePreview {
    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let detail = "unknown input; allowed: restore";
        let map = only_keys(inputs, &["restore"], detail, &mut errors);
        let restore = map.and_then(|map| map.get("restore")?.as_str()?.parse().ok());
        match restore {
            Some(restore) if errors.is_empty() => Ok(Self { restore }),
            Some(_) => Err(errors),
            None => {
                errors.push(InputError::new("/restore", "must be the id of a restore"));
                Err(errors)
            }
        }
    }
}

impl OperationRequest for MakeRestorePreview {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::RestorePreview;

    fn inputs(&self) -> Value {
        json!({"restore": self.restore.to_string()})
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn it_takes_the_id_of_a_restore() {
        let request = MakeRestorePreview { restore: RestoreId::from_uuid(Uuid::from_u128(3)) };
        assert_eq!(MakeRestorePreview::parse(&request.inputs()), Ok(request));
        for bad in [json!({}), json!({"restore": "x"}), json!({"restore": 1}), json!([])] {
            assert!(MakeRestorePreview::parse(&bad).is_err(), "{bad}");
        }
    }
}
