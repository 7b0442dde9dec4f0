//! The only crate that speaks to Microsoft Graph and its login hosts.
