//! The process's environment: read once, in `main`, and passed on.

/// Every variable of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(pub(crate) Vec<(String, String)>);

impl Environment {
    /// The variables whose names are texts; others cannot be ours. What is not UTF-8 in a value becomes
    /// U+FFFD, which the configuration refuses.
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
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
