//! Databases for tests, a clock that stands still, and planned failures. Feature `testing` only.

mod breaks;
mod fill;
mod invariants;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use sqlx::AssertSqlSafe;
use tp_domain::access::Role;
use tp_domain::ids::{Ids, UserId, WorkspaceId};
use tp_domain::time::{Clock, Timestamp};
use uuid::Uuid;

use crate::db::Db;
use crate::{
    Account, Bootstrap, DatabaseUrl, Dialect, Keys, NewUser, Store, StoreError, StoreOptions,
    SystemIds, TimeSource,
};

pub use breaks::{BreakPoint, Look, break_at, break_nowhere, looks_begin, looks_taken};
pub(crate) use breaks::{Timed, ends_written, reached};
pub use invariants::{Told, broken, told};

/// A clock that moves only when told to.
#[derive(Clone, Debug)]
pub struct FixedClock {
    now: Arc<AtomicI64>,
    steady: Arc<AtomicI64>,
}

impl FixedClock {
    /// 2026-01-17T09:00:00Z.
    pub fn new() -> Self {
        Self { now: Arc::new(AtomicI64::new(1_768_640_400_000_000)), steady: Arc::default() }
    }

    /// Time passes.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.now.fetch_add(micros, Ordering::SeqCst);
        self.steady.fetch_add(micros, Ordering::SeqCst);
    }

    /// Is set forward: no time has passed.
    pub fn set_forward(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.now.fetch_add(micros, Ordering::SeqCst);
    }

    /// Is set back, as clocks of machines are.
    pub fn set_back(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.now.fetch_sub(micros, Ordering::SeqCst);
    }
}

impl Default for FixedClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.steady.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

/// Ids that count up from one.
#[derive(Debug, Default)]
pub struct CountingIds(AtomicU64);

impl Ids for CountingIds {
    fn next(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::SeqCst)) + 1)
    }
}

/// A database of its own for one test. Removed when dropped (SQLite) or at the next start of the
/// server (PostgreSQL: the server itself is a throw-away one).
#[derive(Debug)]
pub struct TestDatabase {
    /// The store on it.
    pub store: Store,
    /// Its clock.
    pub clock: FixedClock,
    /// Where it is.
    pub url: DatabaseUrl,
    /// The key file that the store was opened with.
    pub keys_file: std::path::PathBuf,
    _folder: Option<tempfile::TempDir>,
    _keys: tempfile::TempDir,
}

/// The databases that a test runs on: SQLite always, PostgreSQL where a server is given by
/// `TENANTPILOT_TEST_POSTGRES`. `cargo xtask ci` always gives one.
pub async fn databases() -> Vec<TestDatabase> {
    let mut list = vec![TestDatabase::sqlite().await];
    match postgres_server() {
        Some(server) => list.push(TestDatabase::postgres(&server).await),
        None => say_skipped(),
    }
    list
}

/// Says that the PostgreSQL half of a test was left out.
#[expect(clippy::print_stderr, reason = "a skipped half of a test must be seen")]
pub fn say_skipped() {
    eprintln!(
        "skipped on PostgreSQL: TENANTPILOT_TEST_POSTGRES is not set (cargo xtask ci sets it)"
    );
}

/// The server that tests may make databases on.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
pub fn postgres_server() -> Option<String> {
    std::env::var("TENANTPILOT_TEST_POSTGRES").ok().filter(|url| !url.is_empty())
}

/// Makes a new database on that server and gives its URL.
#[expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "test set-up")]
pub async fn fresh_postgres(server: &str) -> String {
    use sqlx::{ConnectOptions as _, Connection as _};
    let options: sqlx::postgres::PgConnectOptions = server.parse().unwrap();
    let name = format!("tp_{}", Uuid::now_v7().simple());
    let mut conn = options.connect().await.unwrap();
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let (base, query) = server.split_once('?').map_or((server, ""), |(base, query)| (base, query));
    let root =
        match base.get(base.find("://").map_or(0, |at| at + 3)..).and_then(|rest| rest.find('/')) {
            Some(_) => base.rsplit_once('/').map_or(base, |(root, _)| root),
            None => base,
        };
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{root}/{name}{query}")
}

#[expect(clippy::unwrap_used, reason = "test set-up")]
impl TestDatabase {
    /// A SQLite file in a temporary folder.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("tenantpilot.db"));
        Self::open(url, Some(folder)).await
    }

    /// A new database on the server.
    pub async fn postgres(server: &str) -> Self {
        let url = DatabaseUrl::Postgres(SecretString::from(fresh_postgres(server).await));
        Self::open(url, None).await
    }

    async fn open(url: DatabaseUrl, folder: Option<tempfile::TempDir>) -> Self {
        Store::migrate(&url).await.unwrap();
        let keys = tempfile::tempdir().unwrap();
        let keys_file = keys.path().join("keys.json");
        let clock = FixedClock::new();
        let store = Store::open(StoreOptions {
            url: url.clone(),
            time: TimeSource::Clock(Arc::new(clock.clone())),
            ids: Arc::new(SystemIds),
            keys: Arc::new(Keys::open(&keys_file, false).unwrap()),
            connections: 8,
        })
        .await
        .unwrap();
        Self { store, clock, url, keys_file, _folder: folder, _keys: keys }
    }

    /// The name of the database, for messages.
    pub const fn name(&self) -> &'static str {
        match self.store.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
        }
    }
}

#[expect(clippy::unwrap_used, reason = "test set-up")]
impl Store {
    /// A workspace with its owner.
    pub async fn test_workspace(&self) -> (WorkspaceId, UserId) {
        let owner = NewUser {
            email: "owner@example.com".to_owned(),
            name: "Olive Owner".to_owned(),
            password_hash: "x".to_owned(),
            role: Role::Owner,
        };
        let made = self
            .console()
            .bootstrap(Bootstrap {
                workspace: "Example MSP".to_owned(),
                owner,
                token_capabilities: Vec::new(),
            })
            .await
            .unwrap();
        (made.workspace, made.user)
    }

    /// Signs somebody in without a password.
    pub async fn test_actor(&self, email: &str) -> crate::Actor {
        let account: Account = self.hall().account_by_email(email).await.unwrap().unwrap();
        let workspace = account.workspace.unwrap();
        let session = self.hall().session_create(&account, workspace, None).await.unwrap();
        self.hall().actor_of_session(&session.secret).await.unwrap().unwrap()
    }

    /// Runs a statement for its count, past every door: for looking at what a test has written.
    pub async fn test_count(&self, sql: &'static str) -> i64 {
        use crate::db::Reach;
        #[derive(sqlx::FromRow)]
        struct Row {
            n: i64,
        }
        let stmt = crate::stmt::stmt!(sql);
        let row: Row = self.db.read(Reach::All, |tx| Box::pin(tx.one(stmt))).await.unwrap();
        row.n
    }

    /// Holds a snapshot open on PostgreSQL until the answer is dropped: nothing dead can be vacuumed.
    pub async fn test_hold_snapshot(&self) -> impl Drop + Send {
        let Db::Pg { pool, .. } = &self.db else { unreachable!("PostgreSQL only") };
        let mut conn = pool.acquire().await.unwrap();
        let text = "SET idle_in_transaction_session_timeout = 0; \
                    BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM operation_runs";
        sqlx::raw_sql(text).execute(&mut *conn).await.unwrap();
        HeldSnapshot(Some(conn))
    }

    /// Holds a transaction open on PostgreSQL that has carried out that text, until the answer is dropped;
    /// then it is rolled back.
    pub async fn test_hold(&self, text: &str) -> impl Drop + Send {
        let Db::Pg { pool, .. } = &self.db else { unreachable!("PostgreSQL only") };
        let mut conn = pool.acquire().await.unwrap();
        let begin =
            "SET idle_in_transaction_session_timeout = 0; BEGIN; SET LOCAL app.reach = '*'; ";
        let text = AssertSqlSafe(format!("{begin}{text}"));
        sqlx::raw_sql(text).execute(&mut *conn).await.unwrap();
        HeldSnapshot(Some(conn))
    }

    /// The same for text that is put together, of a proof.
    pub async fn test_count_text(&self, sql: &str) -> i64 {
        use crate::db::Reach;
        #[derive(sqlx::FromRow)]
        struct Row {
            n: i64,
        }
        let stmt = crate::stmt::Stmt::of_test(sql.to_owned());
        let row: Row = self.db.read(Reach::All, |tx| Box::pin(tx.one(stmt))).await.unwrap();
        row.n
    }

    /// The rows of a query with one text column, past every door.
    pub async fn test_texts(&self, sql: &str) -> Vec<String> {
        use crate::db::Reach;
        #[derive(sqlx::FromRow)]
        struct Row {
            t: String,
        }
        let stmt = crate::stmt::Stmt::of_test(sql.to_owned());
        let rows: Vec<Row> = self.db.read(Reach::All, |tx| Box::pin(tx.all(stmt))).await.unwrap();
        rows.into_iter().map(|row| row.t).collect()
    }

    /// Runs fixed text, past every door.
    pub async fn test_execute(&self, sql: &'static str) -> Result<(), StoreError> {
        use crate::db::Reach;
        self.db.write(Reach::All, move |tx| Box::pin(tx.raw(sql))).await
    }

    /// Fills a tenant with ended runs, one a minute back in time, a tenth of them failed.
    pub async fn test_fill_runs(
        &self,
        tenant: tp_domain::ids::TenantId,
        workspace: WorkspaceId,
        count: u32,
        admin: &DatabaseUrl,
    ) {
        use sqlx::ConnectOptions as _;
        const TEXT: &str = "\
INSERT INTO operation_runs (scope_id, id, workspace_id, tenant_id, kind, status, outcome, identity_hash,
  initiator_name, trigger_kind, inputs, total, processed, succeeded, reason, max_attempts, attempt,
  created_at, started_at, completed_at)
SELECT {tenant}, {id}, {workspace}, {tenant}, 'inventory.sync', 'completed',
  CASE WHEN n % 10 = 0 THEN 'failed' WHEN n % 25 = 1 THEN 'partially_succeeded' ELSE 'succeeded' END,
  'fill' || (n % 50), 'user' || (n % 7), 'manual', '{}', 40, 40, 40,
  CASE WHEN n % 10 = 0 THEN 'graph_throttled' END, 3, 1,
  {now} - n * 20000000, {now} - n * 20000000 + 1000, {now} - n * 20000000 + 2000000
FROM (WITH RECURSIVE numbers(n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
      SELECT n FROM numbers) filled";
        // The newest failures are those that nobody has made good yet.
        const ATTENTION: &str = "; INSERT INTO run_attention
SELECT scope_id, id, workspace_id, tenant_id, kind, identity_hash, created_at FROM operation_runs
WHERE outcome IN ('failed', 'partially_succeeded') ORDER BY created_at DESC LIMIT 300";
        let now = self.now().micros();
        let (uuid, id): (fn(Uuid) -> String, &str) = match self.dialect() {
            Dialect::Sqlite => (|id| format!("x'{}'", id.simple()), "randomblob(16)"),
            Dialect::Postgres => (|id| format!("'{id}'::uuid"), "gen_random_uuid()"),
        };
        let text = TEXT
            .replace("{tenant}", &uuid(tenant.uuid()))
            .replace("{workspace}", &uuid(workspace.uuid()))
            .replace("{id}", id)
            .replace("{now}", &now.to_string())
            .replace("{count}", &count.to_string())
            + ATTENTION;
        match admin {
            DatabaseUrl::Sqlite(path) => {
                let mut conn = crate::db::lite_options(path).connect().await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(text + "; ANALYZE")).execute(&mut conn).await.unwrap();
            }
            DatabaseUrl::Postgres(url) => {
                let mut conn = crate::db::pg_options(url).unwrap().connect().await.unwrap();
                let reach = "SET app.reach = '*'; ".to_owned();
                sqlx::raw_sql(AssertSqlSafe(reach + &text)).execute(&mut conn).await.unwrap();
                sqlx::raw_sql("ANALYZE operation_runs").execute(&mut conn).await.unwrap();
            }
        }
    }

    /// Makes every insert into `jobs` fail, or work again: a broken dispatch (TRUST F5).
    pub async fn test_break_dispatch(&self, broken: bool, admin: &DatabaseUrl) {
        use sqlx::ConnectOptions as _;
        match (&self.db, admin) {
            (Db::Lite { .. }, _) => {
                let sql = if broken {
                    "CREATE TRIGGER broken BEFORE INSERT ON jobs \
                     BEGIN SELECT RAISE(ABORT, 'planned'); END"
                } else {
                    "DROP TRIGGER broken"
                };
                self.test_execute(sql).await.unwrap();
            }
            (Db::Pg { .. }, DatabaseUrl::Postgres(url)) => {
                let sql = if broken {
                    "ALTER TABLE jobs ADD CONSTRAINT broken CHECK (FALSE) NOT VALID"
                } else {
                    "ALTER TABLE jobs DROP CONSTRAINT broken"
                };
                let mut conn = crate::db::pg_options(url).unwrap().connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
            }
            (Db::Pg { .. }, DatabaseUrl::Sqlite(_)) => unreachable!("the URL of another database"),
        }
    }
}

/// A connection with an open transaction; it leaves the pool for good.
struct HeldSnapshot(Option<sqlx::pool::PoolConnection<sqlx::Postgres>>);

impl Drop for HeldSnapshot {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            drop(conn.detach());
        }
    }
}
