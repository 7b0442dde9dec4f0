//! What a run has captured so far, for its words and its end.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tp_domain::completeness::Completeness;
use tp_domain::policy::PolicyType;
use tp_domain::reason::{ReasonCode, RetryClass};
use tp_domain::run::{Failure, RunStep};

use super::types::TypeRead;

/// So many items of one failure are named; the set names all of them.
const MOST_ITEMS: usize = 100;

/// What has been done.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) failures: Vec<Failure>,
    /// What each type that could not be read to its end failed with.
    pub(crate) types_failed: BTreeMap<PolicyType, ReasonCode>,
    number: Option<u64>,
    types: usize,
    done: usize,
    complete_before: usize,
    unread: usize,
    rows_written: u64,
    new_versions: u64,
}

impl Tally {
    pub(crate) fn new(number: Option<u64>, steps: &[RunStep]) -> Self {
        let complete = |step: &&RunStep| step.completeness == Some(Completeness::Complete);
        let complete_before = steps.iter().filter(complete).count();
        Self {
            failures: Vec::new(),
            types_failed: BTreeMap::new(),
            number,
            types: steps.len(),
            done: complete_before,
            complete_before,
            unread: 0,
            rows_written: 0,
            new_versions: 0,
        }
    }

    pub(crate) fn phase(&self) -> String {
        format!("Reading policy types in full: {} of {}", self.done, self.types)
    }

    pub(super) fn add(&mut self, read: TypeRead) {
        self.done += 1;
        self.rows_written += read.rows_written;
        self.new_versions += read.new_versions;
        self.unread += usize::from(read.faults.iter().any(|(_, item)| item.graph_id.is_none()));
        for (code, item) in read.faults {
            if item.graph_id.is_none() {
                self.types_failed.insert(read.key.clone(), code);
            }
            match self.failures.iter_mut().find(|failure| failure.code == code) {
                Some(failure) => {
                    failure.count += 1;
                    if failure.items.len() < MOST_ITEMS {
                        failure.items.push(item);
                    }
                }
                None => self.failures.push(Failure {
                    code,
                    message: code.message(&[]),
                    count: 1,
                    items: vec![item],
                }),
            }
        }
    }

    pub(crate) fn context(&self) -> Value {
        json!({
            "backup": self.number,
            "new_versions": self.new_versions,
            "rows_written": self.rows_written,
            "types_read": self.done,
        })
    }

    /// The reason when nothing at all was read and all of it may work later: then the run is tried again
    /// as a whole.
    pub(crate) fn wholly_unlucky(&self, succeeded: u64) -> Option<ReasonCode> {
        let nothing = self.complete_before == 0 && succeeded == 0 && self.unread > 0;
        let passing = |failure: &Failure| failure.code.retry() == RetryClass::Transient;
        if nothing && self.unread == self.types && self.failures.iter().all(passing) {
            self.failures.iter().max_by_key(|failure| failure.count).map(|failure| failure.code)
        } else {
            None
        }
    }
}
