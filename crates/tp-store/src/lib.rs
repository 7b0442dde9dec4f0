//! The only crate with SQL: SQLite and PostgreSQL behind one face.
//!
//! Tenant data is reached through six doors and no seventh (`doors.rs`): a [`TenantScope`] for one
//! tenant and one purpose, a [`WorkspaceScope`] for what belongs to the workspace itself, a
//! [`FleetScope`] over a person's own tenants, a [`ClaimedRun`] for the
//! worker that holds its lease, the [`Upkeep`] of the engine, and the [`Console`] of the machine's own
//! shell. The [`Hall`] beside them holds accounts and sessions, no tenant data.
//!
//! How to add a query: put its text as a constant at the top of the file of its noun, with
//! `scope_id = $1` first; make it a method of the door that may use it; add a conformance test, which
//! runs on both databases (`tests/conformance/`). `cargo xtask tidy` fails while the test is missing.

mod account;
mod actions;
mod artefacts;
mod audit;
mod authority;
mod backup_care;
mod backup_reads;
mod backups;
mod break_glass;
mod breaks;
mod budgets;
mod captures;
mod certificate;
mod children;
mod claims;
mod connections;
mod consents;
mod console;
mod credentials;
mod db;
mod discovery;
mod doors;
mod endings;
mod error;
mod fleet;
mod gates;
mod hall;
mod identities;
mod inventory;
mod invitations;
mod items;
mod keys;
mod members;
mod migrate;
mod notices;
mod notifications;
mod oidc_requests;
mod payload_keys;
mod payloads;
mod policies;
mod progress;
mod prune;
mod queue;
mod recovery_codes;
mod restore_previews;
mod restore_rows;
mod restore_sources;
mod restore_work;
mod restores;
mod rewrap;
mod run_reads;
mod run_rows;
mod runs;
mod schedules;
mod scope;
mod second_factor;
mod second_step;
mod secret_text;
mod sign_in_rules;
mod starts;
mod stmt;
mod system;
mod tenants;
mod tokens;
mod upkeep;
mod versions;
mod wake;
mod workspace;
mod workspace_choice;

#[cfg(feature = "testing")]
pub mod testing;

use std::sync::Arc;

use tp_domain::ids::Ids;
use tp_domain::time::Timestamp;

pub use account::{FRESH, OwnAccount, SessionSeen};
pub use actions::{Cancel, RetryOnly};
pub use artefacts::{ArtefactEnd, NewPiece};
pub use backup_care::{BackupChanged, BackupHeld};
pub use backup_reads::{BackupItemFilter, BackupItemPage, BackupTally};
pub use backups::{BackupEnd, BackupEntry, BackupWritten, OpenBackup};
pub use break_glass::{BREAK_GLASS_LIFE, BreakGlass};
pub use captures::capture_key;
pub use certificate::{CertificateCredential, CertificateError};
pub use children::{Child, ChildPlan, ChildState, RolledUp};
pub use claims::{ClaimRequest, Claimed, ClaimedRun, Claims};
pub use connections::ConnectionView;
pub use consents::{CONSENT_LIFE, ConsentAnswer, ConsentState};
pub use console::{Bootstrap, Bootstrapped, Console, ConsoleError, NewTenant, NewUser};
pub use credentials::{Credential, CredentialRefused, NewCredential};
pub use db::{DatabaseUrl, Dialect, TimeSource};
pub use doors::Actor;
pub use endings::{Ended, Snooze};
pub use error::{Refused, StoreError, sqlx_error};
pub use fleet::{FleetScope, TenantSummary};
pub use gates::NewGate;
pub use hall::{Account, ApiTokenSecret, Entrance, Hall, NewSession, SessionSecret};
pub use identities::{IdentityEntry, IdentityGone, IdentityLinked, OwnIdentity, SignInMethod};
pub use inventory::{Coverage, Observed, TypeEnd};
pub use invitations::{
    Accepted, INVITATION_LIFE, InvitationSecret, Invited, NewInvitation, OpenInvitation,
};
pub use items::ItemFilter;
pub use keys::{KeyError, Keys};
pub use members::{FactorReset, MemberChange};
pub use migrate::SchemaState;
pub use oidc_requests::{
    BegunSignIn, MOST_OPEN_SIGN_INS, SIGN_IN_LIFE, SignInBrowser, SignInPurpose, TakenSignIn,
};
pub use payload_keys::TenantKey;
pub use payloads::{
    Condemned, Outdated, PayloadPlace, PayloadStored, PayloadWant, PayloadWritten, Reserved,
};
pub use policies::{PolicyFilter, PolicyPage, PolicySort, PolicyStateFilter};
pub use progress::Progress;
pub use recovery_codes::{RECOVERY_CODES, RecoveryCodes};
pub use restore_previews::NewPreview;
pub use restore_sources::SourceDoor;
pub use restore_work::{ConfirmedPlan, OpenIntent};
pub use restores::{Confirm, Confirmed, RestoreRefused};
pub use rewrap::Rewrapped;
pub use run_reads::{COUNT_CAP, RunCursor, RunFilter, RunPage, RunTab, TabCounts};
pub use runs::{HowStarted, IdempotencyKey, StartRefused, Started};
pub use schedules::{Fired, LONGEST_SCHEDULE_NAME, LONGEST_SPREAD, NewSchedule, ScheduleChanged};
pub use scope::{TenantRef, TenantScope};
pub use second_factor::{FactorError, FactorSetup, SecondCode, SecondFactor};
pub use second_step::{SECOND_STEP_LIFE, SecondStep};
pub use sign_in_rules::{LinkRefused, SignInRule};
pub use system::{SystemClock, SystemIds};
pub use tenants::Connection;
pub use tokens::{ApiToken, LONGEST_LIFE, NewToken};
pub use upkeep::{HeldLease, QueueState, Swept, Upkeep, WorkerRow};
pub use versions::Captured;
pub use wake::Wake;
pub use workspace::{MOST_RUNNING, WorkspaceScope, WorkspaceSettings};
pub use workspace_choice::OwnWorkspace;

use db::Db;

/// What a store is opened with.
#[derive(Debug)]
pub struct StoreOptions {
    /// Where the database is.
    pub url: DatabaseUrl,
    /// Where the time comes from.
    pub time: TimeSource,
    /// Where ids come from.
    pub ids: Arc<dyn Ids>,
    /// The keys for secrets at rest.
    pub keys: Arc<Keys>,
    /// How many connections: readers on SQLite, all of them on PostgreSQL.
    pub connections: u32,
}

/// The database with all that its doors need. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    time: TimeSource,
    ids: Arc<dyn Ids>,
    keys: Arc<Keys>,
    wake: Wake,
    queue: queue::Queue,
    discovered: discovery::Marks,
    gates: gates::GateCache,
    pace: upkeep::Pace,
    /// Groups the ends of runs; PostgreSQL only.
    endings: Option<endings::Endings>,
    starts: Option<starts::Starts>,
}

impl Store {
    /// Brings the schema up to date.
    pub async fn migrate(url: &DatabaseUrl) -> Result<SchemaState, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) => {
                let _lock = db::lite_lock(path)?;
                migrate::run(Dialect::Sqlite, &db::lite_options(path)).await
            }
            DatabaseUrl::Postgres(url) => {
                migrate::run(Dialect::Postgres, &db::pg_options(url)?).await
            }
        }
    }

    /// Says whether migrations are pending, without running them.
    pub async fn migrate_check(url: &DatabaseUrl) -> Result<SchemaState, StoreError> {
        match url {
            DatabaseUrl::Sqlite(path) if !path.exists() => {
                let known = migrate::migrator(Dialect::Sqlite).migrations.len();
                Ok(SchemaState { known, pending: known })
            }
            DatabaseUrl::Sqlite(path) => {
                migrate::check(Dialect::Sqlite, &db::lite_options(path)).await
            }
            DatabaseUrl::Postgres(url) => {
                migrate::check(Dialect::Postgres, &db::pg_options(url)?).await
            }
        }
    }

    /// Whether a PostgreSQL database of ours holds anything yet: then its keys must exist.
    pub async fn has_workspace(url: &DatabaseUrl) -> Result<bool, StoreError> {
        use sqlx::ConnectOptions as _;
        match url {
            DatabaseUrl::Sqlite(path) => Ok(path.exists()),
            DatabaseUrl::Postgres(url) => {
                let mut conn = db::pg_options(url)?.connect().await?;
                let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM workspaces)");
                Ok(query.fetch_one(&mut conn).await?)
            }
        }
    }

    /// Opens a database whose schema is up to date.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let state = Self::migrate_check(&options.url).await?;
        if state.pending > 0 {
            return Err(StoreError::Schema(format!(
                "the database lacks {} of {} migrations; run `tenantpilot migrate`",
                state.pending, state.known
            )));
        }
        let queue = queue::Queue::default();
        let listens = matches!(options.url, DatabaseUrl::Postgres(_));
        let wake = Wake::new(options.ids.next(), queue.clone(), listens);
        let db = match &options.url {
            DatabaseUrl::Sqlite(path) => {
                Db::open_lite(path, options.connections, options.time.clone()).await?
            }
            DatabaseUrl::Postgres(url) => {
                Db::open_pg(url, options.connections, options.time.clone()).await?
            }
        };
        if let Db::Pg { pool, .. } = &db {
            wake.connect(pool.clone());
        }
        let endings = endings::endings_of(&db, &options.ids);
        let starts = starts::Starts::of(&db, &options.ids);
        let store = Self {
            db,
            time: options.time,
            ids: options.ids,
            keys: options.keys,
            wake,
            queue,
            discovered: discovery::Marks::default(),
            gates: gates::GateCache::default(),
            pace: upkeep::Pace::default(),
            endings,
            starts,
        };
        if store.dialect() == Dialect::Sqlite {
            store.upkeep().expire_all().await?;
        }
        Ok(store)
    }

    /// The time by the store's local clock, for pages. Transactions have their own (ruling 13).
    pub fn now(&self) -> Timestamp {
        self.time.local()
    }

    /// Which database this is.
    pub const fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    /// What wakes a worker when there is work.
    pub const fn wake(&self) -> &Wake {
        &self.wake
    }

    /// Asks the database for an answer, for `/readyz`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.read(db::Reach::All, |tx| Box::pin(async move { tx.raw("SELECT 1").await })).await
    }

    /// Waits for what was handed over, then closes every connection.
    pub async fn close(&self) {
        self.wake.close();
        self.db.close().await;
    }
}
