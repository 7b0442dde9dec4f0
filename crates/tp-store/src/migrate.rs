//! The schema's history: embedded in the binary, one folder per database, the same file names.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection as _, SqlSafeStr as _};

use crate::db::Dialect;
use crate::error::StoreError;

macro_rules! migrations {
    ($folder:literal) => {
        &[
            (1, "first", include_str!(concat!("../migrations/", $folder, "/0001_first.sql"))),
            (2, "engine", include_str!(concat!("../migrations/", $folder, "/0002_engine.sql"))),
            (3, "lineage", include_str!(concat!("../migrations/", $folder, "/0003_lineage.sql"))),
            (4, "leases", include_str!(concat!("../migrations/", $folder, "/0004_leases.sql"))),
            (
                5,
                "payload_keys",
                include_str!(concat!("../migrations/", $folder, "/0005_payload_keys.sql")),
            ),
            (
                6,
                "connections",
                include_str!(concat!("../migrations/", $folder, "/0006_connections.sql")),
            ),
            (7, "restores", include_str!(concat!("../migrations/", $folder, "/0007_restores.sql"))),
            (8, "backups", include_str!(concat!("../migrations/", $folder, "/0008_backups.sql"))),
            (
                9,
                "backup_care",
                include_str!(concat!("../migrations/", $folder, "/0009_backup_care.sql")),
            ),
            (
                11,
                "restore_previews",
                include_str!(concat!("../migrations/", $folder, "/0011_restore_previews.sql")),
            ),
            (13, "sign_in", include_str!(concat!("../migrations/", $folder, "/0013_sign_in.sql"))),
            (14, "access", include_str!(concat!("../migrations/", $folder, "/0014_access.sql"))),
            (
                15,
                "restore_mappings",
                include_str!(concat!("../migrations/", $folder, "/0015_restore_mappings.sql")),
            ),
            (
                18,
                "second_factor",
                include_str!(concat!("../migrations/", $folder, "/0018_second_factor.sql")),
            ),
            (
                19,
                "artefacts",
                include_str!(concat!("../migrations/", $folder, "/0019_artefacts.sql")),
            ),
        ]
    };
}

const SQLITE: &[(i64, &str, &str)] = migrations!("sqlite");
const POSTGRES: &[(i64, &str, &str)] = migrations!("postgres");

pub(crate) fn migrator(dialect: Dialect) -> Migrator {
    let list = match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    };
    let migrations = list
        .iter()
        .map(|(version, name, sql)| {
            Migration::new(
                *version,
                Cow::Borrowed(*name),
                MigrationType::Simple,
                sql.into_sql_str(),
                false,
            )
        })
        .collect();
    Migrator { migrations: Cow::Owned(migrations), ..Migrator::DEFAULT }
}

/// How far the database's schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaState {
    /// Migrations that this program brings.
    pub known: usize,
    /// Migrations of those that the database lacks.
    pub pending: usize,
}

fn schema_error(error: &sqlx::migrate::MigrateError) -> StoreError {
    use sqlx::migrate::MigrateError as E;
    StoreError::Schema(match error {
        E::VersionMissing(version) => format!(
            "the database has migration {version}, which this program does not know; \
             it was used by a newer version: run that one"
        ),
        E::VersionMismatch(version) => format!(
            "migration {version} in the database is not the one of this program; \
             use a database that TenantPilot made"
        ),
        E::Dirty(version) => {
            format!("migration {version} was cut off; restore the database from a backup")
        }
        _ => "the schema of the database could not be brought up to date; see the log".to_owned(),
    })
}

/// Brings the schema up to date. Runs as the role of the URL, not as the application role.
pub(crate) async fn run<O>(dialect: Dialect, options: &O) -> Result<SchemaState, StoreError>
where
    O: sqlx::ConnectOptions,
    O::Connection: sqlx::migrate::Migrate + Sized,
{
    let mut conn = options.connect().await?;
    let before = pending(dialect, &mut conn).await?;
    let migrator = migrator(dialect);
    if let Err(error) = migrator.run_direct(None, &mut conn, false).await {
        tracing::error!(error = %error, "migration failed");
        return Err(schema_error(&error));
    }
    conn.close().await?;
    Ok(SchemaState { known: migrator.migrations.len(), pending: before })
}

/// Says how far the schema is, without changing it.
pub(crate) async fn check<O>(dialect: Dialect, options: &O) -> Result<SchemaState, StoreError>
where
    O: sqlx::ConnectOptions,
    O::Connection: sqlx::migrate::Migrate + Sized,
{
    let mut conn = options.connect().await?;
    let pending = pending(dialect, &mut conn).await?;
    conn.close().await?;
    Ok(SchemaState { known: migrator(dialect).migrations.len(), pending })
}

async fn pending<C: sqlx::migrate::Migrate>(
    dialect: Dialect,
    conn: &mut C,
) -> Result<usize, StoreError> {
    let migrator = migrator(dialect);
    // A database without the table of migrations has had none.
    let applied = conn.list_applied_migrations(&migrator.table_name).await.unwrap_or_default();
    Ok(migrator
        .migrations
        .iter()
        .filter(|migration| applied.iter().all(|done| done.version != migration.version))
        .count())
}
