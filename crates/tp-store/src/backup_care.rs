//! What is done with a set after it was made: noted, pinned, deleted by a person or by retention, verified.
//!
//! Whoever deletes a set, or says that a restore needs it, changes the set's row first: one waits for the
//! other, and then sees what it has done.

use std::sync::Arc;

use serde_json::{Value, json};
use tp_domain::access::{DeleteBackups, PreviewRestore, ViewBackups};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::backup::BackupState;
use tp_domain::ids::{BackupId, Ids, RestoreId};
use tp_domain::payload::PayloadAddress;
use tp_domain::retention::{KeepReason, SetFacts};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::ClaimedRun;
use crate::artefacts;
use crate::audit::audit;
use crate::db::Tx;
use crate::error::StoreError;
use crate::payloads::release;
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::bad_row;

macro_rules! facts {
    () => {
        "SELECT b.id, b.number, b.created_at, b.state, b.pinned, b.trigger_kind, b.imported_from, b.note, b.items, b.revision, \
         b.manifest, EXISTS ( \
           SELECT 1 FROM backup_holds h \
           JOIN restores r ON r.scope_id = h.scope_id AND r.id = h.restore_id \
           WHERE h.scope_id = b.scope_id AND h.set_id = b.id \
             AND r.state NOT IN ('done', 'expired', 'discarded')) AS needed, \
         (b.state = 'creating' AND EXISTS ( \
           SELECT 1 FROM operation_runs r \
           WHERE r.scope_id = b.scope_id AND r.id = b.run_id AND r.outcome = 'pending')) AS at_work \
         FROM backup_sets b WHERE b.scope_id = $1"
    };
}

const FACTS: &str = concat!(facts!(), " ORDER BY b.number DESC");
const FACTS_OF: &str = concat!(facts!(), " AND b.number = $2");
const LOCK: &str = "UPDATE backup_sets SET note = note WHERE scope_id = $1 AND number = $2";
const MARK: &str = "\
UPDATE backup_sets SET note = $3, pinned = $4, revision = revision + 1 WHERE scope_id = $1 AND id = $2";
const NEWEST_COMPLETE: &str = "\
SELECT COALESCE(max(number), 0) AS n FROM backup_sets
WHERE scope_id = $1 AND state = 'complete' AND imported_from IS NULL";
/// What hangs on a set, in the order in which it must go.
const PARTS: [&str; 4] = [
    "DELETE FROM backup_holds WHERE scope_id = $1 AND set_id = $2",
    "DELETE FROM backup_items WHERE scope_id = $1 AND set_id = $2",
    "DELETE FROM backup_types WHERE scope_id = $1 AND set_id = $2",
    "DELETE FROM backup_sets WHERE scope_id = $1 AND id = $2",
];
const HOLD: &str = "\
INSERT INTO backup_holds (scope_id, set_id, restore_id) VALUES ($1, $2, $3)
ON CONFLICT (scope_id, set_id, restore_id) DO NOTHING";
const VERIFIED: &str = "\
UPDATE backup_sets
SET verified_at = $3, verified_run_id = $4, verified_checked = $5, verified_faulty = $6
WHERE scope_id = $1 AND id = $2";

/// What came of a change of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupChanged {
    /// It is so now.
    Done,
    /// Somebody else changed it meanwhile.
    Stale,
    /// There is no such set here.
    NotThere,
    /// It is not deleted, for this reason.
    Kept(KeepReason),
}

/// A set as its verification finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupHeld {
    /// Its id.
    pub id: BackupId,
    /// Its number.
    pub number: u64,
    /// How it stands.
    pub state: BackupState,
    /// Whether the run that makes it has not ended.
    pub at_work: bool,
    /// Where its manifest is; none for a set that was left in the middle.
    pub manifest: Option<PayloadAddress>,
}

#[derive(sqlx::FromRow)]
struct FactsRow {
    id: Uuid,
    number: i64,
    created_at: i64,
    state: String,
    pinned: bool,
    trigger_kind: Option<String>,
    imported_from: Option<String>,
    note: Option<String>,
    items: i64,
    revision: i64,
    manifest: Option<Vec<u8>>,
    needed: bool,
    at_work: bool,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

impl FactsRow {
    fn state(&self) -> Result<BackupState, StoreError> {
        self.state.parse().map_err(|_| bad_row("backup_sets", "state"))
    }

    fn number(&self) -> Result<u64, StoreError> {
        u64::try_from(self.number).map_err(|_| bad_row("backup_sets", "number"))
    }

    fn facts(&self) -> Result<SetFacts, StoreError> {
        Ok(SetFacts {
            number: self.number()?,
            created_at: Timestamp::from_micros(self.created_at),
            state: self.state()?,
            pinned: self.pinned,
            needed: self.needed,
            at_work: self.at_work,
            scheduled: self.trigger_kind.as_deref() == Some("schedule"),
            imported: self.imported_from.is_some(),
        })
    }

    /// Why nobody may delete it.
    const fn keep(&self) -> Option<KeepReason> {
        if self.at_work {
            Some(KeepReason::AtWork)
        } else if self.pinned {
            Some(KeepReason::Pinned)
        } else if self.needed {
            Some(KeepReason::NeededByRestore)
        } else {
            None
        }
    }

    fn is_stale(&self, revision: Option<u64>) -> bool {
        revision.is_some_and(|given| u64::try_from(self.revision) != Ok(given))
    }
}

async fn all_facts(tx: &mut Tx, scope: Uuid) -> Result<Vec<SetFacts>, StoreError> {
    let rows: Vec<FactsRow> = tx.all(stmt!(FACTS, scope)).await?;
    rows.iter().map(FactsRow::facts).collect()
}

/// The set as it is, for whoever is about to delete it or to rely on it: nobody else does until the commit.
async fn locked(tx: &mut Tx, scope: Uuid, number: u64) -> Result<Option<FactsRow>, StoreError> {
    if tx.execute(stmt!(LOCK, scope, number)).await? == 0 {
        return Ok(None);
    }
    tx.optional(stmt!(FACTS_OF, scope, number)).await
}

/// Deletes a set and its archives in the caller's transaction. Its versions stay.
async fn remove(tx: &mut Tx, scope: Uuid, number: u64, set: Uuid) -> Result<(), StoreError> {
    artefacts::remove_of_set(tx, scope, number, None).await?;
    for part in PARTS {
        tx.execute(stmt!(part, scope, set)).await?;
    }
    release(tx, scope, set).await.map(drop)
}

impl TenantScope<ViewBackups> {
    /// What retention asks about each set of this tenant: for the preview, with
    /// [`tp_domain::retention::plan`].
    pub async fn backup_facts(&self) -> Result<Vec<SetFacts>, StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .read(self.reach(), move |tx| Box::pin(async move { all_facts(tx, scope).await }))
            .await
    }
}

impl TenantScope<PreviewRestore> {
    /// Says that a restore needs a set: nobody deletes it until the restore has ended. `false` when there is
    /// no such set.
    pub async fn backup_hold(&self, number: u64, restore: RestoreId) -> Result<bool, StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    let Some(set) = locked(tx, scope, number).await? else { return Ok(false) };
                    tx.execute(stmt!(HOLD, scope, set.id, restore.uuid())).await?;
                    Ok(true)
                })
            })
            .await
    }
}

impl TenantScope<DeleteBackups> {
    /// Sets the note and the pin of a set, unless somebody else has changed it since `revision` (none: in
    /// any case).
    pub async fn backup_mark(
        &self,
        number: u64,
        revision: Option<u64>,
        note: Option<String>,
        pinned: bool,
        request_id: Option<String>,
    ) -> Result<BackupChanged, StoreError> {
        let (scope, ids, workspace) =
            (self.scope_id().uuid(), Arc::clone(&self.store.ids), self.workspace_id());
        let audited = self.note_of(AuditAction::BackupMarked, number, request_id);
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    let Some(set) = locked(tx, scope, number).await? else {
                        return Ok(BackupChanged::NotThere);
                    };
                    if set.is_stale(revision) {
                        return Ok(BackupChanged::Stale);
                    }
                    tx.execute(stmt!(MARK, scope, set.id, note.clone(), pinned)).await?;
                    let details = json!({
                        "before": {"note": set.note, "pinned": set.pinned},
                        "after": {"note": note, "pinned": pinned},
                    });
                    audit(tx, &*ids, workspace, &AuditNote { details, ..audited }).await?;
                    Ok(BackupChanged::Done)
                })
            })
            .await
    }

    /// Deletes a set; its versions stay. Not one that is pinned, needed by a restore or being made, nor one
    /// that somebody else has changed since `revision` (none: in any case).
    pub async fn backup_delete(
        &self,
        number: u64,
        revision: Option<u64>,
        request_id: Option<String>,
    ) -> Result<BackupChanged, StoreError> {
        let (scope, ids, workspace) =
            (self.scope_id().uuid(), Arc::clone(&self.store.ids), self.workspace_id());
        let audited = self.note_of(AuditAction::BackupDeleted, number, request_id);
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    let Some(set) = locked(tx, scope, number).await? else {
                        return Ok(BackupChanged::NotThere);
                    };
                    if set.is_stale(revision) {
                        return Ok(BackupChanged::Stale);
                    }
                    if let Some(reason) = set.keep() {
                        return Ok(BackupChanged::Kept(reason));
                    }
                    remove(tx, scope, number, set.id).await?;
                    let details = what(&set);
                    audit(tx, &*ids, workspace, &AuditNote { details, ..audited }).await?;
                    Ok(BackupChanged::Done)
                })
            })
            .await
    }

    fn note_of(&self, action: AuditAction, number: u64, request_id: Option<String>) -> AuditNote {
        AuditNote {
            actor: self.actor.initiator(),
            action,
            target: ("backup", number.to_string()),
            tenant: Some(self.tenant.id),
            run: None,
            request_id,
            details: json!({}),
        }
    }
}

/// What is written down of a set that goes.
fn what(set: &FactsRow) -> Value {
    let created_at = Timestamp::from_micros(set.created_at).rfc3339();
    json!({"items": set.items, "state": set.state, "note": set.note, "created_at": created_at})
}

impl ClaimedRun {
    /// What retention asks about each set of this tenant.
    pub async fn backup_facts(&self) -> Result<Vec<SetFacts>, StoreError> {
        let scope = self.claimed.scope;
        self.store
            .db
            .read(self.claimed.reach(), move |tx| {
                Box::pin(async move { all_facts(tx, scope).await })
            })
            .await
    }

    /// Deletes a set that the rules do not keep, and writes that down with this run. What has come to need
    /// it since is asked for again.
    pub async fn backup_retire(&self, number: u64) -> Result<BackupChanged, StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let scope = claimed.scope;
                    let Some(set) = locked(tx, scope, number).await? else {
                        return Ok(BackupChanged::NotThere);
                    };
                    let newest: CountRow = tx.one(stmt!(NEWEST_COMPLETE, scope)).await?;
                    if let Some(reason) = set.keep() {
                        return Ok(BackupChanged::Kept(reason));
                    }
                    if newest.n == set.number {
                        return Ok(BackupChanged::Kept(KeepReason::NewestComplete));
                    }
                    remove(tx, scope, number, set.id).await?;
                    let note = AuditNote {
                        actor: Initiator::System,
                        action: AuditAction::BackupDeleted,
                        target: ("backup", number.to_string()),
                        tenant: claimed.tenant,
                        run: Some(claimed.run),
                        request_id: None,
                        details: what(&set),
                    };
                    audit(tx, &*ids as &dyn Ids, claimed.workspace, &note).await?;
                    Ok(BackupChanged::Done)
                })
            })
            .await
    }

    /// The set of that number, to be verified.
    pub async fn backup_held(&self, number: u64) -> Result<Option<BackupHeld>, StoreError> {
        let stmt = stmt!(FACTS_OF, self.claimed.scope, number);
        let reach = self.claimed.reach();
        let row: Option<FactsRow> =
            self.store.db.read(reach, |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(|row| {
            let manifest = row.manifest.as_deref().map(|address| {
                PayloadAddress::from_slice(address)
                    .ok_or_else(|| bad_row("backup_sets", "manifest"))
            });
            Ok(BackupHeld {
                id: BackupId::from_uuid(row.id),
                number: row.number()?,
                state: row.state()?,
                at_work: row.at_work,
                manifest: manifest.transpose()?,
            })
        })
        .transpose()
    }

    /// Writes down at a set what its verification has shown. `false` when the set is gone.
    pub async fn backup_verified(
        &self,
        set: BackupId,
        checked: u64,
        faulty: u64,
    ) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        let written = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run, now) = (claimed.scope, claimed.run.uuid(), tx.now());
                    tx.execute(stmt!(VERIFIED, scope, set.uuid(), now, run, checked, faulty)).await
                })
            })
            .await?;
        Ok(written == 1)
    }
}
