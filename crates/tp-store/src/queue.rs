//! Which scopes have work, and whose turn it is (docs/decisions/0009-fair-claims.md).
//!
//! The jobs table is the truth. What is kept here are hints of one process: scopes that had work when
//! they were last heard of, and for each a low-water mark below which nothing is ready any more. A
//! hint that is missing costs one poll interval, a hint that is wrong one look.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tp_domain::operation::Lane;
use tp_domain::time::Timestamp;
use uuid::Uuid;

/// A scope that has work in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hint {
    pub(crate) priority: i64,
    pub(crate) scope: Uuid,
    pub(crate) workspace: Uuid,
}

/// A commit may become visible this long after the time that it wrote.
const LATE: Duration = Duration::from_millis(500);
/// So often a scope is looked at from its beginning, for commits that came later still.
const FULL_EVERY: Duration = Duration::from_secs(10);

/// A scope to look at, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) hint: Hint,
    pub(crate) mark: Timestamp,
    version: u64,
}

#[derive(Debug)]
struct Known {
    workspace: Uuid,
    ready: bool,
    /// Grows with each hint, so that one that comes in during a look is not lost.
    version: u64,
    mark: Timestamp,
    full_at: Instant,
}

#[derive(Debug, Default)]
struct LaneHints {
    scopes: BTreeMap<Uuid, Known>,
    workspaces: BTreeMap<Uuid, Turns>,
    /// The workspace that was looked at last: the next one is first in turn.
    turn: Option<Uuid>,
}

/// The scopes of one workspace that have work.
#[derive(Debug, Default)]
struct Turns {
    ready: BTreeSet<Uuid>,
    /// The scope that was looked at last.
    turn: Option<Uuid>,
}

/// All of them, from the one after `turn` round to it.
fn from_turn<T>(list: &BTreeMap<Uuid, T>, turn: Option<Uuid>) -> impl Iterator<Item = (&Uuid, &T)> {
    let after = turn.map_or(Bound::Unbounded, Bound::Excluded);
    let before = turn.map_or(Bound::Excluded(Uuid::nil()), Bound::Included);
    list.range((after, Bound::Unbounded)).chain(list.range((Bound::Unbounded, before)))
}

impl Turns {
    fn in_turn(&self) -> Vec<Uuid> {
        match self.turn {
            None => self.ready.iter().copied().collect(),
            Some(turn) => {
                let after = self.ready.range((Bound::Excluded(turn), Bound::Unbounded));
                after.chain(self.ready.range(..=turn)).copied().collect()
            }
        }
    }
}

impl LaneHints {
    /// One scope of each workspace, then the next of each: a workspace with a thousand tenants waits as
    /// long for its second turn as one with a single tenant (PRODUCT R-12).
    fn in_turn(&self) -> Vec<Uuid> {
        let mut lists: VecDeque<std::vec::IntoIter<Uuid>> = from_turn(&self.workspaces, self.turn)
            .map(|(_, turns)| turns.in_turn().into_iter())
            .collect();
        let mut order = Vec::new();
        while let Some(mut list) = lists.pop_front() {
            if let Some(scope) = list.next() {
                order.push(scope);
                lists.push_back(list);
            }
        }
        order
    }
}

/// The hints of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(Arc<Mutex<Hints>>);

#[derive(Debug, Default)]
struct Hints {
    lanes: HashMap<i64, LaneHints>,
    last_now: Option<Timestamp>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Hints> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is work in that scope.
    pub(crate) fn add(&self, hint: Hint) {
        let mut hints = self.lock();
        let lane = hints.lanes.entry(hint.priority).or_default();
        let known = lane.scopes.entry(hint.scope).or_insert_with(|| Known {
            workspace: hint.workspace,
            ready: false,
            version: 0,
            mark: Timestamp::from_micros(i64::MIN),
            full_at: Instant::now(),
        });
        known.ready = true;
        known.version += 1;
        lane.workspaces.entry(hint.workspace).or_default().ready.insert(hint.scope);
    }

    /// The scopes with work in a lane, from the one whose turn it is.
    pub(crate) fn in_turn(&self, lane: Lane, now: Timestamp) -> Vec<Candidate> {
        let mut hints = self.lock();
        // A clock that was set back: what is written now lies below the marks.
        let back = hints.last_now.is_some_and(|last| now < last);
        hints.last_now = Some(now);
        if back {
            for known in hints.lanes.values_mut().flat_map(|lane| lane.scopes.values_mut()) {
                known.mark = Timestamp::from_micros(i64::MIN);
            }
        }
        let priority = lane.priority();
        let Some(lane) = hints.lanes.get_mut(&priority) else { return Vec::new() };
        let order = lane.in_turn();
        let mut candidates = Vec::with_capacity(order.len());
        for scope in order {
            let Some(known) = lane.scopes.get_mut(&scope) else { continue };
            if known.full_at.elapsed() > FULL_EVERY {
                known.full_at = Instant::now();
                known.mark = Timestamp::from_micros(i64::MIN);
            }
            let hint = Hint { priority, scope, workspace: known.workspace };
            candidates.push(Candidate { hint, mark: known.mark, version: known.version });
        }
        candidates
    }

    /// What a look at a scope found: up to which moment it is cleared, and whether that was all.
    pub(crate) fn looked(&self, candidate: &Candidate, cleared: Timestamp, all: bool) {
        let mut hints = self.lock();
        let Some(lane) = hints.lanes.get_mut(&candidate.hint.priority) else { return };
        let Hint { scope, workspace, .. } = candidate.hint;
        lane.turn = Some(workspace);
        let turns = lane.workspaces.entry(workspace).or_default();
        turns.turn = Some(scope);
        if let Some(known) = lane.scopes.get_mut(&scope) {
            known.mark = known.mark.max(cleared.minus(LATE));
            if all && known.version == candidate.version {
                known.ready = false;
                turns.ready.remove(&scope);
            }
        }
        if turns.ready.is_empty() {
            lane.workspaces.remove(&workspace);
        }
    }

    /// Whether any scope is known to have work.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().lanes.values().all(|lane| lane.workspaces.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(scope: u128) -> Hint {
        Hint {
            priority: Lane::Sync.priority(),
            scope: Uuid::from_u128(scope),
            workspace: Uuid::nil(),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn order(queue: &Queue) -> Vec<u128> {
        let candidates = queue.in_turn(Lane::Sync, at(100));
        candidates.iter().map(|candidate| candidate.hint.scope.as_u128()).collect()
    }

    #[test]
    fn scopes_take_turns() {
        let queue = Queue::default();
        (1..=3).for_each(|scope| queue.add(hint(scope)));
        assert_eq!(order(&queue), [1, 2, 3]);
        let first = queue.in_turn(Lane::Sync, at(100))[0];
        queue.looked(&first, at(100), false);
        assert_eq!(order(&queue), [2, 3, 1]);
        let second = queue.in_turn(Lane::Sync, at(100))[0];
        queue.looked(&second, at(100), true);
        assert_eq!(order(&queue), [3, 1], "a scope without work loses its turn");
        assert!(!queue.is_empty());
    }

    #[test]
    fn a_large_workspace_gets_no_more_turns_than_a_small_one() {
        let queue = Queue::default();
        let of = |scope: u128, workspace: u128| Hint {
            workspace: Uuid::from_u128(workspace),
            ..hint(scope)
        };
        (1..=300).for_each(|scope| queue.add(of(scope, 1)));
        queue.add(of(900, 2));
        let mut small = Vec::new();
        for look in 0..6 {
            let first = queue.in_turn(Lane::Sync, at(100))[0];
            queue.looked(&first, at(100), false);
            if first.hint.scope.as_u128() == 900 {
                small.push(look);
            }
        }
        assert_eq!(small, [1, 3, 5], "every second turn");
    }

    #[test]
    fn a_hint_that_comes_during_a_look_is_kept() {
        let queue = Queue::default();
        queue.add(hint(1));
        let looked = queue.in_turn(Lane::Sync, at(100))[0];
        queue.add(hint(1));
        queue.looked(&looked, at(100), true);
        assert_eq!(order(&queue), [1]);
    }

    #[test]
    fn marks_follow_the_looks_and_fall_with_the_clock() {
        let queue = Queue::default();
        queue.add(hint(1));
        let looked = queue.in_turn(Lane::Sync, at(100))[0];
        queue.looked(&looked, at(100), false);
        let mark = queue.in_turn(Lane::Sync, at(100))[0].mark;
        assert_eq!(mark, at(100).minus(LATE));
        let mark = queue.in_turn(Lane::Sync, at(50))[0].mark;
        assert_eq!(mark, Timestamp::from_micros(i64::MIN), "the clock was set back");
    }
}
