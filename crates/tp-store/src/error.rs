//! What can go wrong with stored data, named by what the caller can do about it.

use tp_domain::access::Capability;

/// The database did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or did not answer in time: try again later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx_error::Hidden),
    /// The database has no room.
    #[error("the database has no room left")]
    Full(#[source] sqlx_error::Hidden),
    /// A unique rule refused the row; the caller says which value is taken.
    #[error("a row with this key exists")]
    Conflict(#[source] sqlx_error::Hidden),
    /// The driver reports something else: a fault of ours or of the database.
    #[error("the database refused the statement")]
    Driver(#[source] sqlx_error::Hidden),
    /// A row does not hold what its column promises.
    #[error("bad row in {table}, column {column}")]
    BadRow {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// The lease was lost: another worker has the run, and nothing was written.
    #[error("the lease of this run was lost")]
    LeaseLost,
    /// The idempotency key was taken by another request at the same moment; nothing was written.
    #[error("the idempotency key is taken")]
    KeyTaken,
    /// The database holds data of another schema.
    #[error("{0}")]
    Schema(String),
    /// Another process uses the SQLite file.
    #[error(
        "another process uses this SQLite database; stop it, or use PostgreSQL to run several processes"
    )]
    InUse,
    /// The database URL is not one.
    #[error("{0}")]
    BadUrl(&'static str),
    /// The file system refused.
    #[error("cannot use {what}")]
    Io {
        /// What for.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

/// Keeps the driver's type out of our public face (rule I-2).
pub mod sqlx_error {
    /// An error of the driver, readable but not nameable by other crates.
    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    pub struct Hidden(pub(crate) sqlx::Error);
}

impl StoreError {
    /// What the database says of an error, without any value of a row: its code, table and constraint.
    pub fn facts(&self) -> String {
        let (Self::Unavailable(hidden)
        | Self::Full(hidden)
        | Self::Conflict(hidden)
        | Self::Driver(hidden)) = self
        else {
            return String::new();
        };
        match &hidden.0 {
            sqlx::Error::Database(db) => format!(
                "code {} table {} constraint {}",
                db.code().as_deref().unwrap_or("-"),
                db.table().unwrap_or("-"),
                db.constraint().unwrap_or("-"),
            ),
            sqlx::Error::ColumnDecode { index, .. } => format!("column {index}"),
            sqlx::Error::PoolTimedOut => "no connection was free".to_owned(),
            sqlx::Error::Io(error) => format!("connection: {}", error.kind()),
            _ => "driver".to_owned(),
        }
    }

    /// Whether the same may succeed a moment later.
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let hidden = sqlx_error::Hidden;
        match &error {
            E::PoolTimedOut | E::PoolClosed | E::Io(_) | E::WorkerCrashed | E::Tls(_) => {
                Self::Unavailable(hidden(error))
            }
            E::Database(db) if db.is_unique_violation() => Self::Conflict(hidden(error)),
            E::Database(db) => match db.code().as_deref() {
                // 53100: disk full (PostgreSQL). 13: SQLITE_FULL.
                Some("53100" | "13") => Self::Full(hidden(error)),
                // 57P: shutting down or starting; 57014: the statement's time was up; 53300: too many
                // connections; 55P03: a lock was not free in time; 40: deadlock, serialisation; 25P03:
                // idle in a transaction for too long; 08: the connection.
                // 5 and its extended codes: SQLITE_BUSY past the busy timeout.
                Some(
                    "57P01" | "57P02" | "57P03" | "57014" | "53300" | "55P03" | "40P01" | "40001"
                    | "25P03" | "08000" | "08003" | "08006" | "5" | "261" | "517",
                ) => Self::Unavailable(hidden(error)),
                _ => Self::Driver(hidden(error)),
            },
            _ => Self::Driver(hidden(error)),
        }
    }
}

/// Why a door stays shut.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such thing for this person: also said of things that are somebody else's.
    #[error("not found")]
    NotFound,
    /// A member without the capability.
    #[error("the capability {0} is missing")]
    Forbidden(Capability),
    /// The act weighs much and the sign-in is not fresh: the person must show again who they are.
    #[error("the sign-in is not fresh")]
    ConfirmNeeded,
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}
