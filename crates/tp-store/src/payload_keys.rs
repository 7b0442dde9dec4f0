//! Keys of payloads: one of each workspace for addresses and fingerprints, data keys of each tenant.
//!
//! They lie in the database sealed under the master key, and are handed to the door that may use them.
//! A tenant gets its first data key when a payload is first stored. A newer one takes its place by
//! `tenant_key_rotate`; what older ones have sealed stays readable until it has been sealed anew.

use std::sync::Arc;

use secrecy::SecretBox;
use serde_json::json;
use tp_domain::access::ViewBackups;
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::ids::{DataKeyId, TenantId, WorkspaceId};
use tp_domain::payload::{KeyMaterial, PayloadKeys};
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::audit;
use crate::console::ConsoleError;
use crate::db::{Dialect, Reach, Tx};
use crate::error::StoreError;
use crate::keys::{KeyError, Place};
use crate::stmt::stmt;
use crate::system::random;
use crate::tenants::bad_row;
use crate::{ClaimedRun, Console, Store, TenantScope};

const WORKSPACE_KEY: &str = "SELECT key_sealed FROM workspace_keys WHERE scope_id = $1";
const WORKSPACE_KEY_INSERT: &str = "\
INSERT INTO workspace_keys (scope_id, key_sealed, created_at) VALUES ($1, $2, $3)
ON CONFLICT (scope_id) DO NOTHING";
const TENANT_KEYS: &str = "\
SELECT id, version, state, key_sealed, created_at FROM tenant_keys WHERE scope_id = $1 ORDER BY version";
const TENANT_KEY_INSERT: &str = "\
INSERT INTO tenant_keys (scope_id, id, workspace_id, tenant_id, version, state, key_sealed, created_at)
SELECT id, $2, workspace_id, id, $3, 'active', $4, $5 FROM tenants WHERE id = $1
ON CONFLICT DO NOTHING";
const TENANT_KEY_RETIRE: &str = "\
UPDATE tenant_keys SET state = 'retired', ended_at = $2 WHERE scope_id = $1 AND state = 'active'";
// An active key is ended with the moment of its destruction.
const TENANT_KEYS_DESTROY: &str = "\
UPDATE tenant_keys SET state = 'destroyed', key_sealed = NULL, ended_at = $2
WHERE scope_id = $1 AND state <> 'destroyed'";
// Waits for whoever is about to write down that a key is in use; what they wrote is seen by the next
// statement, not by this one.
const TENANT_KEYS_LOCK_PG: &str =
    "SELECT id FROM tenant_keys WHERE scope_id = $1 AND state = 'retired' ORDER BY id FOR UPDATE";
const TENANT_KEYS_PRUNE: &str = "\
UPDATE tenant_keys SET state = 'destroyed', key_sealed = NULL, ended_at = $2
WHERE scope_id = $1 AND state = 'retired'
  AND NOT EXISTS (SELECT 1 FROM payloads p
                  WHERE p.scope_id = tenant_keys.scope_id AND p.key_id = tenant_keys.id)";
const TENANT_KEY_USES: &str =
    "SELECT count(*) AS n FROM payloads WHERE scope_id = $1 AND key_id = $2";
const TENANT_OF: &str = "SELECT id FROM tenants WHERE id = $1 AND workspace_id = $2";

/// A data key as it is listed. The key itself is not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantKey {
    /// Its id.
    pub id: DataKeyId,
    /// Counted per tenant from 1.
    pub version: u64,
    /// `active`, `retired` or `destroyed`.
    pub state: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Payloads that are sealed with it.
    pub payloads: u64,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    key_sealed: String,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    version: i64,
    state: String,
    key_sealed: Option<String>,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct IdRow {
    #[expect(dead_code, reason = "only whether there is a row matters")]
    id: Uuid,
}

/// Where the key of a workspace is sealed to.
pub(crate) const fn workspace_place(workspace: Uuid) -> Place {
    Place { column: "workspace_keys.key", scope: workspace, row: workspace }
}

/// Where a data key of a tenant is sealed to.
pub(crate) const fn tenant_place(tenant: Uuid, key: Uuid) -> Place {
    Place { column: "tenant_keys.key", scope: tenant, row: key }
}

/// The sealed keys as they lie in the database.
struct Stored {
    workspace: String,
    tenant: Vec<KeyRow>,
}

/// A new key, sealed to its place.
fn fresh(store: &Store, place: Place) -> Result<String, KeyError> {
    store.keys.seal_bytes(place, &*Zeroizing::new(random::<32>()?))
}

fn material(store: &Store, place: Place, sealed: &str) -> Result<KeyMaterial, KeyError> {
    let plain = store.keys.open_bytes(place, sealed)?;
    let mut key = Box::new([0; 32]);
    let bytes: &[u8; 32] = plain.as_slice().try_into().map_err(|_| KeyError::Unreadable)?;
    key.copy_from_slice(bytes);
    Ok(SecretBox::new(key))
}

fn opened(
    store: &Store,
    workspace: WorkspaceId,
    tenant: TenantId,
    stored: &Stored,
) -> Result<Option<PayloadKeys>, KeyError> {
    let mut active = None;
    let mut data = Vec::with_capacity(stored.tenant.len());
    for row in &stored.tenant {
        let Some(sealed) = &row.key_sealed else { continue };
        let id = DataKeyId::from_uuid(row.id);
        data.push((id, material(store, tenant_place(tenant.uuid(), row.id), sealed)?));
        if row.state == "active" {
            active = Some(id);
        }
    }
    let workspace = material(store, workspace_place(workspace.uuid()), &stored.workspace)?;
    Ok(active.map(|active| PayloadKeys { workspace, active, data }))
}

/// Reads the sealed keys; puts the given ones in where there are none yet.
async fn stored(
    tx: &mut Tx,
    workspace: WorkspaceId,
    tenant: TenantId,
    new: Option<(String, Uuid, String)>,
) -> Result<Option<Stored>, StoreError> {
    let now = tx.now();
    let mut keys: Vec<KeyRow> = tx.all(stmt!(TENANT_KEYS, tenant.uuid())).await?;
    if let Some((for_workspace, id, for_tenant)) = new {
        tx.execute(stmt!(WORKSPACE_KEY_INSERT, workspace.uuid(), for_workspace, now)).await?;
        if keys.is_empty() {
            tx.execute(stmt!(TENANT_KEY_INSERT, tenant.uuid(), id, 1_i64, for_tenant, now)).await?;
            keys = tx.all(stmt!(TENANT_KEYS, tenant.uuid())).await?;
        }
    }
    let row: Option<SealedRow> = tx.optional(stmt!(WORKSPACE_KEY, workspace.uuid())).await?;
    Ok(row
        .filter(|_| !keys.is_empty())
        .map(|row| Stored { workspace: row.key_sealed, tenant: keys }))
}

impl Store {
    /// The keys for the payloads of a tenant; made when there are none. An error code where they were
    /// destroyed or cannot be opened.
    pub(crate) async fn payload_keys_of(
        &self,
        workspace: WorkspaceId,
        tenant: TenantId,
    ) -> Result<Result<PayloadKeys, ReasonCode>, StoreError> {
        let read = self
            .db
            .read(Reach::All, move |tx| Box::pin(stored(tx, workspace, tenant, None)))
            .await?;
        let stored = match read {
            Some(there) => there,
            None => match self.payload_keys_make(workspace, tenant).await? {
                Some(made) => made,
                None => return Ok(Err(ReasonCode::InternalError)),
            },
        };
        Ok(match opened(self, workspace, tenant, &stored) {
            Ok(Some(keys)) => Ok(keys),
            Ok(None) => Err(ReasonCode::TenantDisabled),
            Err(error) => {
                tracing::error!(tenant.id = %tenant, error = %error, "the keys of payloads cannot be opened");
                Err(ReasonCode::InternalError)
            }
        })
    }

    async fn payload_keys_make(
        &self,
        workspace: WorkspaceId,
        tenant: TenantId,
    ) -> Result<Option<Stored>, StoreError> {
        let id = DataKeyId::next(&*self.ids).uuid();
        let made = fresh(self, workspace_place(workspace.uuid()))
            .and_then(|own| Ok((own, id, fresh(self, tenant_place(tenant.uuid(), id))?)));
        let new = match made {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(error = %error, "no key could be made");
                return Ok(None);
            }
        };
        self.db
            .write(Reach::All, move |tx| Box::pin(stored(tx, workspace, tenant, Some(new))))
            .await
    }
}

impl ClaimedRun {
    /// The keys for the payloads of this run's tenant.
    pub async fn payload_keys(&self) -> Result<Result<PayloadKeys, ReasonCode>, StoreError> {
        match self.claimed.tenant {
            Some(tenant) => self.store.payload_keys_of(self.claimed.workspace, tenant).await,
            None => Ok(Err(ReasonCode::InternalError)),
        }
    }

    /// Destroys data keys of this run's tenant that are not active and seal no payload any more. Says how
    /// many.
    pub async fn payload_keys_prune(&self) -> Result<u64, StoreError> {
        let claimed = self.claimed;
        self.store
            .db
            .write(claimed.reach(), move |tx| {
                Box::pin(async move {
                    claimed.check(tx).await?;
                    prune(tx, claimed.scope).await
                })
            })
            .await
    }
}

/// In a statement after the lock: what others wrote down before it is seen.
async fn prune(tx: &mut Tx, tenant: Uuid) -> Result<u64, StoreError> {
    if tx.dialect() == Dialect::Postgres {
        tx.all::<IdRow>(stmt!(TENANT_KEYS_LOCK_PG, tenant)).await?;
    }
    let now = tx.now();
    tx.execute(stmt!(TENANT_KEYS_PRUNE, tenant, now)).await
}

impl TenantScope<ViewBackups> {
    /// The keys for the payloads of this tenant: to show versions.
    pub async fn payload_keys(&self) -> Result<Result<PayloadKeys, ReasonCode>, StoreError> {
        self.store.payload_keys_of(self.workspace_id(), self.tenant.id).await
    }
}

fn note(action: AuditAction, tenant: TenantId, details: serde_json::Value) -> AuditNote {
    AuditNote {
        actor: Initiator::Console,
        action,
        target: ("tenant", tenant.to_string()),
        tenant: Some(tenant),
        run: None,
        request_id: None,
        details,
    }
}

impl Console {
    /// Gives a tenant a new data key; none when the workspace has no such tenant, or when its keys were
    /// destroyed. Older keys stay for reading.
    pub async fn tenant_key_rotate(
        &self,
        workspace: WorkspaceId,
        tenant: TenantId,
    ) -> Result<Option<DataKeyId>, ConsoleError> {
        let id = DataKeyId::next(&*self.store.ids);
        let sealed = fresh(&self.store, tenant_place(tenant.uuid(), id.uuid()))?;
        let own = fresh(&self.store, workspace_place(workspace.uuid()))?;
        let ids = Arc::clone(&self.store.ids);
        let rotated = self
            .store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let known = stmt!(TENANT_OF, tenant.uuid(), workspace.uuid());
                    if tx.optional::<IdRow>(known).await?.is_none() {
                        return Ok(false);
                    }
                    let now = tx.now();
                    let keys: Vec<KeyRow> = tx.all(stmt!(TENANT_KEYS, tenant.uuid())).await?;
                    if !keys.is_empty() && keys.iter().all(|key| key.state == "destroyed") {
                        return Ok(false);
                    }
                    let version = keys.last().map_or(0, |last| last.version) + 1;
                    tx.execute(stmt!(WORKSPACE_KEY_INSERT, workspace.uuid(), own, now)).await?;
                    tx.execute(stmt!(TENANT_KEY_RETIRE, tenant.uuid(), now)).await?;
                    let insert =
                        stmt!(TENANT_KEY_INSERT, tenant.uuid(), id.uuid(), version, sealed, now);
                    if tx.execute(insert).await? == 0 {
                        // Somebody else has rotated it at the same moment: theirs stands.
                        return Err(bad_row("tenant_keys", "version"));
                    }
                    let details = json!({"key": id.to_string(), "version": version});
                    let rotated = note(AuditAction::TenantKeyRotated, tenant, details);
                    audit(tx, &*ids, workspace, &rotated).await?;
                    Ok(true)
                })
            })
            .await?;
        Ok(rotated.then_some(id))
    }

    /// Destroys all data keys of a tenant: its payloads are unreadable from then on, in every backup too
    /// (TRUST 41). Cannot be undone. Says how many keys there were.
    pub async fn tenant_keys_destroy(
        &self,
        workspace: WorkspaceId,
        tenant: TenantId,
    ) -> Result<u64, StoreError> {
        let ids = Arc::clone(&self.store.ids);
        self.store
            .db
            .write(Reach::All, move |tx| {
                Box::pin(async move {
                    let known = stmt!(TENANT_OF, tenant.uuid(), workspace.uuid());
                    if tx.optional::<IdRow>(known).await?.is_none() {
                        return Ok(0);
                    }
                    let now = tx.now();
                    let gone = tx.execute(stmt!(TENANT_KEYS_DESTROY, tenant.uuid(), now)).await?;
                    if gone > 0 {
                        let details = json!({"keys": gone});
                        let done = note(AuditAction::TenantKeysDestroyed, tenant, details);
                        audit(tx, &*ids, workspace, &done).await?;
                    }
                    Ok(gone)
                })
            })
            .await
    }

    /// The data keys of a tenant, oldest first.
    pub async fn tenant_key_list(&self, tenant: TenantId) -> Result<Vec<TenantKey>, StoreError> {
        self.store
            .db
            .read(Reach::All, move |tx| {
                Box::pin(async move {
                    let rows: Vec<KeyRow> = tx.all(stmt!(TENANT_KEYS, tenant.uuid())).await?;
                    let mut keys = Vec::with_capacity(rows.len());
                    for row in rows {
                        let used = stmt!(TENANT_KEY_USES, tenant.uuid(), row.id);
                        let payloads = tx.one::<CountRow>(used).await?.n;
                        keys.push(TenantKey {
                            id: DataKeyId::from_uuid(row.id),
                            version: u64::try_from(row.version).unwrap_or(0),
                            state: row.state,
                            created_at: Timestamp::from_micros(row.created_at),
                            payloads: u64::try_from(payloads).unwrap_or(0),
                        });
                    }
                    Ok(keys)
                })
            })
            .await
    }

    /// Destroys data keys of a tenant that are not active and seal no payload any more.
    pub async fn tenant_keys_prune(&self, tenant: TenantId) -> Result<u64, StoreError> {
        self.store
            .db
            .write(Reach::All, move |tx| Box::pin(async move { prune(tx, tenant.uuid()).await }))
            .await
    }
}
