//! The model: what a run is, in plain values, and what each act does to it.

use std::fmt::Write as _;

/// One act. Numbers choose among what there is at that moment, so that every sequence can be played.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Command {
    Start {
        tenant: u8,
        inputs: u8,
    },
    Claim {
        worker: u8,
    },
    Plan {
        claim: u8,
    },
    ItemEnd {
        claim: u8,
        item: u8,
        end: u8,
    },
    Finish {
        claim: u8,
        end: u8,
    },
    Retry {
        claim: u8,
    },
    Snooze {
        claim: u8,
    },
    HandBack {
        claim: u8,
    },
    Cancel {
        run: u8,
    },
    ReleaseByHand {
        run: u8,
    },
    Beat {
        worker: u8,
    },
    Pulse {
        worker: u8,
    },
    ShutDown {
        worker: u8,
    },
    /// The process is gone; what it held stays in its hands until the lease ends.
    Kill {
        worker: u8,
    },
    Sweep,
    Advance {
        seconds: u16,
    },
}

pub(crate) const LEASE_S: i64 = 30;
pub(crate) const MAX_ATTEMPTS: i64 = 3;
pub(crate) const PER_TENANT: usize = 2;
pub(crate) const ITEMS: usize = 4;

/// How an item of the model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Open,
    Succeeded,
    Failed,
    Skipped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Ready from that second on.
    Ready { at: i64, waits: bool },
    /// Held until that second.
    Leased { worker: u8, until: i64 },
}

/// One run of the model.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) tenant: u8,
    pub(crate) inputs: u8,
    pub(crate) began: bool,
    pub(crate) attempt: i64,
    pub(crate) fence: i64,
    pub(crate) cancel: bool,
    /// None when it has ended.
    pub(crate) job: Option<Job>,
    pub(crate) outcome: &'static str,
    pub(crate) items: Option<[Item; ITEMS]>,
}

impl Run {
    pub(crate) fn new(tenant: u8, inputs: u8, now: i64) -> Self {
        Self {
            tenant,
            inputs,
            began: false,
            attempt: 0,
            fence: 0,
            cancel: false,
            job: Some(Job::Ready { at: now, waits: false }),
            outcome: "pending",
            items: None,
        }
    }

    pub(crate) const fn is_active(&self) -> bool {
        self.job.is_some()
    }

    pub(crate) fn is_leased(&self) -> bool {
        matches!(self.job, Some(Job::Leased { .. }))
    }

    pub(crate) fn may_be_claimed(&self, now: i64) -> bool {
        matches!(self.job, Some(Job::Ready { at, waits }) if !waits || at <= now)
    }

    pub(crate) fn count(&self, wanted: Item) -> usize {
        self.items.map_or(0, |items| items.iter().filter(|item| **item == wanted).count())
    }

    pub(crate) fn claim(&mut self, worker: u8, now: i64) {
        self.began = true;
        self.attempt += 1;
        self.fence += 1;
        self.job = Some(Job::Leased { worker, until: now + LEASE_S });
    }

    pub(crate) const fn ready(&mut self, at: i64, waits: bool) {
        self.job = Some(Job::Ready { at, waits });
    }

    pub(crate) const fn end(&mut self, outcome: &'static str) {
        self.job = None;
        self.outcome = outcome;
    }

    /// A cancel: at once when nobody works on it, else a wish.
    pub(crate) fn cancel(&mut self) -> &'static str {
        match (self.job, self.cancel) {
            (None, _) => "too late",
            (Some(_), true) => "asked before",
            (Some(Job::Leased { .. }), false) => {
                self.cancel = true;
                "asked"
            }
            (Some(Job::Ready { .. }), false) => {
                self.cancel = true;
                self.end("canceled");
                "ended"
            }
        }
    }

    /// The sweep of a lease that has ended.
    pub(crate) fn sweep(&mut self, now: i64) {
        let Some(Job::Leased { until, .. }) = self.job else { return };
        if until > now {
            return;
        }
        if self.cancel {
            self.end("canceled");
        } else if self.attempt < MAX_ATTEMPTS {
            self.ready(now, false);
        } else if self.count(Item::Succeeded) > 0 {
            self.end("partially_succeeded");
        } else {
            self.end("failed");
        }
    }

    /// What the rows must say, as one line.
    pub(crate) fn line(&self) -> String {
        let status = match (self.job, self.began) {
            (None, _) => "completed",
            (Some(_), true) => "running",
            (Some(_), false) => "queued",
        };
        let mut line = format!(
            "{status} {} attempt {} cancel {}",
            self.outcome,
            self.attempt,
            i32::from(self.cancel)
        );
        match self.job {
            None => line.push_str(" no job"),
            Some(Job::Ready { .. }) => write!(line, " ready fence {}", self.fence).unwrap(),
            Some(Job::Leased { .. }) => write!(line, " leased fence {}", self.fence).unwrap(),
        }
        line
    }

    /// What the counts of an ended run must be.
    pub(crate) fn counts(&self) -> (i64, i64, i64) {
        let count = |wanted| i64::try_from(self.count(wanted)).unwrap();
        (count(Item::Succeeded), count(Item::Failed), count(Item::Skipped))
    }
}
