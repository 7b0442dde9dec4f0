//! Captures of single policies: versions without a set. Each policy is an item of the run, which ends in the
//! transaction that writes its version: nothing is counted twice, and nothing is lost (PRODUCT R-8).

use std::sync::Arc;

use tp_domain::ids::VersionId;
use tp_domain::item::{ItemEnd, ItemState};
use tp_domain::policy::PolicyType;
use tp_domain::version::Purpose;

use crate::ClaimedRun;
use crate::backups::{BackupEntry, BackupWritten, item_key};
use crate::claims::Claimed;
use crate::db::Tx;
use crate::error::StoreError;
use crate::items::{clean, end_item};
use crate::stmt::stmt;
use crate::versions::{self, Captured};

const STATE: &str = "\
SELECT state FROM run_items WHERE scope_id = $1 AND run_id = $2 AND item_key = $3";

#[derive(sqlx::FromRow)]
struct StateRow {
    state: String,
}

impl ClaimedRun {
    /// Writes down what became of some policies of one type that are items of this run
    /// ([`ClaimedRun::items_plan`], by the keys of [`capture_key`]).
    pub async fn capture_write(
        &self,
        policy_type: &PolicyType,
        entries: Vec<BackupEntry>,
    ) -> Result<BackupWritten, StoreError> {
        self.records();
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let key = policy_type.clone();
        let written = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let mut done = BackupWritten::default();
                    for (place, entry) in entries.iter().enumerate() {
                        if !is_open(tx, &claimed, &key, entry).await? {
                            continue;
                        }
                        if let BackupEntry::Captured(captured) = entry {
                            let purpose = Purpose::Capture;
                            let written =
                                versions::write(tx, &*ids, &claimed, &key, purpose, captured)
                                    .await?;
                            let Some(written) = written else {
                                done.again.push(place);
                                continue;
                            };
                            done.new_versions += u64::from(written.is_new);
                        }
                        let item = capture_key(&key, entry.graph_id());
                        end_item(tx, &claimed, item, &item_end(entry)).await?;
                        match entry {
                            BackupEntry::Failed { .. } => done.failed += 1,
                            BackupEntry::Captured(_) | BackupEntry::Unchanged { .. } => {
                                done.counted += 1;
                            }
                        }
                    }
                    Ok(done)
                })
            })
            .await?;
        self.progress().add(written.counted, written.failed, 0);
        Ok(written)
    }

    /// Writes down what was captured of one policy, for a purpose of its own: as a new version, or as the
    /// latest one where that has the same content. None when the payload is not there any more.
    pub async fn version_keep(
        &self,
        policy_type: &PolicyType,
        purpose: Purpose,
        captured: Captured,
    ) -> Result<Option<VersionId>, StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let key = policy_type.clone();
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let written = versions::write(tx, &*ids, &claimed, &key, purpose, &captured);
                    Ok(written.await?.map(|written| written.version))
                })
            })
            .await
    }
}

/// The key of a policy among the items of a capture.
pub fn capture_key(policy_type: &PolicyType, graph_id: &str) -> String {
    clean(&item_key(policy_type, graph_id))
}

/// Whether the policy is an item of the run that has not ended.
async fn is_open(
    tx: &mut Tx,
    claimed: &Claimed,
    key: &PolicyType,
    entry: &BackupEntry,
) -> Result<bool, StoreError> {
    let key = capture_key(key, entry.graph_id());
    let state = stmt!(STATE, claimed.scope, claimed.run.uuid(), key);
    let state: Option<StateRow> = tx.optional(state).await?;
    Ok(state.is_some_and(|row| row.state.parse().is_ok_and(|state: ItemState| !state.is_over())))
}

fn item_end(entry: &BackupEntry) -> ItemEnd {
    match entry {
        BackupEntry::Failed { reason, graph_request_id, .. } => {
            ItemEnd::Failed { reason: *reason, graph_request_id: graph_request_id.clone() }
        }
        BackupEntry::Captured(_) | BackupEntry::Unchanged { .. } => ItemEnd::Succeeded,
    }
}
