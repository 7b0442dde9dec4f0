//! Waking workers when there is work: in this process at once, in others by LISTEN/NOTIFY.
//!
//! A lost wake-up costs one poll interval and nothing else: the jobs table is the truth.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::{Notify, watch};

const CHANNEL: &str = "tenantpilot_jobs";

/// At most one NOTIFY per this time: NOTIFY takes a lock over the whole server's commits, so it is
/// never part of a start's own transaction (ENGINE §5.3).
const NOTIFY_EVERY: Duration = Duration::from_millis(10);

#[derive(Clone, Debug)]
/// Tells workers that there may be work. Cheap to clone.
pub struct Wake {
    here: Arc<Notify>,
    elsewhere: Arc<Notify>,
    closed: watch::Sender<bool>,
}

impl Wake {
    pub(crate) fn new() -> Self {
        Self {
            here: Arc::new(Notify::new()),
            elsewhere: Arc::new(Notify::new()),
            closed: watch::Sender::new(false),
        }
    }

    /// Says that there may be work, here and in other processes.
    pub fn ring(&self) {
        self.here.notify_one();
        self.elsewhere.notify_one();
    }

    /// Waits until somebody rings.
    pub async fn heard(&self) {
        self.here.notified().await;
    }

    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Starts the two tasks that carry rings between processes. They end when the store closes.
    pub(crate) fn connect(&self, pool: PgPool) {
        let (elsewhere, mut closed) = (Arc::clone(&self.elsewhere), self.closed.subscribe());
        let speaker = pool.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = closed.wait_for(|closed| *closed) => return,
                    () = elsewhere.notified() => {}
                }
                // A failure costs the others one poll interval.
                let _ =
                    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&speaker).await;
                tokio::time::sleep(NOTIFY_EVERY).await;
            }
        });
        let (here, mut closed) = (Arc::clone(&self.here), self.closed.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => {}
                () = listen(pool, here) => {}
            }
        });
    }
}

/// Listens for ever; a broken connection is made again, and counts as a ring since one may be lost.
async fn listen(pool: PgPool, here: Arc<Notify>) {
    loop {
        if let Ok(mut listener) = PgListener::connect_with(&pool).await
            && listener.listen(CHANNEL).await.is_ok()
        {
            here.notify_one();
            while listener.recv().await.is_ok() {
                here.notify_one();
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
