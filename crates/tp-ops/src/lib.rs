//! What work does: one module per operation kind.
