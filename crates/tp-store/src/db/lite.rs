//! SQLite: one writer that puts many operations into one commit, and a pool of readers.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};

use super::{Conn, OpFuture, TimeSource, Tx};
use crate::breaks::break_point;
use crate::error::StoreError;

/// How many operations one commit carries at most: a commit costs one fsync, however many it holds.
const MAX_PER_COMMIT: usize = 128;

type AnyBox = Box<dyn Any + Send>;
type AnyOp = Box<dyn for<'t> FnOnce(&'t mut Tx) -> OpFuture<'t, AnyBox> + Send>;

struct Request {
    op: AnyOp,
    answer: oneshot::Sender<Result<AnyBox, StoreError>>,
}

/// The way to the one writer. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LiteWriter {
    requests: mpsc::Sender<Request>,
    /// Held while the database is open: a second process is refused (ruling 32).
    _lock: Arc<std::fs::File>,
}

pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL keeps an answered start through a power cut (ENGINE §4.2 item 18).
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging()
}

/// Refuses a second process on the same file.
pub(crate) fn lock(path: &Path) -> Result<std::fs::File, StoreError> {
    let io = |source| StoreError::Io { what: "the database's lock file", source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(Path::new(&name))
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Opens the file for this process: migrations are run by the caller on the writer's connection.
pub(crate) async fn open(
    path: &Path,
    readers: u32,
    time: TimeSource,
) -> Result<(SqlitePool, LiteWriter), StoreError> {
    let lock = Arc::new(lock(path)?);
    let writer = options(path).connect().await?;
    let read = SqlitePoolOptions::new()
        .max_connections(readers)
        .acquire_timeout(Duration::from_secs(5))
        .connect_with(options(path).read_only(false).create_if_missing(false))
        .await?;
    let (requests, inbox) = mpsc::channel(1024);
    let tx = Tx { conn: Conn::LiteOwned(Box::new(writer)), now: time.local() };
    tokio::spawn(write_loop(tx, time, inbox));
    Ok((read, LiteWriter { requests, _lock: lock }))
}

impl LiteWriter {
    /// Hands an operation over and waits for the commit that carries it.
    pub(super) async fn run<R, F>(&self, op: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> OpFuture<'t, R> + Send + 'static,
    {
        let op: AnyOp = Box::new(move |tx| {
            let running = op(tx);
            Box::pin(async move { running.await.map(|answer| Box::new(answer) as AnyBox) })
        });
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { op, answer }).await.map_err(|_| StoreError::Closed)?;
        let boxed = answered.await.map_err(|_| StoreError::Closed)??;
        boxed.downcast::<R>().map(|answer| *answer).map_err(|_| StoreError::Closed)
    }

    /// Waits until everything handed over before is committed.
    pub(super) async fn close(&self) {
        // An operation that does nothing is answered after all that stand before it.
        let _ = self.run(|_| Box::pin(async { Ok(()) })).await;
    }
}

async fn write_loop(mut tx: Tx, time: TimeSource, mut inbox: mpsc::Receiver<Request>) {
    while let Some(first) = inbox.recv().await {
        let mut batch = vec![first];
        while batch.len() < MAX_PER_COMMIT
            && let Ok(next) = inbox.try_recv()
        {
            batch.push(next);
        }
        tx.now = time.local();
        commit_batch(&mut tx, batch).await;
    }
    if let Conn::LiteOwned(conn) = tx.conn {
        let _ = conn.close().await;
    }
}

/// Runs a batch in one transaction. Nobody is answered before the commit has been.
async fn commit_batch(tx: &mut Tx, batch: Vec<Request>) {
    let mut answers = Vec::with_capacity(batch.len());
    #[cfg(feature = "testing")]
    let ends = crate::testing::ends_written();
    let mut broken = tx.raw("BEGIN IMMEDIATE").await.err();
    for Request { op, answer } in batch {
        if broken.is_some() {
            answers.push((answer, Err(StoreError::Closed)));
            continue;
        }
        if let Err(error) = tx.raw("SAVEPOINT unit").await {
            broken = Some(error);
            answers.push((answer, Err(StoreError::Closed)));
            continue;
        }
        // A fault in one operation must not take the writer, and so the whole product, with it.
        let result =
            AssertUnwindSafe(op(tx)).catch_unwind().await.unwrap_or(Err(StoreError::Closed));
        let end = if result.is_ok() { "RELEASE unit" } else { "ROLLBACK TO unit; RELEASE unit" };
        if let Err(error) = tx.raw(end).await {
            broken = Some(error);
        }
        answers.push((answer, result));
    }
    break_point!(GroupEndWritten, crate::testing::ends_written() > ends + 1);
    let committed = match broken {
        None => tx.raw("COMMIT").await,
        Some(error) => Err(error),
    };
    if let Err(error) = committed {
        // After some errors SQLite has rolled back by itself; then this says so and changes nothing.
        let _ = tx.raw("ROLLBACK").await;
        tracing::error!(error = %error, "a SQLite commit failed; its operations were not kept");
        let mut first = Some(error);
        for (answer, _) in answers {
            let _ = answer.send(Err(first.take().unwrap_or(StoreError::Closed)));
        }
        return;
    }
    break_point!(GroupEndCommitted, crate::testing::ends_written() > ends + 1);
    for (answer, result) in answers {
        let _ = answer.send(result);
    }
}
