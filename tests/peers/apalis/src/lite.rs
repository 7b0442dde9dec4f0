//! apalis-sqlite in a real file, where every commit reaches the disk.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use apalis::prelude::{WorkerBuilder, WorkerError};
use apalis_sqlite::{Config, SqliteStorage};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use crate::job::{self, Payload, Progress, WARM_UP};
use crate::{Options, Tuned, What};

/// The value of `PRAGMA synchronous` that stands for FULL.
const FULL: i64 = 2;

const STARTS: Tuned =
    Tuned { batch: 10, workers: 1, connections: 1, lock: false, statistics: true };
const LIFECYCLE: Tuned =
    Tuned { batch: 2_000, workers: 1, connections: 1, lock: false, statistics: true };

pub(crate) async fn measure(file: &Path, options: &Options) -> Result<(Duration, Value)> {
    ensure!(!file.exists(), "the file is there already");
    set_up(file).await?;
    let is_starts = options.what == What::Starts;
    let tuned = options.settings.or(if is_starts { STARTS } else { LIFECYCLE });
    if !is_starts {
        prepare(file, tuned, options.count).await?;
    }
    let pool = open(file, tuned.connections).await?;
    let took = if is_starts {
        starts(&pool, tuned, options).await?
    } else {
        lifecycle(&pool, tuned, options.count).await?
    };
    let synchronous = synchronous(&mut *pool.acquire().await?).await?;
    pool.close().await;
    let Tuned { batch, workers, connections, lock, statistics } = tuned;
    let settings = json!({
        "synchronous": synchronous, "batch": batch, "workers": workers,
        "connections": connections, "lock": lock, "statistics": statistics,
    });
    Ok((took, settings))
}

fn at(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).create_if_missing(true)
}

/// Tables by apalis' own set-up, which also turns `synchronous` off: on a connection of its own.
async fn set_up(file: &Path) -> Result<()> {
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(at(file)).await?;
    SqliteStorage::setup(&pool).await?;
    pool.close().await;
    Ok(())
}

/// The connections that work: all that apalis' set-up chooses, but FULL; none is handed out without.
async fn open(file: &Path, connections: u32) -> Result<SqlitePool> {
    let options = at(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(30))
        .pragma("temp_store", "MEMORY")
        .pragma("cache_size", "64000")
        .pragma("journal_size_limit", "67108864");
    // The pool only says that it had to wait: the first one is asked before.
    let said = synchronous(&mut options.connect().await?).await?;
    ensure!(said == FULL, "PRAGMA synchronous says {said}, not FULL");
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .after_connect(|connection, _| {
            Box::pin(async move {
                match synchronous(connection).await? {
                    FULL => Ok(()),
                    other => Err(sqlx::Error::Configuration(
                        format!("synchronous is {other}, not FULL").into(),
                    )),
                }
            })
        })
        .connect_with(options)
        .await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pool).await?;
    ensure!(journal == "wal", "the journal mode is {journal}");
    Ok(pool)
}

async fn synchronous(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA synchronous").fetch_one(connection).await
}

fn storage(pool: &SqlitePool, tuned: Tuned) -> SqliteStorage<Payload> {
    let config = Config::default().queue("bench").batch_size(tuned.batch).lock_tasks(tuned.lock);
    SqliteStorage::new(pool).with_config(config)
}

async fn starts(pool: &SqlitePool, tuned: Tuned, options: &Options) -> Result<Duration> {
    let storage = storage(pool, tuned);
    job::enqueue_all(&storage, "warm", WARM_UP, options.callers).await?;
    let took = job::enqueue_all(&storage, "key", options.count, options.callers).await?;
    let found = sqlx::query_scalar("SELECT count(*) FROM Jobs").fetch_one(pool).await?;
    job::expect(found, WARM_UP + options.count, "jobs")?;
    Ok(took)
}

/// Fills the queue. With statistics, those of a file in use: each worker has done jobs before, else
/// SQLite takes a worker's jobs for few and walks over all of them for each that is answered.
async fn prepare(file: &Path, tuned: Tuned, count: usize) -> Result<()> {
    let pool = open(file, 1).await?;
    let mut storage = storage(&pool, tuned);
    if tuned.statistics {
        for number in 0..tuned.workers {
            job::fill(&mut storage, WARM_UP).await?;
            work(&pool, tuned, WARM_UP, number..number + 1).await?;
        }
        // A name is free again when its worker was not seen for a while.
        sqlx::query("UPDATE Workers SET last_seen = last_seen - 3600").execute(&pool).await?;
    }
    job::fill(&mut storage, count).await?;
    if tuned.statistics {
        sqlx::query("ANALYZE").execute(&pool).await?;
    }
    pool.close().await; // statistics are read when a connection is opened
    Ok(())
}

async fn lifecycle(pool: &SqlitePool, tuned: Tuned, count: usize) -> Result<Duration> {
    let took = work(pool, tuned, count, 0..tuned.workers).await?;
    let before = if tuned.statistics { WARM_UP * tuned.workers } else { 0 };
    let done = "SELECT count(*) FROM Jobs WHERE status = 'Done' AND done_at IS NOT NULL";
    let found = sqlx::query_scalar(done).fetch_one(pool).await?;
    job::expect(found, before + count, "jobs that are done")?;
    Ok(took)
}

/// The clock starts; these workers do so many jobs.
async fn work(
    pool: &SqlitePool,
    tuned: Tuned,
    count: usize,
    numbers: Range<usize>,
) -> Result<Duration> {
    let storage = storage(pool, tuned);
    let progress = Progress::of(count);
    let workers = numbers.map(|number| {
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
    job::run_all(workers.collect::<Vec<_>>()).await
}
