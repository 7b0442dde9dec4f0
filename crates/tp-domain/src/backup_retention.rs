//! `backup.retention`: removes backup sets that the given rules do not keep (PRODUCT S-5).

use serde_json::{Map, Value, json};

use crate::operation::{
    InputError, OfTenant, OperationKind, OperationRequest, canonical, only_keys,
};
use crate::retention::{KeepRules, zone};

const COUNTS: [&str; 4] = ["keep_last", "keep_daily", "keep_weekly", "keep_monthly"];

/// Ask for the removal of what the rules do not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainBackups {
    rules: KeepRules,
}

impl RetainBackups {
    /// What is kept.
    pub const fn rules(&self) -> &KeepRules {
        &self.rules
    }

    /// Reads inputs as the API takes them and as the store keeps them.
    pub fn parse(inputs: &Value) -> Result<Self, Vec<InputError>> {
        let mut errors = Vec::new();
        let allowed =
            ["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "zone", "only_scheduled"];
        let detail = "unknown input; allowed: keep_last, keep_daily, keep_weekly, keep_monthly, \
                      zone, only_scheduled";
        let Some(map) = only_keys(inputs, &allowed, detail, &mut errors) else {
            return Err(errors);
        };
        let [last, daily, weekly, monthly] = COUNTS.map(|name| count(map, name, &mut errors));
        let zone_name = match map.get("zone") {
            None => "UTC",
            Some(Value::String(name)) if zone(name).is_ok() => name.as_str(),
            Some(_) => {
                let detail = "must be an IANA name such as Europe/Berlin or UTC";
                errors.push(InputError::new("/zone", detail));
                "UTC"
            }
        };
        let only_scheduled = match map.get("only_scheduled") {
            None => false,
            Some(Value::Bool(only)) => *only,
            Some(_) => {
                errors.push(InputError::new("/only_scheduled", "must be true or false"));
                false
            }
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let zone = zone_name.to_owned();
        Ok(Self { rules: KeepRules { last, daily, weekly, monthly, zone, only_scheduled } })
    }
}

fn count(map: &Map<String, Value>, name: &'static str, errors: &mut Vec<InputError>) -> u32 {
    let is_last = name == "keep_last";
    let least = if is_last { KeepRules::FLOOR } else { 0 };
    let given = match map.get(name) {
        None if !is_last => return 0,
        given => given.and_then(Value::as_u64).and_then(|given| u32::try_from(given).ok()),
    };
    if let Some(given) = given.filter(|given| (least..=KeepRules::CEILING).contains(given)) {
        return given;
    }
    let detail = if is_last {
        "is needed: a whole number from 3 to 1,000"
    } else {
        "must be a whole number from 0 to 1,000"
    };
    errors.push(InputError::at(format!("/{name}"), detail));
    0
}

impl From<KeepRules> for RetainBackups {
    /// Keeps within the bounds what is outside of them.
    fn from(rules: KeepRules) -> Self {
        let within = |count: u32, least| count.clamp(least, KeepRules::CEILING);
        let rules = KeepRules {
            last: within(rules.last, KeepRules::FLOOR),
            daily: within(rules.daily, 0),
            weekly: within(rules.weekly, 0),
            monthly: within(rules.monthly, 0),
            ..rules
        };
        Self { rules }
    }
}

impl OperationRequest for RetainBackups {
    type Level = OfTenant;

    const KIND: OperationKind = OperationKind::BackupRetention;

    fn inputs(&self) -> Value {
        let rules = &self.rules;
        canonical(&json!({
            "keep_last": rules.last,
            "keep_daily": rules.daily,
            "keep_weekly": rules.weekly,
            "keep_monthly": rules.monthly,
            "zone": rules.zone,
            "only_scheduled": rules.only_scheduled,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_inputs_read_back_to_the_same_rules() {
        let request = RetainBackups::parse(&json!({"keep_last": 7, "keep_daily": 30})).unwrap();
        assert_eq!((request.rules().last, request.rules().weekly), (7, 0));
        assert_eq!(RetainBackups::parse(&request.inputs()), Ok(request.clone()));
        assert_eq!(RetainBackups::from(request.rules().clone()), request);
    }

    #[test]
    fn what_would_empty_a_tenant_is_refused() {
        let pointers = |inputs: &Value| -> Vec<String> {
            let errors = RetainBackups::parse(inputs).unwrap_err();
            errors.into_iter().map(|error| error.pointer).collect()
        };
        assert_eq!(pointers(&json!({})), ["/keep_last"]);
        assert_eq!(pointers(&json!({"keep_last": 2})), ["/keep_last"]);
        assert_eq!(pointers(&json!({"keep_last": 3, "keep_daily": -1})), ["/keep_daily"]);
        assert_eq!(pointers(&json!({"keep_last": 3, "zone": "X", "a": 1})), ["/a", "/zone"]);
        assert_eq!(pointers(&json!({"keep_last": 3, "only_scheduled": 1})), ["/only_scheduled"]);
    }
}
