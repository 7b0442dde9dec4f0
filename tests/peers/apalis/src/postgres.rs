//! apalis-postgres in an empty database.

use std::time::Duration;

use anyhow::Result;
use apalis::prelude::{WorkerBuilder, WorkerError};
use apalis_postgres::{Config, PostgresStorage};
use serde_json::{Value, json};
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::job::{self, Payload, Progress, WARM_UP};
use crate::{Options, Tuned, What};

const STARTS: Tuned =
    Tuned { batch: 10, workers: 1, connections: 16, lock: false, statistics: true };
const LIFECYCLE: Tuned =
    Tuned { batch: 2_000, workers: 4, connections: 16, lock: false, statistics: true };

pub(crate) async fn measure(url: &str, options: &Options) -> Result<(Duration, Value)> {
    let fastest = if options.what == What::Starts { STARTS } else { LIFECYCLE };
    let tuned = options.settings.or(fastest);
    let Tuned { batch, workers, connections, lock, statistics } = tuned;
    let pool = PgPoolOptions::new().max_connections(connections).connect(url).await?;
    PostgresStorage::setup(&pool).await?;
    let took = match options.what {
        What::Starts => starts(&pool, tuned, options).await?,
        What::Lifecycle => lifecycle(&pool, tuned, options.count).await?,
    };
    pool.close().await;
    let settings = json!({
        "batch": batch, "workers": workers, "connections": connections, "lock": lock, "statistics": statistics,
    });
    Ok((took, settings))
}

fn storage(pool: &PgPool, tuned: Tuned) -> PostgresStorage<Payload> {
    let config = Config::default().queue("bench").batch_size(tuned.batch).lock_tasks(tuned.lock);
    PostgresStorage::new(pool).with_config(config)
}

async fn starts(pool: &PgPool, tuned: Tuned, options: &Options) -> Result<Duration> {
    let storage = storage(pool, tuned);
    job::enqueue_all(&storage, "warm", WARM_UP, options.callers).await?;
    let took = job::enqueue_all(&storage, "key", options.count, options.callers).await?;
    let found = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs").fetch_one(pool).await?;
    job::expect(found, WARM_UP + options.count, "jobs")?;
    Ok(took)
}

async fn lifecycle(pool: &PgPool, tuned: Tuned, count: usize) -> Result<Duration> {
    let mut storage = storage(pool, tuned);
    job::fill(&mut storage, count).await?;
    if tuned.statistics {
        sqlx::query("ANALYZE").execute(pool).await?; // as autovacuum would have by then
    }
    let progress = Progress::of(count);
    let workers = (0..tuned.workers).map(|number| {
        let (storage, progress) = (storage.clone(), progress.clone());
        async move {
            WorkerBuilder::new(format!("worker-{number}"))
                .backend(storage)
                .data(progress.clone())
                .build(job::nothing)
                .run_until::<_, WorkerError>(progress.until_all_ran())
                .await
        }
    });
    let took = job::run_all(workers.collect::<Vec<_>>()).await?;
    let done = "SELECT count(*) FROM apalis.jobs WHERE status = 'Done' AND done_at IS NOT NULL";
    job::expect(sqlx::query_scalar(done).fetch_one(pool).await?, count, "jobs that are done")?;
    Ok(took)
}
