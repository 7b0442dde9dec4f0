//! Every sealed column is sealed anew when the key file has a newer key: in the background, a few rows at
//! a time, while everything goes on (TRUST A31). A column is called `…_sealed`, and has a row here; a
//! conformance test compares this list with the catalogue of the database.

use uuid::Uuid;

use crate::credentials;
use crate::db::{Reach, Tx};
use crate::error::StoreError;
use crate::keys::{KeyError, Place};
use crate::payload_keys::{tenant_place, workspace_place};
use crate::second_factor;
use crate::stmt::stmt;
use crate::{Console, Store, Upkeep};
use tp_domain::ids::TenantId;

/// A column of sealed values.
struct Column {
    /// Scope, row and value of rows whose value does not begin with `$1`, at most `$2`.
    old: &'static str,
    /// Writes value `$4` over value `$3` of row `$2` in scope `$1`.
    set: &'static str,
    /// The key ids of all values, with their numbers.
    count: &'static str,
    place: fn(Uuid, Uuid) -> Place,
}

const COLUMNS: [Column; 4] = [
    Column {
        old: "SELECT scope_id AS scope, id AS row_id, credential_sealed AS sealed
              FROM tenant_credentials
              WHERE credential_sealed NOT LIKE $1 ORDER BY scope_id, id LIMIT $2",
        set: "UPDATE tenant_credentials SET credential_sealed = $4
              WHERE scope_id = $1 AND id = $2 AND credential_sealed = $3",
        count: "SELECT credential_sealed AS sealed FROM tenant_credentials",
        place: |scope, row| credentials::place(TenantId::from_uuid(scope), row),
    },
    Column {
        old:
            "SELECT scope_id AS scope, scope_id AS row_id, key_sealed AS sealed FROM workspace_keys
              WHERE key_sealed NOT LIKE $1 ORDER BY scope_id LIMIT $2",
        set: "UPDATE workspace_keys SET key_sealed = $4
              WHERE scope_id = $1 AND scope_id = $2 AND key_sealed = $3",
        count: "SELECT key_sealed AS sealed FROM workspace_keys",
        place: |scope, _| workspace_place(scope),
    },
    Column {
        old: "SELECT scope_id AS scope, id AS row_id, key_sealed AS sealed FROM tenant_keys
              WHERE key_sealed NOT LIKE $1 ORDER BY scope_id, id LIMIT $2",
        set: "UPDATE tenant_keys SET key_sealed = $4
              WHERE scope_id = $1 AND id = $2 AND key_sealed = $3",
        count: "SELECT key_sealed AS sealed FROM tenant_keys WHERE key_sealed IS NOT NULL",
        place: tenant_place,
    },
    Column {
        old: "SELECT user_id AS scope, user_id AS row_id, secret_sealed AS sealed FROM user_factors
              WHERE secret_sealed NOT LIKE $1 ORDER BY user_id LIMIT $2",
        set: "UPDATE user_factors SET secret_sealed = $4
              WHERE user_id = $1 AND user_id = $2 AND secret_sealed = $3",
        count: "SELECT secret_sealed AS sealed FROM user_factors",
        place: |_, user| second_factor::place(user),
    },
];

#[derive(sqlx::FromRow)]
struct OldRow {
    scope: Uuid,
    row_id: Uuid,
    sealed: String,
}

#[derive(sqlx::FromRow)]
struct SealedRow {
    sealed: String,
}

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Values that were sealed anew.
    pub done: u64,
    /// Values that could not be opened: their key is not in the key file.
    pub unreadable: u64,
}

async fn old_rows(
    tx: &mut Tx,
    column: &Column,
    active: &str,
    most: u32,
) -> Result<Vec<OldRow>, StoreError> {
    tx.all(stmt!(column.old, format!("{active}.%"), most)).await
}

fn resealed(store: &Store, place: Place, sealed: &str) -> Result<String, KeyError> {
    let plain = store.keys.open_bytes(place, sealed)?;
    store.keys.seal_bytes(place, &plain)
}

impl Upkeep {
    /// Reads the key file again and seals up to `most` values of each column anew that an older key has
    /// sealed. Each value is changed only if it is still the one that was read.
    pub async fn rewrap(&self, most: u32) -> Result<Rewrapped, StoreError> {
        if let Err(error) = self.store.keys.reload() {
            tracing::error!(error = %error, "the key file cannot be read again; the keys stay as they are");
        }
        let active = self.store.keys.active();
        let mut rewrapped = Rewrapped::default();
        for column in &COLUMNS {
            let own = active.clone();
            let rows: Vec<OldRow> = self
                .store
                .db
                .read(Reach::All, move |tx| {
                    Box::pin(async move { old_rows(tx, column, &own, most).await })
                })
                .await?;
            for row in rows {
                let place = (column.place)(row.scope, row.row_id);
                match resealed(&self.store, place, &row.sealed) {
                    Ok(new) => {
                        let set = stmt!(column.set, row.scope, row.row_id, row.sealed, new);
                        let write = self.store.db.write(Reach::All, |tx| Box::pin(tx.execute(set)));
                        rewrapped.done += write.await?;
                    }
                    Err(error) => {
                        tracing::error!(error = %error, column = place.column, "a sealed value is unreadable");
                        rewrapped.unreadable += 1;
                    }
                }
            }
        }
        Ok(rewrapped)
    }
}

impl Console {
    /// The ids of master keys that values are sealed with, each with how many. A key that is not among
    /// them can be taken out of the key file.
    pub async fn master_key_uses(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let mut uses = std::collections::BTreeMap::new();
        for column in &COLUMNS {
            let stmt = stmt!(column.count);
            let rows: Vec<SealedRow> =
                self.store.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await?;
            for row in rows {
                let id = row.sealed.split('.').next().unwrap_or_default().to_owned();
                *uses.entry(id).or_default() += 1;
            }
        }
        Ok(uses.into_iter().collect())
    }
}
