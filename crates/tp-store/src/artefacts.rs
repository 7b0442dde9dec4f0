//! Files that are kept for a while, piece by piece in the payload store (PRODUCT S-2).
//!
//! A file holds its pieces like a version holds its content: while its row stands, nothing collects them.
//! A file that was left open, and one whose time is over, is removed by housekeeping.

use std::sync::Arc;

use serde_json::json;
use tp_domain::access::{DownloadBackups, StartBackupImport, ViewBackups};
use tp_domain::artefact::{
    Artefact, ArtefactKind, ArtefactPiece, EXPORT_LIFE, MOST_UPLOADS, UPLOAD_LIFE,
};
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{ArtefactId, CopyId, RunId, WorkspaceId};
use tp_domain::payload::{PayloadAddress, PayloadKind};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::ClaimedRun;
use crate::audit::audit;
use crate::db::Tx;
use crate::error::StoreError;
use crate::payloads::{Owner, PayloadWant, PayloadWritten, Reserved, refer, release, reserve};
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::bad_row;

macro_rules! columns {
    () => {
        "SELECT id, kind, run_id, bytes, sha256, root, created_at, expires_at FROM artefacts \
         WHERE scope_id = $1 AND state = 'ready' "
    };
}

const BEGIN: &str = "\
INSERT INTO artefacts (scope_id, id, workspace_id, tenant_id, kind, state, set_number, run_id, created_at,
                       expires_at)
VALUES ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9)";
// An update that changes nothing holds the row: nobody removes the file until the commit.
const HOLD: &str = "\
UPDATE artefacts SET bytes = bytes WHERE scope_id = $1 AND id = $2 AND state = 'open'";
const PIECE: &str = "\
INSERT INTO artefact_pieces (scope_id, artefact_id, position, address, bytes) VALUES ($1, $2, $3, $4, $5)";
const READY: &str = "\
UPDATE artefacts SET state = 'ready', bytes = $3, sha256 = $4, root = $5
WHERE scope_id = $1 AND id = $2 AND state = 'open'";
const UPLOAD: &str = concat!(columns!(), "AND id = $2 AND kind = 'upload' AND expires_at > $3");
const EXPORT: &str = concat!(
    columns!(),
    "AND set_number = $2 AND kind = 'backup_export' AND expires_at > $3 \
     ORDER BY created_at DESC, id DESC LIMIT 1"
);
const PIECES: &str = "\
SELECT address, bytes FROM artefact_pieces WHERE scope_id = $1 AND artefact_id = $2 ORDER BY position";
const UPLOADS: &str = "\
SELECT count(*) AS n FROM artefacts WHERE scope_id = $1 AND kind = 'upload' AND expires_at > $2";
const OF_RUN: &str = "SELECT id FROM artefacts WHERE scope_id = $1 AND run_id = $2";
const OF_SET: &str = "SELECT id FROM artefacts WHERE scope_id = $1 AND set_number = $2";
const EXPIRED: &str = "SELECT id FROM artefacts WHERE scope_id = $1 AND expires_at <= $2";
const PIECES_DELETE: &str = "DELETE FROM artefact_pieces WHERE scope_id = $1 AND artefact_id = $2";
const DELETE: &str = "DELETE FROM artefacts WHERE scope_id = $1 AND id = $2";

/// A piece that was stored, to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPiece {
    /// Its place in the file, from 0.
    pub position: u64,
    /// What and where it is.
    pub piece: ArtefactPiece,
    /// The copy that was reserved for it.
    pub copy: CopyId,
    /// What was written; none when it was stored before.
    pub written: Option<PayloadWritten>,
}

/// What a file is when its last piece is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtefactEnd {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// The root hash of an archive.
    pub root: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ArtefactRow {
    id: Uuid,
    kind: String,
    run_id: Option<Uuid>,
    bytes: i64,
    sha256: Option<String>,
    root: Option<String>,
    created_at: i64,
    expires_at: i64,
}

#[derive(sqlx::FromRow)]
struct PieceRow {
    address: Vec<u8>,
    bytes: i64,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    id: Uuid,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

impl TryFrom<ArtefactRow> for Artefact {
    type Error = StoreError;

    fn try_from(row: ArtefactRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("artefacts", column);
        Ok(Self {
            id: ArtefactId::from_uuid(row.id),
            kind: row.kind.parse().map_err(|_| bad("kind"))?,
            run: row.run_id.map(RunId::from_uuid),
            bytes: u64::try_from(row.bytes).map_err(|_| bad("bytes"))?,
            sha256: row.sha256.ok_or_else(|| bad("sha256"))?,
            root: row.root,
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: Timestamp::from_micros(row.expires_at),
        })
    }
}

impl TryFrom<PieceRow> for ArtefactPiece {
    type Error = StoreError;

    fn try_from(row: PieceRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("artefact_pieces", column);
        Ok(Self {
            address: PayloadAddress::from_slice(&row.address).ok_or_else(|| bad("address"))?,
            bytes: u64::try_from(row.bytes).map_err(|_| bad("bytes"))?,
        })
    }
}

/// A new file. The set's number for an archive of one, the run that makes it.
async fn begin(
    tx: &mut Tx,
    owner: Owner,
    id: ArtefactId,
    export: Option<(u64, RunId)>,
) -> Result<(), StoreError> {
    let (kind, life) = match export {
        Some(_) => (ArtefactKind::BackupExport, EXPORT_LIFE),
        None => (ArtefactKind::Upload, UPLOAD_LIFE),
    };
    let now = tx.now();
    tx.execute(stmt!(
        BEGIN,
        owner.scope,
        id.uuid(),
        owner.workspace.uuid(),
        owner.tenant.uuid(),
        kind.as_str(),
        export.map(|(number, _)| number),
        export.map(|(_, run)| run.uuid()),
        now,
        now.plus(life),
    ))
    .await
    .map(drop)
}

/// One piece more. `false` when the file is not open any more, or the piece's content is not there any more:
/// then it is reserved and stored again.
async fn add(tx: &mut Tx, scope: Uuid, id: ArtefactId, new: NewPiece) -> Result<bool, StoreError> {
    if tx.execute(stmt!(HOLD, scope, id.uuid())).await? == 0 {
        return Ok(false);
    }
    let NewPiece { position, piece, copy, written } = new;
    if !refer(tx, scope, piece.address, copy, written, id.uuid()).await? {
        return Ok(false);
    }
    let address = piece.address.as_bytes().to_vec();
    tx.execute(stmt!(PIECE, scope, id.uuid(), position, address, piece.bytes)).await?;
    Ok(true)
}

/// `false` when the file is not open any more.
async fn finish(
    tx: &mut Tx,
    scope: Uuid,
    id: ArtefactId,
    end: ArtefactEnd,
) -> Result<bool, StoreError> {
    let ArtefactEnd { bytes, sha256, root } = end;
    Ok(tx.execute(stmt!(READY, scope, id.uuid(), bytes, sha256, root)).await? == 1)
}

async fn pieces(
    tx: &mut Tx,
    scope: Uuid,
    id: ArtefactId,
) -> Result<Vec<ArtefactPiece>, StoreError> {
    let rows: Vec<PieceRow> = tx.all(stmt!(PIECES, scope, id.uuid())).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

async fn remove(tx: &mut Tx, scope: Uuid, id: Uuid) -> Result<(), StoreError> {
    tx.execute(stmt!(PIECES_DELETE, scope, id)).await?;
    tx.execute(stmt!(DELETE, scope, id)).await?;
    release(tx, scope, id).await.map(drop)
}

/// Removes the archives of a set, in the transaction that deletes it or that has made a newer one. `but` stays.
pub(crate) async fn remove_of_set(
    tx: &mut Tx,
    scope: Uuid,
    number: u64,
    but: Option<ArtefactId>,
) -> Result<(), StoreError> {
    let rows: Vec<IdRow> = tx.all(stmt!(OF_SET, scope, number)).await?;
    for row in rows.into_iter().filter(|row| Some(row.id) != but.map(ArtefactId::uuid)) {
        remove(tx, scope, row.id).await?;
    }
    Ok(())
}

impl ClaimedRun {
    /// Begins the archive of a set. What a worker before has left of it is removed.
    pub async fn artefact_begin(&self, backup: u64) -> Result<ArtefactId, StoreError> {
        let (claimed, id) = (self.claimed, ArtefactId::next(&*self.store.ids));
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, run) = (claimed.scope, claimed.run);
                    for row in tx.all::<IdRow>(stmt!(OF_RUN, scope, run.uuid())).await? {
                        remove(tx, scope, row.id).await?;
                    }
                    begin(tx, Owner::of(&claimed)?, id, Some((backup, run))).await?;
                    Ok(id)
                })
            })
            .await
    }

    /// Writes down a piece of the archive; as `refer` does. `false`: reserve and store it again.
    pub async fn artefact_piece(&self, id: ArtefactId, new: NewPiece) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    add(tx, claimed.scope, id, new).await
                })
            })
            .await
    }

    /// Ends the archive of a set: it can be downloaded now, and takes the place of older ones. `false` when it
    /// was removed meanwhile: with its set.
    pub async fn artefact_finish(
        &self,
        id: ArtefactId,
        backup: u64,
        end: ArtefactEnd,
    ) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    if !finish(tx, claimed.scope, id, end).await? {
                        return Ok(false);
                    }
                    remove_of_set(tx, claimed.scope, backup, Some(id)).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// An upload of this run's tenant and its pieces; none when it was never ended, or is over.
    pub async fn upload(
        &self,
        id: ArtefactId,
    ) -> Result<Option<(Artefact, Vec<ArtefactPiece>)>, StoreError> {
        let (scope, now) = (self.claimed.scope, self.now());
        self.store
            .db
            .read(self.claimed.reach(), move |tx| {
                Box::pin(async move {
                    let upload: Option<ArtefactRow> =
                        tx.optional(stmt!(UPLOAD, scope, id.uuid(), now)).await?;
                    let Some(upload) = upload else { return Ok(None) };
                    Ok(Some((upload.try_into()?, pieces(tx, scope, id).await?)))
                })
            })
            .await
    }

    /// Removes an upload that was imported.
    pub async fn upload_remove(&self, id: ArtefactId) -> Result<(), StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    remove(tx, claimed.scope, id.uuid()).await
                })
            })
            .await
    }

    /// Removes files of this run's tenant whose time is over. Says how many.
    pub async fn artefacts_expire(&self) -> Result<u64, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let (scope, now) = (claimed.scope, tx.now());
                    let expired: Vec<IdRow> = tx.all(stmt!(EXPIRED, scope, now)).await?;
                    let count = u64::try_from(expired.len()).unwrap_or(u64::MAX);
                    for row in expired {
                        remove(tx, scope, row.id).await?;
                    }
                    Ok(count)
                })
            })
            .await
    }
}

impl TenantScope<ViewBackups> {
    /// The archive of a set that can be downloaded; none when there is none, or its time is over.
    pub async fn backup_archive(&self, number: u64) -> Result<Option<Artefact>, StoreError> {
        let stmt = stmt!(EXPORT, self.scope_id().uuid(), number, self.store.now());
        let row: Option<ArtefactRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(TryInto::try_into).transpose()
    }
}

impl TenantScope<DownloadBackups> {
    /// The archive of a set and its pieces, and the audit row of who takes it away; none as above.
    pub async fn backup_download(
        &self,
        number: u64,
        request_id: Option<String>,
    ) -> Result<Option<(Artefact, Vec<ArtefactPiece>)>, StoreError> {
        let (owner, ids) = (self.owner(), Arc::clone(&self.store.ids));
        let note = self.note(AuditAction::BackupDownloaded, request_id);
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let row: Option<ArtefactRow> =
                        tx.optional(stmt!(EXPORT, owner.scope, number, now)).await?;
                    let Some(row) = row else { return Ok(None) };
                    let artefact = Artefact::try_from(row)?;
                    let pieces = pieces(tx, owner.scope, artefact.id).await?;
                    let note = AuditNote {
                        target: ("backup", number.to_string()),
                        details: json!({"bytes": artefact.bytes, "root": artefact.root}),
                        ..note
                    };
                    audit(tx, &*ids, owner.workspace, &note).await?;
                    Ok(Some((artefact, pieces)))
                })
            })
            .await
    }
}

impl TenantScope<StartBackupImport> {
    /// Begins an upload; none when too many wait already.
    pub async fn upload_begin(&self) -> Result<Option<ArtefactId>, StoreError> {
        let (owner, id) = (self.owner(), ArtefactId::next(&*self.store.ids));
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    // It bounds a disk, not a right: two at once may be one more.
                    let now = tx.now();
                    let waiting: CountRow = tx.one(stmt!(UPLOADS, owner.scope, now)).await?;
                    if waiting.n >= i64::from(MOST_UPLOADS) {
                        return Ok(None);
                    }
                    begin(tx, owner, id, None).await?;
                    Ok(Some(id))
                })
            })
            .await
    }

    /// Where a piece of an upload is stored, or under which copy id it is to be written.
    pub async fn upload_reserve(&self, address: PayloadAddress) -> Result<Reserved, StoreError> {
        let (owner, copy) = (self.owner(), CopyId::next(&*self.store.ids));
        let want = PayloadWant { kind: PayloadKind::Piece, address };
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move { reserve(tx, owner, want, copy).await })
            })
            .await
    }

    /// Writes down a piece of an upload. `false`: reserve and store it again.
    pub async fn upload_piece(&self, id: ArtefactId, new: NewPiece) -> Result<bool, StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .write(self.reach(), move |tx| Box::pin(async move { add(tx, scope, id, new).await }))
            .await
    }

    /// Ends an upload: it can be imported now.
    pub async fn upload_finish(
        &self,
        id: ArtefactId,
        end: ArtefactEnd,
        request_id: Option<String>,
    ) -> Result<bool, StoreError> {
        let (owner, ids) = (self.owner(), Arc::clone(&self.store.ids));
        let note = AuditNote {
            target: ("upload", id.to_string()),
            details: json!({"bytes": end.bytes, "sha256": end.sha256}),
            ..self.note(AuditAction::BackupUploaded, request_id)
        };
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move {
                    if !finish(tx, owner.scope, id, end).await? {
                        return Ok(false);
                    }
                    audit(tx, &*ids, owner.workspace, &note).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Removes an upload that was broken off.
    pub async fn upload_drop(&self, id: ArtefactId) -> Result<(), StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .write(self.reach(), move |tx| {
                Box::pin(async move { remove(tx, scope, id.uuid()).await })
            })
            .await
    }
}

impl<C> TenantScope<C> {
    const fn owner(&self) -> Owner {
        let workspace: WorkspaceId = self.workspace_id();
        Owner { scope: self.scope_id().uuid(), workspace, tenant: self.tenant().id }
    }

    fn note(&self, action: AuditAction, request_id: Option<String>) -> AuditNote {
        AuditNote {
            actor: self.actor().initiator(),
            action,
            target: ("tenant", self.tenant().id.to_string()),
            tenant: Some(self.tenant().id),
            run: None,
            request_id,
            details: json!({}),
        }
    }
}
