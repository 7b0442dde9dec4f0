//! The Graph contract registry (data files) and the capabilities resolver.
