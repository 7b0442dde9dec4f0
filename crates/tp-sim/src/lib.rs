//! A pretend Microsoft Graph for the demo and the tests.
