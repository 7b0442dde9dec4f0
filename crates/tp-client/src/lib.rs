//! The HTTP client of the command line: speaks to a TenantPilot server.
