//! The two databases behind one face: open, read, write (docs/decisions/0003-database-facade.md).
//!
//! A write is handed over as an operation and answered after its commit (ruling 8). On SQLite one
//! writer task runs many operations per commit, each in a savepoint of its own. On PostgreSQL each
//! operation is a transaction, run in a task of its own, so that a caller who goes away cuts nothing.

mod lite;
mod pg;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{FromRow, Postgres, Sqlite, pool::PoolConnection};
use tp_domain::time::{Clock, Timestamp};
use uuid::Uuid;

use crate::error::StoreError;
use crate::stmt::Stmt;

pub(crate) use lite::LiteWriter;

/// Which rows a transaction may see on PostgreSQL: the second wall behind the doors.
#[derive(Clone, Debug)]
pub(crate) enum Reach {
    /// Rows of one scope.
    Scope(Uuid),
    /// Rows of these scopes, as the setting says it: units of several scopes in one statement.
    Scopes(String),
    /// Rows of every scope: the engine, the hall and the console, whose statements name their own.
    All,
}

impl Reach {
    /// Rows of these scopes.
    pub(crate) fn scopes(scopes: impl Iterator<Item = Uuid>) -> Self {
        let mut scopes: Vec<Uuid> = scopes.collect();
        scopes.sort_unstable();
        scopes.dedup();
        let texts: Vec<String> = scopes.iter().map(Uuid::to_string).collect();
        Self::Scopes(texts.join(","))
    }

    pub(crate) fn setting(&self) -> String {
        match self {
            Self::Scope(scope) => scope.to_string(),
            Self::Scopes(scopes) => scopes.clone(),
            Self::All => "*".to_owned(),
        }
    }
}

/// Where the time of a transaction comes from (ruling 13).
#[derive(Clone, Debug)]
pub enum TimeSource {
    /// The given clock, on both databases: for tests, and for SQLite.
    Clock(Arc<dyn Clock>),
    /// `clock_timestamp()` on PostgreSQL; the given clock on SQLite.
    Database(Arc<dyn Clock>),
}

impl TimeSource {
    pub(crate) fn local(&self) -> Timestamp {
        match self {
            Self::Clock(clock) | Self::Database(clock) => clock.now(),
        }
    }

    /// Time that has passed, by this process's own measure.
    pub(crate) fn steady(&self) -> std::time::Duration {
        match self {
            Self::Clock(clock) | Self::Database(clock) => clock.steady(),
        }
    }
}

/// Where a database is.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(std::path::PathBuf),
    /// A PostgreSQL server. Holds a password: not shown by `Debug`.
    Postgres(secrecy::SecretString),
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        })
    }
}

impl DatabaseUrl {
    /// Reads `sqlite:PATH`, `sqlite://PATH` or `postgres://…`.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if text.parse::<sqlx::postgres::PgConnectOptions>().is_err() {
                return Err(StoreError::BadUrl(
                    "the database URL cannot be read; write postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE",
                ));
            }
            return Ok(Self::Postgres(text.to_owned().into()));
        }
        let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
        match path {
            Some(path) if !path.is_empty() && !path.contains('?') && path != ":memory:" => {
                Ok(Self::Sqlite(path.into()))
            }
            _ => Err(StoreError::BadUrl(
                "the database URL must be sqlite:PATH of a file or postgres://USER@HOST/DATABASE",
            )),
        }
    }
}

/// Which SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// The database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    Lite { read: SqlitePool, writer: LiteWriter, time: TimeSource },
    Pg { pool: PgPool, time: TimeSource },
}

/// A connection inside a transaction, and the time of that transaction.
pub(crate) struct Tx {
    conn: Conn,
    now: Timestamp,
}

enum Conn {
    LiteOwned(Box<sqlx::SqliteConnection>),
    Lite(PoolConnection<Sqlite>),
    Pg(PoolConnection<Postgres>),
}

/// A row type that both databases can fill.
pub(crate) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{}

/// An operation inside a transaction.
pub(crate) type OpFuture<'t, R> = BoxFuture<'t, Result<R, StoreError>>;

impl Tx {
    /// The time of this transaction, by the store's clock.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self.conn {
            Conn::LiteOwned(_) | Conn::Lite(_) => Dialect::Sqlite,
            Conn::Pg(_) => Dialect::Postgres,
        }
    }

    /// Runs the statement; says how many rows it changed.
    pub(crate) async fn execute(&mut self, stmt: Stmt) -> Result<u64, StoreError> {
        Ok(match &mut self.conn {
            Conn::LiteOwned(conn) => stmt.lite().execute(&mut **conn).await?.rows_affected(),
            Conn::Lite(conn) => stmt.lite().execute(&mut **conn).await?.rows_affected(),
            Conn::Pg(conn) => stmt.pg().execute(&mut **conn).await?.rows_affected(),
        })
    }

    /// All rows.
    pub(crate) async fn all<T: Row>(&mut self, stmt: Stmt) -> Result<Vec<T>, StoreError> {
        match &mut self.conn {
            Conn::LiteOwned(conn) => rows(&stmt.lite().fetch_all(&mut **conn).await?),
            Conn::Lite(conn) => rows(&stmt.lite().fetch_all(&mut **conn).await?),
            Conn::Pg(conn) => rows(&stmt.pg().fetch_all(&mut **conn).await?),
        }
    }

    /// The first row, if there is one.
    pub(crate) async fn optional<T: Row>(&mut self, stmt: Stmt) -> Result<Option<T>, StoreError> {
        match &mut self.conn {
            Conn::LiteOwned(conn) => row(stmt.lite().fetch_optional(&mut **conn).await?.as_ref()),
            Conn::Lite(conn) => row(stmt.lite().fetch_optional(&mut **conn).await?.as_ref()),
            Conn::Pg(conn) => row(stmt.pg().fetch_optional(&mut **conn).await?.as_ref()),
        }
    }

    /// The only row.
    pub(crate) async fn one<T: Row>(&mut self, stmt: Stmt) -> Result<T, StoreError> {
        self.optional(stmt).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    /// Runs fixed text without values: savepoints.
    pub(crate) async fn raw(&mut self, sql: &'static str) -> Result<(), StoreError> {
        match &mut self.conn {
            Conn::LiteOwned(conn) => sqlx::raw_sql(sql).execute(&mut **conn).await.map(drop)?,
            Conn::Lite(conn) => sqlx::raw_sql(sql).execute(&mut **conn).await.map(drop)?,
            Conn::Pg(conn) => sqlx::raw_sql(sql).execute(&mut **conn).await.map(drop)?,
        }
        Ok(())
    }
}

fn rows<R: sqlx::Row, T: for<'r> FromRow<'r, R>>(rows: &[R]) -> Result<Vec<T>, StoreError> {
    Ok(rows.iter().map(T::from_row).collect::<Result<Vec<T>, sqlx::Error>>()?)
}

fn row<R: sqlx::Row, T: for<'r> FromRow<'r, R>>(row: Option<&R>) -> Result<Option<T>, StoreError> {
    Ok(row.map(T::from_row).transpose()?)
}

impl Db {
    pub(crate) const fn dialect(&self) -> Dialect {
        match self {
            Self::Lite { .. } => Dialect::Sqlite,
            Self::Pg { .. } => Dialect::Postgres,
        }
    }

    /// Runs `op` in a transaction that is committed before this returns `Ok`.
    pub(crate) async fn write<R, F>(&self, reach: Reach, op: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> OpFuture<'t, R> + Send + 'static,
    {
        match self {
            Self::Lite { writer, .. } => writer.run(op).await,
            Self::Pg { pool, time } => {
                let (pool, time) = (pool.clone(), time.clone());
                // A task of its own: a caller who goes away does not cut the transaction in half.
                tokio::spawn(async move { pg::transaction(&pool, reach, &time, op).await })
                    .await
                    .map_err(|_| StoreError::Closed)?
            }
        }
    }

    /// Runs `op` for reading. On PostgreSQL one transaction, on SQLite statement by statement.
    pub(crate) async fn read<R, F>(&self, reach: Reach, op: F) -> Result<R, StoreError>
    where
        R: Send,
        F: for<'t> FnOnce(&'t mut Tx) -> OpFuture<'t, R> + Send,
    {
        match self {
            Self::Lite { read, time, .. } => {
                let conn = read.acquire().await?;
                let mut tx = Tx { conn: Conn::Lite(conn), now: time.local() };
                op(&mut tx).await
            }
            Self::Pg { pool, time } => pg::transaction(pool, reach, time, op).await,
        }
    }

    /// Runs one statement that is its own transaction, on PostgreSQL: one round trip. It sets its own
    /// reach. On SQLite there is nothing to gain.
    pub(crate) async fn single_all<T: Row + 'static>(
        &self,
        stmt: Stmt,
    ) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Lite { .. } => Err(StoreError::Closed),
            Self::Pg { pool, .. } => {
                let mut conn = pool.acquire().await?;
                rows(&stmt.pg().fetch_all(&mut *conn).await?)
            }
        }
    }

    /// The time that transactions are told; none where it is the database's own.
    pub(crate) fn told_time(&self) -> Option<Timestamp> {
        let (Self::Lite { time, .. } | Self::Pg { time, .. }) = self;
        match (time, self.dialect()) {
            (TimeSource::Database(_), Dialect::Postgres) => None,
            (TimeSource::Clock(clock) | TimeSource::Database(clock), _) => Some(clock.now()),
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Lite { read, writer, .. } => {
                writer.close().await;
                read.close().await;
            }
            Self::Pg { pool, .. } => pool.close().await,
        }
    }
}

pub(crate) use lite::{lock as lite_lock, options as lite_options};

/// Reads the connection options of a PostgreSQL URL.
pub(crate) fn pg_options(
    url: &secrecy::SecretString,
) -> Result<sqlx::postgres::PgConnectOptions, StoreError> {
    use secrecy::ExposeSecret as _;
    use sqlx::ConnectOptions as _;
    Ok(url
        .expose_secret()
        .parse::<sqlx::postgres::PgConnectOptions>()?
        .application_name("tenantpilot")
        .disable_statement_logging())
}

impl Db {
    pub(crate) async fn open_lite(
        path: &std::path::Path,
        readers: u32,
        time: TimeSource,
    ) -> Result<Self, StoreError> {
        let (read, writer) = lite::open(path, readers, time.clone()).await?;
        Ok(Self::Lite { read, writer, time })
    }

    pub(crate) async fn open_pg(
        url: &secrecy::SecretString,
        connections: u32,
        time: TimeSource,
    ) -> Result<Self, StoreError> {
        let pool = pg::open(pg_options(url)?, connections).await?;
        Ok(Self::Pg { pool, time })
    }
}
