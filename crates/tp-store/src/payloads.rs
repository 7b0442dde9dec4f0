//! Which object of the payload store holds which payload, and who needs it.
//!
//! A capture reserves a copy id before it writes an object, and refers to the payload in the transaction
//! that makes it needed. Garbage is condemned by its row first and deleted by its copy id afterwards; a
//! capture that meets a condemned row gets a new copy id. So a collector that slept through anything can
//! delete nothing that is needed: `docs/decisions/0013-payload-store.md`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tp_domain::access::ViewBackups;
use tp_domain::ids::{CopyId, DataKeyId, TenantId, WorkspaceId};
use tp_domain::payload::{PayloadAddress, PayloadKind};
use uuid::Uuid;

use crate::claims::Claimed;
use crate::db::{Dialect, Reach, Tx};
use crate::error::StoreError;
use crate::stmt::{StmtBuilder, stmt};
use crate::tenants::bad_row;
use crate::{ClaimedRun, Store, TenantScope};

// A condemned payload that is wanted again gets a new copy; any other row stays as it is.
const RESERVE: &str = "\
INSERT INTO payloads (scope_id, address, kind, workspace_id, tenant_id, copy_id, state, touched_at)
VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7)
ON CONFLICT (scope_id, address) DO UPDATE
SET copy_id = excluded.copy_id, next_copy_id = NULL, state = 'pending', key_id = NULL,
    text_bytes = NULL, object_bytes = NULL, touched_at = excluded.touched_at
WHERE payloads.state = 'condemned'";
const GET: &str = "\
SELECT kind, address, copy_id, state FROM payloads WHERE scope_id = $1 AND address = $2";
// Both move touched_at: a collector that waits for this row then sees that it is not old any more.
const REFER_STORED: &str = "\
UPDATE payloads SET touched_at = $4
WHERE scope_id = $1 AND address = $2 AND copy_id = $3 AND state = 'stored'";
const REFER_WRITTEN: &str = "\
UPDATE payloads SET state = 'stored', key_id = $5, text_bytes = $6, object_bytes = $7, touched_at = $4
WHERE scope_id = $1 AND address = $2 AND copy_id = $3 AND state <> 'condemned'";
const KEY_LITE: &str =
    "SELECT id FROM tenant_keys WHERE scope_id = $1 AND id = $2 AND state <> 'destroyed'";
// Until the commit, nobody destroys a key that seals something needed.
const KEY_PG: &str = "\
SELECT id FROM tenant_keys WHERE scope_id = $1 AND id = $2 AND state <> 'destroyed' FOR SHARE";
const REF_INSERT: &str = "\
INSERT INTO payload_refs (scope_id, address, holder_id) VALUES ($1, $2, $3)
ON CONFLICT (scope_id, address, holder_id) DO NOTHING";
const REF_DELETE: &str = "DELETE FROM payload_refs WHERE scope_id = $1 AND holder_id = $2";
const CONDEMN: &str = "\
UPDATE payloads SET state = 'condemned'
WHERE scope_id = $1 AND state <> 'condemned' AND touched_at < $2
  AND NOT EXISTS (SELECT 1 FROM payload_refs r
                  WHERE r.scope_id = payloads.scope_id AND r.address = payloads.address)";
const CONDEMNED: &str = "\
SELECT kind, address, copy_id, state FROM payloads
WHERE scope_id = $1 AND state = 'condemned' ORDER BY address LIMIT $2";
const FORGET: &str = "\
DELETE FROM payloads WHERE scope_id = $1 AND address = $2 AND copy_id = $3 AND state = 'condemned'";
const KNOWN: &str = "\
SELECT copy_id, next_copy_id FROM payloads WHERE scope_id = $1 AND address = $2";
const OUTDATED: &str = "\
SELECT p.kind, p.address, p.copy_id, p.state FROM payloads p
JOIN tenant_keys k ON k.scope_id = p.scope_id AND k.id = p.key_id
WHERE p.scope_id = $1 AND p.state = 'stored' AND k.state = 'retired' AND p.address > $3
ORDER BY p.address LIMIT $2";
const NEXT: &str = "\
UPDATE payloads SET next_copy_id = $4
WHERE scope_id = $1 AND address = $2 AND copy_id = $3 AND state = 'stored'";
const RESEALED: &str = "\
UPDATE payloads SET copy_id = $4, next_copy_id = NULL, key_id = $5, object_bytes = $6
WHERE scope_id = $1 AND address = $2 AND copy_id = $3 AND next_copy_id = $4 AND state = 'stored'";

/// A payload that a capture has at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadWant {
    /// What it is.
    pub kind: PayloadKind,
    /// Its address.
    pub address: PayloadAddress,
}

/// Where a payload is, or is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The copy to read, or to write.
    pub copy: CopyId,
    /// Whether it is stored already: then nothing is to be written.
    pub stored: bool,
}

/// Where a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadPlace {
    /// What it is.
    pub kind: PayloadKind,
    /// Its address.
    pub address: PayloadAddress,
    /// The object's copy id.
    pub copy: CopyId,
}

/// What was written for a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadWritten {
    /// The data key that it is sealed with.
    pub key: DataKeyId,
    /// Length of the canonical text.
    pub text_bytes: u64,
    /// Length of the object.
    pub object_bytes: u64,
}

/// A payload at hand, to be referred to by whoever needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadStored {
    /// Its address.
    pub address: PayloadAddress,
    /// The copy that was reserved for it.
    pub copy: CopyId,
    /// What was written; none when it was stored before.
    pub written: Option<PayloadWritten>,
}

/// A payload that nothing needs any more. Its object may be deleted, then its row.
pub type Condemned = PayloadPlace;

/// A payload that is to be sealed with the active key: read `place`, write `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outdated {
    /// Where it is.
    pub place: PayloadPlace,
    /// The copy to write.
    pub to: CopyId,
}

#[derive(sqlx::FromRow)]
struct PayloadRow {
    kind: String,
    address: Vec<u8>,
    copy_id: Uuid,
    state: String,
}

#[derive(sqlx::FromRow)]
struct CopiesRow {
    copy_id: Uuid,
    next_copy_id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    id: Uuid,
}

impl TryFrom<PayloadRow> for PayloadPlace {
    type Error = StoreError;

    fn try_from(row: PayloadRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("payloads", column);
        Ok(Self {
            kind: row.kind.parse().map_err(|_| bad("kind"))?,
            address: PayloadAddress::from_slice(&row.address).ok_or_else(|| bad("address"))?,
            copy: CopyId::from_uuid(row.copy_id),
        })
    }
}

fn bytes(address: &PayloadAddress) -> Vec<u8> {
    address.as_bytes().to_vec()
}

/// Writes down that `holder` needs a payload, in the transaction that makes `holder`. `written` is none
/// for a payload that was stored before.
///
/// `false` when the payload is not there any more (condemned, or sealed anew as another copy): nothing was
/// written, and the caller reserves it again.
pub(crate) async fn refer(
    tx: &mut Tx,
    scope: Uuid,
    address: PayloadAddress,
    copy: CopyId,
    written: Option<PayloadWritten>,
    holder: Uuid,
) -> Result<bool, StoreError> {
    let now = tx.now();
    let stmt = match written {
        None => stmt!(REFER_STORED, scope, bytes(&address), copy.uuid(), now),
        Some(written) => {
            let text = if tx.dialect() == Dialect::Postgres { KEY_PG } else { KEY_LITE };
            let key = written.key.uuid();
            if tx.optional::<IdRow>(stmt!(text, scope, key)).await?.is_none() {
                return Ok(false);
            }
            let (text_bytes, object_bytes) = (written.text_bytes, written.object_bytes);
            let (address, copy) = (bytes(&address), copy.uuid());
            stmt!(REFER_WRITTEN, scope, address, copy, now, key, text_bytes, object_bytes)
        }
    };
    if tx.execute(stmt).await? == 0 {
        return Ok(false);
    }
    tx.execute(stmt!(REF_INSERT, scope, bytes(&address), holder)).await?;
    Ok(true)
}

/// Takes back all that `holder` needs, in the transaction that deletes it. Says how many payloads it were.
pub(crate) async fn release(tx: &mut Tx, scope: Uuid, holder: Uuid) -> Result<u64, StoreError> {
    tx.execute(stmt!(REF_DELETE, scope, holder)).await
}

pub(crate) async fn place(
    store: &Store,
    scope: Uuid,
    address: PayloadAddress,
) -> Result<Option<PayloadPlace>, StoreError> {
    let stmt = stmt!(GET, scope, bytes(&address));
    let row: Option<PayloadRow> =
        store.db.read(Reach::Scope(scope), |tx| Box::pin(tx.optional(stmt))).await?;
    row.filter(|row| row.state == "stored").map(PayloadPlace::try_from).transpose()
}

/// Whose payloads they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) scope: Uuid,
    pub(crate) workspace: WorkspaceId,
    pub(crate) tenant: TenantId,
}

impl Owner {
    /// The tenant of a run; there are none in a workspace's own.
    pub(crate) fn of(claimed: &Claimed) -> Result<Self, StoreError> {
        let tenant = claimed.tenant.ok_or_else(|| bad_row("operation_runs", "tenant_id"))?;
        Ok(Self { scope: claimed.scope, workspace: claimed.workspace, tenant })
    }
}

/// Says where a payload is stored, or under which copy id it is to be written.
pub(crate) async fn reserve(
    tx: &mut Tx,
    owner: Owner,
    want: PayloadWant,
    copy: CopyId,
) -> Result<Reserved, StoreError> {
    let (scope, now) = (owner.scope, tx.now());
    let address = bytes(&want.address);
    let insert = stmt!(
        RESERVE,
        scope,
        address.clone(),
        want.kind.as_str(),
        owner.workspace.uuid(),
        owner.tenant.uuid(),
        copy.uuid(),
        now,
    );
    if tx.execute(insert).await? == 1 {
        return Ok(Reserved { copy, stored: false });
    }
    let row: PayloadRow = tx.one(stmt!(GET, scope, address)).await?;
    Ok(Reserved { copy: CopyId::from_uuid(row.copy_id), stored: row.state == "stored" })
}

impl ClaimedRun {
    /// Says for each payload where it is stored, or under which copy id it is to be written. In the order
    /// of `wants`.
    pub async fn payloads_reserve(
        &self,
        wants: Vec<PayloadWant>,
    ) -> Result<Vec<Reserved>, StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let owner = Owner::of(&claimed)?;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let mut reserved = Vec::with_capacity(wants.len());
                    // In the order of addresses, so that two captures lock rows alike.
                    let mut order: Vec<usize> = (0..wants.len()).collect();
                    order.sort_by_key(|at| wants[*at].address);
                    for at in order {
                        let copy = CopyId::next(&*ids);
                        reserved.push((at, reserve(tx, owner, wants[at], copy).await?));
                    }
                    reserved.sort_by_key(|(at, _)| *at);
                    Ok(reserved.into_iter().map(|(_, one)| one).collect())
                })
            })
            .await
    }

    /// Writes down that `holder` needs a payload; as `refer` does. For holders that have a transaction of
    /// their own there is the function, not this method.
    pub async fn payload_refer(
        &self,
        address: PayloadAddress,
        copy: CopyId,
        written: Option<PayloadWritten>,
        holder: Uuid,
    ) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    refer(tx, claimed.scope, address, copy, written, holder).await
                })
            })
            .await
    }

    /// Takes back all that `holder` needs. Says how many payloads it were.
    pub async fn payload_release(&self, holder: Uuid) -> Result<u64, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    release(tx, claimed.scope, holder).await
                })
            })
            .await
    }

    /// Where a payload of this tenant is; none when it is not stored.
    pub async fn payload_place(
        &self,
        address: PayloadAddress,
    ) -> Result<Option<PayloadPlace>, StoreError> {
        place(&self.store, self.claimed.scope, address).await
    }

    /// Where some payloads of this tenant are; those that are not stored are left out.
    pub async fn payload_places(
        &self,
        addresses: &[PayloadAddress],
    ) -> Result<HashMap<PayloadAddress, PayloadPlace>, StoreError> {
        let mut sql = StmtBuilder::new(
            "SELECT kind, address, copy_id, state FROM payloads WHERE state = 'stored' AND scope_id = ",
        );
        sql.bind(self.claimed.scope).push(" AND address IN ");
        sql.bind_list(addresses.iter().map(bytes));
        let stmt = sql.build();
        let reach = self.claimed.reach();
        let rows: Vec<PayloadRow> = self.store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter()
            .map(|row| PayloadPlace::try_from(row).map(|place| (place.address, place)))
            .collect()
    }

    /// Condemns what nothing has needed for that long, and gives up to `most` condemned payloads: their
    /// objects may be deleted now, then their rows by [`ClaimedRun::payload_forget`].
    pub async fn payloads_condemn(
        &self,
        unneeded: Duration,
        most: u32,
    ) -> Result<Vec<Condemned>, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let before = tx.now().minus(unneeded);
                    tx.execute(stmt!(CONDEMN, claimed.scope, before)).await?;
                    let rows: Vec<PayloadRow> =
                        tx.all(stmt!(CONDEMNED, claimed.scope, most)).await?;
                    rows.into_iter().map(PayloadPlace::try_from).collect()
                })
            })
            .await
    }

    /// Forgets a condemned payload whose object was deleted. `false` when it has been wanted again since:
    /// then it has another copy.
    pub async fn payload_forget(&self, gone: Condemned) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        let stmt = stmt!(FORGET, claimed.scope, bytes(&gone.address), gone.copy.uuid());
        let forgotten = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    tx.execute(stmt).await
                })
            })
            .await?;
        Ok(forgotten == 1)
    }

    /// Which of these objects no row names: they were left by a capture, a sealing anew or a deletion that
    /// was cut off, and no row will ever name them.
    pub async fn payload_orphans(
        &self,
        objects: Vec<(PayloadAddress, CopyId)>,
    ) -> Result<Vec<(PayloadAddress, CopyId)>, StoreError> {
        let scope = self.claimed.scope;
        self.store
            .db
            .read(self.claimed.reach(), move |tx| {
                Box::pin(async move {
                    let mut known = HashSet::new();
                    for (address, _) in &objects {
                        let stmt = stmt!(KNOWN, scope, bytes(address));
                        if let Some(row) = tx.optional::<CopiesRow>(stmt).await? {
                            known.insert(row.copy_id);
                            known.extend(row.next_copy_id);
                        }
                    }
                    let is_orphan = |one: &(PayloadAddress, CopyId)| !known.contains(&one.1.uuid());
                    Ok(objects.into_iter().filter(is_orphan).collect())
                })
            })
            .await
    }

    /// Up to `most` payloads that are sealed with a data key that is not the active one, each with a copy
    /// id to write it anew under; in the order of addresses, behind `after` (none: from the first).
    pub async fn payloads_outdated(
        &self,
        after: Option<PayloadAddress>,
        most: u32,
    ) -> Result<Vec<Outdated>, StoreError> {
        let (claimed, ids) = (self.claimed, Arc::clone(&self.store.ids));
        let after = after.map(|address| bytes(&address)).unwrap_or_default();
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let rows: Vec<PayloadRow> =
                        tx.all(stmt!(OUTDATED, claimed.scope, most, after)).await?;
                    let mut outdated = Vec::with_capacity(rows.len());
                    for row in rows {
                        let (place, to) = (PayloadPlace::try_from(row)?, CopyId::next(&*ids));
                        let (address, from) = (bytes(&place.address), place.copy.uuid());
                        let next = stmt!(NEXT, claimed.scope, address, from, to.uuid());
                        if tx.execute(next).await? == 1 {
                            outdated.push(Outdated { place, to });
                        }
                    }
                    Ok(outdated)
                })
            })
            .await
    }

    /// Puts the newly sealed copy of a payload in the place of the one before. `false` when another was
    /// quicker, or when the payload is not needed any more: then the written object is an orphan.
    pub async fn payload_resealed(
        &self,
        outdated: Outdated,
        key: DataKeyId,
        object_bytes: u64,
    ) -> Result<bool, StoreError> {
        let claimed = self.claimed;
        let (address, from) = (bytes(&outdated.place.address), outdated.place.copy.uuid());
        let moved = self
            .store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    let text = if tx.dialect() == Dialect::Postgres { KEY_PG } else { KEY_LITE };
                    if tx.optional::<IdRow>(stmt!(text, claimed.scope, key.uuid())).await?.is_none()
                    {
                        return Ok(0);
                    }
                    let (scope, to, key) = (claimed.scope, outdated.to.uuid(), key.uuid());
                    tx.execute(stmt!(RESEALED, scope, address, from, to, key, object_bytes)).await
                })
            })
            .await?;
        Ok(moved == 1)
    }
}

impl TenantScope<ViewBackups> {
    /// Where a payload of this tenant is; none when it is not stored.
    pub async fn payload_place(
        &self,
        address: PayloadAddress,
    ) -> Result<Option<PayloadPlace>, StoreError> {
        place(&self.store, self.scope_id().uuid(), address).await
    }
}
