//! What things are and what may follow what: pure types and rules of TenantPilot.
