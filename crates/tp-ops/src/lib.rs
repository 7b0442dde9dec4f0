//! What work does: one module per operation kind. No operation uses another's module.

mod capturing;
mod manifest;
mod observe;
mod pieces;
mod sign_in;
mod stored;

pub mod backup_create;
pub mod backup_retention;
pub mod backup_verify;
pub mod capture_policies;
pub mod connection_verify;
pub mod execute_schedule;
pub mod export_backup;
pub mod import_backup;
pub mod prune_payloads;
pub mod prune_runs;
pub mod restore_execute;
pub mod restore_preview;
pub mod sync_groups;
pub mod sync_inventory;

use std::sync::Arc;

use tp_catalog::registry::Catalog;
use tp_engine::registry::Registry;
use tp_graph::Graph;
use tp_graph::cloud::Clouds;
use tp_payload::PayloadStore;

/// Everything that operations work with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The contracts.
    pub catalog: Arc<Catalog>,
    /// The client of Graph.
    pub graph: Graph,
    /// The clouds that tenants can be in.
    pub clouds: Arc<Clouds>,
    /// Where captured policies are kept.
    pub payloads: PayloadStore,
}

/// All operations of this program.
pub fn registry(tools: &Tools) -> Registry {
    Registry::default()
        .with(Arc::new(sync_inventory::SyncInventoryOperation::new(tools.clone())))
        .with(Arc::new(backup_create::CreateBackupOperation::new(tools.clone())))
        .with(Arc::new(backup_verify::VerifyBackupOperation::new(tools.clone())))
        .with(Arc::new(backup_retention::RetainBackupsOperation))
        .with(Arc::new(export_backup::ExportBackupOperation::new(tools.clone())))
        .with(Arc::new(import_backup::ImportBackupOperation::new(tools.clone())))
        .with(Arc::new(capture_policies::CapturePoliciesOperation::new(tools.clone())))
        .with(Arc::new(sync_groups::SyncGroupsOperation::new(tools.clone())))
        .with(Arc::new(prune_payloads::PrunePayloadsOperation::new(tools.clone())))
        .with(Arc::new(connection_verify::VerifyConnectionOperation::new(tools.clone())))
        .with(Arc::new(restore_preview::PreviewRestoreOperation::new(tools.clone())))
        .with(Arc::new(restore_execute::RestoreExecuteOperation::new(
            tools.clone(),
            Arc::new(restore_execute::Vaulted(tools.clone())),
        )))
        .with(Arc::new(execute_schedule::ExecuteScheduleOperation))
        .with(Arc::new(prune_runs::PruneRunsOperation))
}
