//! Which operation carries out which kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use tp_domain::operation::OperationKind;

use crate::operation::Operation;

/// The operations of this process. A kind that is not here is not claimed (ruling 11).
#[derive(Clone, Default)]
pub struct Registry {
    operations: BTreeMap<OperationKind, Arc<dyn Operation>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.operations.keys()).finish()
    }
}

impl Registry {
    /// Adds an operation; the last one for a kind counts.
    #[must_use]
    pub fn with(mut self, operation: Arc<dyn Operation>) -> Self {
        self.operations.insert(operation.kind(), operation);
        self
    }

    /// The operation for a kind.
    pub fn get(&self, kind: OperationKind) -> Option<Arc<dyn Operation>> {
        self.operations.get(&kind).cloned()
    }

    /// The kinds that this process can carry out.
    pub fn kinds(&self) -> Vec<OperationKind> {
        self.operations.keys().copied().collect()
    }
}
