//! Credentials of tenants: what runs sign in with, and what was made here and waits to be used.
//!
//! A change is one transaction with its audit row. Whatever is secret is sealed to its own row.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tp_domain::access::{RotateCredentials, ViewTenant};
use tp_domain::actor::Initiator;
use tp_domain::audit::{AuditAction, AuditNote};
use tp_domain::connection::{CredentialFacts, CredentialKind, CredentialState};
use tp_domain::ids::{CredentialId, TenantId, WorkspaceId};
use tp_domain::reason::ReasonCode;
use tp_domain::time::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::audit;
use crate::certificate::{CertificateCredential, pem};
use crate::claims::ClaimedRun;
use crate::db::Tx;
use crate::error::StoreError;
use crate::keys::{KeyError, Keys, Place};
use crate::scope::TenantScope;
use crate::stmt::stmt;
use crate::tenants::{Connection, bad_row};

const LIST: &str = "\
SELECT id, state, kind, thumbprint, expires_at, set_at, set_by
FROM tenant_credentials WHERE scope_id = $1";
const PUBLIC: &str =
    "SELECT certificate FROM tenant_credentials WHERE scope_id = $1 AND state = $2";
const CLIENT: &str = "SELECT client_id FROM tenants WHERE id = $1";
// First in each change: two changes of one tenant wait for each other here.
const CLIENT_SET: &str = "UPDATE tenants SET client_id = COALESCE($2, client_id) WHERE id = $1";
const DELETE: &str = "DELETE FROM tenant_credentials WHERE scope_id = $1 AND state = $2";
pub(crate) const INSERT: &str = "\
INSERT INTO tenant_credentials (scope_id, state, id, workspace_id, tenant_id, kind, credential_sealed,
                                certificate,
                                thumbprint, expires_at, set_at, set_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const USE: &str = "\
UPDATE tenant_credentials SET state = 'active' WHERE scope_id = $1 AND state = 'pending'";
// What another app was granted says nothing of this one.
const REPORT_DELETE: &str = "DELETE FROM connection_reports WHERE scope_id = $1";
const CONNECTION: &str = "\
SELECT t.entra_tenant_id, t.cloud, t.client_id, t.status, c.id AS credential_id, c.kind, c.credential_sealed AS sealed,
       c.certificate, c.expires_at
FROM tenants t
LEFT JOIN tenant_credentials c ON c.scope_id = t.id AND c.state = 'active'
WHERE t.id = $1";

/// A credential to be stored.
#[derive(Clone, Debug)]
pub enum NewCredential {
    /// A client secret.
    Secret {
        /// The secret.
        secret: SecretString,
        /// When it ends, if somebody has said so.
        expires_at: Option<Timestamp>,
    },
    /// A certificate with its private key.
    Certificate(CertificateCredential),
}

impl From<SecretString> for NewCredential {
    fn from(secret: SecretString) -> Self {
        Self::Secret { secret, expires_at: None }
    }
}

impl From<&str> for NewCredential {
    fn from(secret: &str) -> Self {
        SecretString::from(secret).into()
    }
}

impl From<String> for NewCredential {
    fn from(secret: String) -> Self {
        SecretString::from(secret).into()
    }
}

/// A credential as a worker needs it. The secret part is in memory only.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A client secret.
    Secret(SecretString),
    /// A certificate with its private key.
    Certificate(CertificateCredential),
}

impl Credential {
    /// Secret or certificate.
    pub const fn kind(&self) -> CredentialKind {
        match self {
            Self::Secret(_) => CredentialKind::Secret,
            Self::Certificate(_) => CredentialKind::Certificate,
        }
    }
}

/// Why a credential was not stored. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialRefused {
    /// The tenant has no app registration, and none was given.
    #[error("the client id of the app registration is needed with the first credential")]
    NoClient,
    /// There is no key pair that waits to be used.
    #[error("no key pair waits to be used; make one first")]
    NonePending,
    /// The keys cannot seal it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(sqlx::FromRow)]
struct FactsRow {
    id: Uuid,
    state: String,
    kind: String,
    thumbprint: Option<String>,
    expires_at: Option<i64>,
    set_at: i64,
    set_by: String,
}

#[derive(sqlx::FromRow)]
struct PublicRow {
    certificate: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ClientRow {
    client_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct ConnectionRow {
    entra_tenant_id: Uuid,
    cloud: String,
    client_id: Option<String>,
    status: String,
    credential_id: Option<Uuid>,
    kind: Option<String>,
    sealed: Option<String>,
    certificate: Option<String>,
    expires_at: Option<i64>,
}

impl TryFrom<FactsRow> for CredentialFacts {
    type Error = StoreError;

    fn try_from(row: FactsRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("tenant_credentials", column);
        Ok(Self {
            id: CredentialId::from_uuid(row.id),
            kind: row.kind.parse().map_err(|_| bad("kind"))?,
            state: row.state.parse().map_err(|_| bad("state"))?,
            expires_at: row.expires_at.map(Timestamp::from_micros),
            thumbprint: row.thumbprint,
            set_at: Timestamp::from_micros(row.set_at),
            set_by: row.set_by,
        })
    }
}

/// Where what is secret of a credential is sealed to. Secrets of before this table were sealed to the
/// tenant's own row; the migration gave those the tenant's id.
pub(crate) fn place(tenant: TenantId, credential: Uuid) -> Place {
    let column = if credential == tenant.uuid() {
        "tenants.client_secret"
    } else {
        "tenant_credentials.credential_sealed"
    };
    Place { column, scope: tenant.uuid(), row: credential }
}

/// A row to be written, sealed already.
#[derive(Clone, Debug)]
pub(crate) struct SealedCredential {
    id: Uuid,
    kind: CredentialKind,
    sealed: String,
    certificate: Option<String>,
    thumbprint: Option<String>,
    expires_at: Option<Timestamp>,
}

impl SealedCredential {
    pub(crate) fn new(
        keys: &Keys,
        tenant: TenantId,
        id: CredentialId,
        new: &NewCredential,
    ) -> Result<Self, KeyError> {
        let place = place(tenant, id.uuid());
        Ok(match new {
            NewCredential::Secret { secret, expires_at } => Self {
                id: id.uuid(),
                kind: CredentialKind::Secret,
                sealed: keys.seal(place, secret)?,
                certificate: None,
                thumbprint: None,
                expires_at: *expires_at,
            },
            NewCredential::Certificate(own) => Self {
                id: id.uuid(),
                kind: CredentialKind::Certificate,
                sealed: keys.seal(place, &BASE64.encode(own.private_key()).into())?,
                certificate: Some(BASE64.encode(own.certificate())),
                thumbprint: Some(own.thumbprint()),
                expires_at: Some(own.expires_at()),
            },
        })
    }

    pub(crate) async fn insert(
        &self,
        tx: &mut Tx,
        (workspace, tenant): (WorkspaceId, TenantId),
        state: CredentialState,
        by: &str,
    ) -> Result<CredentialFacts, StoreError> {
        let now = tx.now();
        tx.execute(stmt!(
            INSERT,
            tenant.uuid(),
            state.as_str(),
            self.id,
            workspace.uuid(),
            tenant.uuid(),
            self.kind.as_str(),
            &self.sealed,
            self.certificate.clone(),
            self.thumbprint.clone(),
            self.expires_at,
            now,
            by,
        ))
        .await?;
        Ok(CredentialFacts {
            id: CredentialId::from_uuid(self.id),
            kind: self.kind,
            state,
            expires_at: self.expires_at,
            thumbprint: self.thumbprint.clone(),
            set_at: now,
            set_by: by.to_owned(),
        })
    }
}

/// What the audit log says of a credential: nothing of it is secret.
pub(crate) fn audited(facts: Option<&CredentialFacts>) -> Value {
    facts.map_or(Value::Null, |facts| {
        json!({
            "kind": facts.kind.as_str(), "thumbprint": facts.thumbprint,
            "expires_at": facts.expires_at.map(Timestamp::rfc3339),
        })
    })
}

pub(crate) async fn list(tx: &mut Tx, tenant: Uuid) -> Result<Vec<CredentialFacts>, StoreError> {
    let rows: Vec<FactsRow> = tx.all(stmt!(LIST, tenant)).await?;
    rows.into_iter().map(CredentialFacts::try_from).collect()
}

fn of_state(all: &[CredentialFacts], state: CredentialState) -> Option<&CredentialFacts> {
    all.iter().find(|facts| facts.state == state)
}

/// Who changes what, for the change and its audit row.
#[derive(Clone)]
struct Change {
    workspace: WorkspaceId,
    tenant: TenantId,
    actor: Initiator,
    request_id: Option<String>,
}

impl Change {
    fn note(&self, action: AuditAction, details: Value) -> AuditNote {
        AuditNote {
            actor: self.actor.clone(),
            action,
            target: ("tenant", self.tenant.to_string()),
            tenant: Some(self.tenant),
            run: None,
            request_id: self.request_id.clone(),
            details,
        }
    }
}

impl TenantScope<ViewTenant> {
    /// The certificate in PEM form; none where there is no credential of that state, or it is a secret.
    pub async fn certificate_pem(
        &self,
        state: CredentialState,
    ) -> Result<Option<String>, StoreError> {
        let stmt = stmt!(PUBLIC, self.scope_id().uuid(), state.as_str());
        let row: Option<PublicRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(text) = row.and_then(|row| row.certificate) else { return Ok(None) };
        let bad = |_| bad_row("tenant_credentials", "certificate");
        Ok(Some(pem(&BASE64.decode(text).map_err(bad)?)))
    }
}

impl TenantScope<RotateCredentials> {
    fn change(&self, request_id: Option<String>) -> Change {
        Change {
            workspace: self.workspace_id(),
            tenant: self.tenant.id,
            actor: self.actor.initiator(),
            request_id,
        }
    }

    /// Stores a credential. An active one takes the place of the one before, which is deleted; a pending
    /// one waits beside it. With another `client_id` what earlier checks found is deleted as well.
    pub async fn credential_set(
        &self,
        client_id: Option<String>,
        new: &NewCredential,
        state: CredentialState,
        request_id: Option<String>,
    ) -> Result<CredentialFacts, CredentialRefused> {
        let id = CredentialId::next(&*self.store.ids);
        let sealed = SealedCredential::new(&self.store.keys, self.tenant.id, id, new)?;
        let (ids, change) = (Arc::clone(&self.store.ids), self.change(request_id));
        let written = self.store.db.write(self.reach(), move |tx| {
            Box::pin(async move {
                let tenant = change.tenant;
                let was: ClientRow = tx.one(stmt!(CLIENT, tenant.uuid())).await?;
                tx.execute(stmt!(CLIENT_SET, tenant.uuid(), client_id.clone())).await?;
                let Some(now_is) = client_id.clone().or_else(|| was.client_id.clone()) else {
                    return Ok(None);
                };
                if was.client_id.as_ref().is_some_and(|was| *was != now_is) {
                    tx.execute(stmt!(REPORT_DELETE, tenant.uuid())).await?;
                }
                let all = list(tx, tenant.uuid()).await?;
                tx.execute(stmt!(DELETE, tenant.uuid(), state.as_str())).await?;
                let place = (change.workspace, tenant);
                let facts = sealed.insert(tx, place, state, change.actor.name()).await?;
                let action = match state {
                    CredentialState::Active => AuditAction::TenantCredentialSet,
                    CredentialState::Pending => AuditAction::TenantCredentialPrepared,
                };
                let details = json!({
                    "client_id": {"before": was.client_id, "after": now_is},
                    "before": audited(of_state(&all, state)), "after": audited(Some(&facts)),
                });
                audit(tx, &*ids, change.workspace, &change.note(action, details)).await?;
                Ok(Some(facts))
            })
        });
        written.await?.ok_or(CredentialRefused::NoClient)
    }

    /// Signs in from now on with the key pair that was made here; the credential before is deleted.
    pub async fn credential_use(
        &self,
        request_id: Option<String>,
    ) -> Result<CredentialFacts, CredentialRefused> {
        let (ids, change) = (Arc::clone(&self.store.ids), self.change(request_id));
        let used = self.store.db.write(self.reach(), move |tx| {
            Box::pin(async move {
                let tenant = change.tenant.uuid();
                tx.execute(stmt!(CLIENT_SET, tenant, None::<String>)).await?;
                let all = list(tx, tenant).await?;
                let Some(next) = of_state(&all, CredentialState::Pending) else { return Ok(None) };
                let active = CredentialState::Active;
                tx.execute(stmt!(DELETE, tenant, active.as_str())).await?;
                tx.execute(stmt!(USE, tenant)).await?;
                let details = json!({
                    "before": audited(of_state(&all, active)), "after": audited(Some(next)),
                });
                let note = change.note(AuditAction::TenantCredentialUsed, details);
                audit(tx, &*ids, change.workspace, &note).await?;
                Ok(Some(CredentialFacts { state: active, ..next.clone() }))
            })
        });
        used.await?.ok_or(CredentialRefused::NonePending)
    }

    /// Throws away the key pair that waits to be used. `false` when there is none.
    pub async fn credential_discard(&self, request_id: Option<String>) -> Result<bool, StoreError> {
        let (ids, change) = (Arc::clone(&self.store.ids), self.change(request_id));
        let discarded = self.store.db.write(self.reach(), move |tx| {
            Box::pin(async move {
                let tenant = change.tenant.uuid();
                tx.execute(stmt!(CLIENT_SET, tenant, None::<String>)).await?;
                let all = list(tx, tenant).await?;
                let pending = CredentialState::Pending;
                if tx.execute(stmt!(DELETE, tenant, pending.as_str())).await? == 0 {
                    return Ok(false);
                }
                let details = json!({"before": audited(of_state(&all, pending)), "after": null});
                let note = change.note(AuditAction::TenantCredentialDiscarded, details);
                audit(tx, &*ids, change.workspace, &note).await?;
                Ok(true)
            })
        });
        discarded.await
    }
}

impl ConnectionRow {
    fn open(&self, keys: &Keys, tenant: TenantId) -> Result<Option<Credential>, KeyError> {
        let (Some(id), Some(kind), Some(sealed)) = (self.credential_id, &self.kind, &self.sealed)
        else {
            return Ok(None);
        };
        let opened = keys.open_sealed(place(tenant, id), sealed)?;
        let certificate = match kind.parse::<CredentialKind>() {
            Ok(CredentialKind::Secret) => return Ok(Some(Credential::Secret(opened))),
            Ok(CredentialKind::Certificate) => self.certificate.as_deref().unwrap_or_default(),
            Err(_) => return Err(KeyError::Unreadable),
        };
        let damaged = |_| KeyError::Unreadable;
        let mut key = Zeroizing::new(BASE64.decode(opened.expose_secret()).map_err(damaged)?);
        let certificate = BASE64.decode(certificate).map_err(damaged)?;
        let end = Timestamp::from_micros(self.expires_at.unwrap_or_default());
        let own = CertificateCredential::from_parts(certificate, std::mem::take(&mut *key), end);
        Ok(Some(Credential::Certificate(own)))
    }
}

impl ClaimedRun {
    /// How to reach the tenant of this run, with its credential opened; or why that cannot be.
    pub async fn connection(&self) -> Result<Result<Connection, ReasonCode>, StoreError> {
        let Some(tenant) = self.claimed.tenant else {
            return Ok(Err(ReasonCode::InternalError));
        };
        let stmt = stmt!(CONNECTION, tenant.uuid());
        let row: Option<ConnectionRow> =
            self.store.db.read(self.claimed.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        let Some(row) = row.filter(|row| row.status == "active") else {
            return Ok(Err(ReasonCode::TenantDisabled));
        };
        let opened = row.open(&self.store.keys, tenant);
        Ok(match (row.client_id, opened) {
            (_, Err(error)) => {
                tracing::error!(run.id = %self.id(), error = %error, "a credential is unreadable");
                Err(ReasonCode::CredentialUnreadable)
            }
            (None, _) | (_, Ok(None)) => Err(ReasonCode::CredentialMissing),
            // Microsoft would say no more than that it is not accepted.
            (_, Ok(Some(Credential::Certificate(own)))) if own.expires_at() <= self.store.now() => {
                Err(ReasonCode::CredentialExpired)
            }
            (Some(client_id), Ok(Some(credential))) => Ok(Connection {
                entra_tenant_id: row.entra_tenant_id,
                cloud: row.cloud,
                client_id,
                credential,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_before_the_table_is_opened_in_its_old_place() {
        let keys = Keys::fresh().unwrap();
        let tenant = TenantId::from_uuid(Uuid::from_u128(7));
        let old =
            Place { column: "tenants.client_secret", scope: tenant.uuid(), row: tenant.uuid() };
        let row = |id: Uuid| ConnectionRow {
            entra_tenant_id: Uuid::from_u128(1),
            cloud: "global".to_owned(),
            client_id: Some("app".to_owned()),
            status: "active".to_owned(),
            credential_id: Some(id),
            kind: Some("secret".to_owned()),
            sealed: Some(keys.seal(old, &"s3cret".into()).unwrap()),
            certificate: None,
            expires_at: None,
        };
        let opened = row(tenant.uuid()).open(&keys, tenant).unwrap();
        let Some(Credential::Secret(secret)) = opened else { panic!("a secret") };
        assert_eq!(secret.expose_secret(), "s3cret");
        let moved = row(Uuid::from_u128(8)).open(&keys, tenant);
        assert!(matches!(moved, Err(KeyError::Unreadable)), "in no other row");
    }
}
