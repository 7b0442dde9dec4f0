//! `connection.verify`: checks how a tenant is reached and what its app may do there (PRODUCT G-7).

use serde_json::{Value, json};

use crate::operation::{InputError, OfTenant, OperationKind, OperationRequest, no_inputs};

/// Ask for a check of the tenant's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyConnection;

impl VerifyConnection {
    /// Reads inputs: there are none.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        no_inputs(inputs).map(|()| Self)
    }
}

impl OperationRequest for VerifyConnection {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::ConnectionVerify;

    fn inputs(&self) -> Value {
        json!({})
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::operation::IdentityHash;

    #[test]
    fn it_takes_no_inputs_and_is_the_same_each_time() {
        assert!(VerifyConnection::parse(&json!({})).is_ok());
        assert_eq!(VerifyConnection::parse(&json!({"x": 1})).unwrap_err()[0].pointer, "/x");
        let hash = |tenant: u128| {
            let inputs = VerifyConnection.inputs();
            IdentityHash::of(VerifyConnection::KIND, Uuid::from_u128(tenant), &inputs)
        };
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
