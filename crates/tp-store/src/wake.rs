//! Waking workers when there is work: in this process at once, in others by LISTEN/NOTIFY.
//!
//! A lost wake-up costs one poll interval and nothing else: the jobs table is the truth.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPool};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::queue::{Hint, Queue};

const CHANNEL: &str = "tenantpilot_jobs";

/// At most one NOTIFY per this time: NOTIFY takes a lock over the whole server's commits, so it is
/// never part of a start's own transaction (ENGINE §5.3).
const NOTIFY_EVERY: Duration = Duration::from_millis(10);

/// How many scopes one NOTIFY names; with more it says "look for yourselves". The limit of
/// PostgreSQL is 8,000 bytes.
const MOST_NAMED: usize = 80;

/// Tells workers that there may be work. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Wake {
    here: Arc<Notify>,
    elsewhere: Arc<Elsewhere>,
    queue: Queue,
    closed: watch::Sender<bool>,
}

/// What other processes have not been told yet.
#[derive(Debug)]
struct Elsewhere {
    /// Names this process, so that it does not listen to itself.
    me: Uuid,
    told: Mutex<HashSet<Hint>>,
    notify: Notify,
    listens: bool,
}

/// One message: who speaks, and which scopes have work (none: any).
fn message(me: Uuid, hints: &HashSet<Hint>) -> String {
    let mut text = me.simple().to_string();
    if hints.len() <= MOST_NAMED {
        for hint in hints {
            let Hint { priority, scope, workspace } = hint;
            text.push_str(&format!(" {priority}:{}:{}", scope.simple(), workspace.simple()));
        }
    }
    text
}

/// Reads a message of another process: its hints, or none for "any". A message of our own, or of
/// another form, is `None`.
fn read(me: Uuid, text: &str) -> Option<Vec<Hint>> {
    let mut words = text.split(' ');
    let from = Uuid::try_parse(words.next()?).ok()?;
    if from == me {
        return None;
    }
    words
        .map(|word| {
            let mut parts = word.split(':');
            Some(Hint {
                priority: parts.next()?.parse().ok()?,
                scope: Uuid::try_parse(parts.next()?).ok()?,
                workspace: Uuid::try_parse(parts.next()?).ok()?,
            })
        })
        .collect()
}

impl Wake {
    pub(crate) fn new(me: Uuid, queue: Queue, listens: bool) -> Self {
        let notify = Notify::new();
        let told = Mutex::default();
        Self {
            here: Arc::new(Notify::new()),
            elsewhere: Arc::new(Elsewhere { me, told, notify, listens }),
            queue,
            closed: watch::Sender::new(false),
        }
    }

    /// Says that there is work in that scope, here and in other processes.
    pub(crate) fn ring(&self, hint: Hint) {
        self.queue.add(hint);
        self.here.notify_one();
        if self.elsewhere.listens {
            let told = &self.elsewhere.told;
            told.lock().unwrap_or_else(PoisonError::into_inner).insert(hint);
            self.elsewhere.notify.notify_one();
        }
    }

    /// Lets a waiting worker of this process look again: a limit may have kept work back until now.
    pub fn nudge(&self) {
        self.here.notify_one();
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
                    () = elsewhere.notify.notified() => {}
                }
                let hints = {
                    let mut told = elsewhere.told.lock().unwrap_or_else(PoisonError::into_inner);
                    std::mem::take(&mut *told)
                };
                let text = message(elsewhere.me, &hints);
                // A failure costs the others one poll interval.
                let query = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(text);
                let _ = query.execute(&speaker).await;
                tokio::time::sleep(NOTIFY_EVERY).await;
            }
        });
        let (wake, mut closed) = (self.clone(), self.closed.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => {}
                () = wake.listen(pool) => {}
            }
        });
    }

    /// Listens for ever; a broken connection is made again, and counts as a ring since one may be lost.
    async fn listen(&self, pool: PgPool) {
        loop {
            if let Ok(mut listener) = PgListener::connect_with(&pool).await
                && listener.listen(CHANNEL).await.is_ok()
            {
                self.here.notify_one();
                while let Ok(message) = listener.recv().await {
                    if let Some(hints) = read(self.elsewhere.me, message.payload()) {
                        hints.into_iter().for_each(|hint| self.queue.add(hint));
                        self.here.notify_one();
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_what_it_writes_and_nothing_else() {
        let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let hint = |n| Hint { priority: 30, scope: Uuid::from_u128(n), workspace: other };
        let few: HashSet<Hint> = (0..3).map(hint).collect();
        let heard = read(other, &message(me, &few)).unwrap();
        assert_eq!(heard.into_iter().collect::<HashSet<_>>(), few);
        assert_eq!(read(me, &message(me, &few)), None, "not to oneself");
        let many: HashSet<Hint> = (0..500).map(hint).collect();
        let text = message(me, &many);
        assert!(text.len() < 8000);
        assert_eq!(read(other, &text), Some(Vec::new()), "too many to name: any");
        assert!(message(me, &(0..80).map(hint).collect()).len() < 8000);
        for bad in ["", "x", "0 1", &format!("{other} 1:2:3")] {
            assert_eq!(read(me, bad), None, "{bad:?}");
        }
    }
}
