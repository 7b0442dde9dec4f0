//! PostgreSQL: a transaction that no cancelled future can leave open in the pool.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _, Postgres, Row as _, pool::PoolConnection};

use super::{Conn, OpFuture, Reach, TimeSource, Tx};
use crate::error::StoreError;

use std::time::Duration;
use tp_domain::time::Timestamp;

/// Opens the application's pool. Every connection takes on the role `tenantpilot_app` where it
/// exists: that role owns no table, so row security holds for it.
pub(crate) async fn open(
    options: PgConnectOptions,
    max_connections: u32,
) -> Result<PgPool, StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        // TRUST F8: a starved pool answers 503 within five seconds.
        .acquire_timeout(Duration::from_secs(5))
        .after_connect(|conn, _| {
            Box::pin(async move {
                conn.execute(
                    "SET statement_timeout = '30s'; SET lock_timeout = '5s'; \
                     SET idle_in_transaction_session_timeout = '60s'",
                )
                .await?;
                let member: bool = sqlx::query_scalar(
                    "SELECT COALESCE((SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles \
                     WHERE rolname = 'tenantpilot_app'), FALSE)",
                )
                .fetch_one(&mut *conn)
                .await?;
                if member {
                    conn.execute("SET ROLE tenantpilot_app").await?;
                }
                Ok(())
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Holds a pooled connection from before BEGIN until COMMIT has answered.
///
/// sqlx 0.9.0 may give a connection back to its pool inside an open transaction when `begin` is
/// cancelled (its issues 4385 and 4393). Dropped unfinished, this guard rolls back in a task of its
/// own before the connection can be used again.
struct PgTx(Option<Tx>);

impl Drop for PgTx {
    fn drop(&mut self) {
        if let Some(mut tx) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if tx.raw("ROLLBACK").await.is_err()
                    && let Conn::Pg(conn) = tx.conn
                {
                    // Unknown state: the connection must not be used again.
                    drop(conn.detach());
                }
            });
        }
    }
}

async fn begin(
    conn: PoolConnection<Postgres>,
    reach: &Reach,
    time: &TimeSource,
) -> Result<PgTx, StoreError> {
    let mut guard = PgTx(Some(Tx { conn: Conn::Pg(conn), now: Timestamp::from_micros(0) }));
    if let Some(Tx { conn: Conn::Pg(conn), now }) = &mut guard.0 {
        // The reach is made of UUIDs or `*`: nothing of it can end the literal. One round trip for all.
        let text = format!(
            "BEGIN; SET LOCAL app.reach = '{}'; \
             SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            reach.setting()
        );
        let row = sqlx::raw_sql(AssertSqlSafe(text)).fetch_one(&mut **conn).await?;
        *now = match time {
            TimeSource::Clock(clock) => clock.now(),
            TimeSource::Database(_) => Timestamp::from_micros(row.try_get(0)?),
        };
    }
    Ok(guard)
}

/// Runs `op` in one transaction and commits it.
pub(super) async fn transaction<R, F>(
    pool: &PgPool,
    reach: Reach,
    time: &TimeSource,
    op: F,
) -> Result<R, StoreError>
where
    R: Send,
    F: for<'t> FnOnce(&'t mut Tx) -> OpFuture<'t, R> + Send,
{
    let mut guard = begin(pool.acquire().await?, &reach, time).await?;
    let Some(tx) = guard.0.as_mut() else { return Err(StoreError::Closed) };
    let answer = op(tx).await?;
    tx.raw("COMMIT").await?;
    guard.0 = None;
    Ok(answer)
}
