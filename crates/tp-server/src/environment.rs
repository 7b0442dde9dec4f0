//! The process's environment: read once, in `main`, and passed on.

/// Every variable of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(pub(crate) Vec<(String, String)>);

impl Environment {
    /// The variables that are texts. Others cannot be ours.
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// The value of a variable that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(own, value)| own == name && !value.is_empty())
            .map(|(_, value)| value.clone())
    }
}
