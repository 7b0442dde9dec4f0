//! Which backup sets are kept and which are removed (PRODUCT S-5). Pure: the page shows what a run would do
//! before there is one.
//!
//! A rule keeps sets, nothing removes one: what no rule keeps goes. Whatever the rules say, a set stays that
//! is pinned, that a restore needs, that is being made, or that is the newest complete one. Removing what a
//! plan says and planning again removes nothing more.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::backup::BackupState;
use crate::time::Timestamp;
use crate::words::words;

words! {
    /// Why a set is kept.
    pub enum KeepReason {
        /// Somebody pinned it.
        Pinned => "pinned",
        /// A restore that has not ended needs it.
        NeededByRestore => "needed_by_restore",
        /// Its run is at work.
        AtWork => "at_work",
        /// It is the newest complete one.
        NewestComplete => "newest_complete",
        /// It is one of the last ones.
        Last => "last",
        /// It is the best one of its day.
        Daily => "daily",
        /// It is the best one of its week.
        Weekly => "weekly",
        /// It is the best one of its month.
        Monthly => "monthly",
        /// It holds nothing, and is newer than the oldest of the last ones: people should see that it failed.
        RecentFailure => "recent_failure",
        /// It was imported: it goes by a person's hand alone.
        Imported => "imported",
        /// Nobody's schedule made it, and these rules are for scheduled ones.
        NotScheduled => "not_scheduled",
    }
}

/// How many sets are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepRules {
    /// So many of the newest sets that hold something.
    pub last: u32,
    /// The best set of so many days that have one.
    pub daily: u32,
    /// The same of weeks, Monday to Sunday.
    pub weekly: u32,
    /// The same of months.
    pub monthly: u32,
    /// The IANA zone that says where days begin.
    pub zone: String,
    /// Whether only sets that a schedule made are counted and removed.
    pub only_scheduled: bool,
}

impl KeepRules {
    /// The fewest sets that can be kept: one slip must not empty a tenant.
    pub const FLOOR: u32 = 3;
    /// The most of each.
    pub const CEILING: u32 = 1_000;

    /// What is offered to whoever has no rules yet: two weeks of nights, a month of days, a quarter of weeks,
    /// a year of months.
    pub fn usual() -> Self {
        let zone = "UTC".to_owned();
        Self { last: 14, daily: 30, weekly: 13, monthly: 12, zone, only_scheduled: false }
    }
}

/// What is asked about one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct SetFacts {
    /// Its number; the newest has the highest.
    pub number: u64,
    /// When it was begun.
    pub created_at: Timestamp,
    /// How it stands.
    pub state: BackupState,
    /// Whether somebody pinned it.
    pub pinned: bool,
    /// Whether a restore that has not ended needs it.
    pub needed: bool,
    /// Whether its run has not ended.
    pub at_work: bool,
    /// Whether a schedule made it.
    pub scheduled: bool,
    /// Whether it was imported: it says nothing of how the tenant was when it was made.
    pub imported: bool,
}

impl SetFacts {
    /// Whether it holds something.
    const fn is_usable(&self) -> bool {
        matches!(self.state, BackupState::Complete | BackupState::Partial)
    }
}

/// What becomes of one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The set's number.
    pub number: u64,
    /// Why it is kept; it is removed when there is no reason.
    pub keep: Vec<KeepReason>,
}

impl Verdict {
    /// Whether the set is removed.
    pub fn is_removed(&self) -> bool {
        self.keep.is_empty()
    }
}

/// A zone that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time zone is not known; write an IANA name such as Europe/Berlin or UTC")]
pub struct UnknownZone;

/// The zone of that IANA name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    let known = !name.is_empty() && name.len() <= 64 && !name.starts_with(['+', '-', '<']);
    let zone = if known { TimeZone::get(name).ok() } else { None };
    zone.ok_or(UnknownZone)
}

/// A day, a week or a month; later ones are greater.
type Bucket = (i16, i8, i8);

/// What becomes of each set, the newest first.
pub fn plan(sets: &[SetFacts], rules: &KeepRules) -> Result<Vec<Verdict>, UnknownZone> {
    let zone = zone(&rules.zone)?;
    let mut sets: Vec<&SetFacts> = sets.iter().collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.number));
    let mut kept: BTreeMap<u64, Vec<KeepReason>> = BTreeMap::new();
    let mut keep = |number: u64, reason| kept.entry(number).or_default().push(reason);

    let newest = sets.iter().find(|set| set.state == BackupState::Complete && !set.imported);
    for set in &sets {
        for (is_so, reason) in [
            (set.pinned, KeepReason::Pinned),
            (set.needed, KeepReason::NeededByRestore),
            (set.at_work, KeepReason::AtWork),
            (newest.is_some_and(|one| one.number == set.number), KeepReason::NewestComplete),
            (set.imported, KeepReason::Imported),
            (rules.only_scheduled && !set.scheduled, KeepReason::NotScheduled),
        ] {
            if is_so {
                keep(set.number, reason);
            }
        }
    }

    let counted = |set: &&&SetFacts| !set.imported && (!rules.only_scheduled || set.scheduled);
    let usable: Vec<&SetFacts> =
        sets.iter().filter(counted).filter(|set| set.is_usable()).copied().collect();
    let last = usize::try_from(rules.last.max(KeepRules::FLOOR)).unwrap_or(usize::MAX);
    usable.iter().take(last).for_each(|set| keep(set.number, KeepReason::Last));
    let oldest_of_last = if usable.len() < last { 0 } else { usable[last - 1].number };
    sets.iter()
        .filter(counted)
        .filter(|set| !set.is_usable() && set.number > oldest_of_last)
        .for_each(|set| keep(set.number, KeepReason::RecentFailure));

    let date = |set: &SetFacts| set.created_at.to_jiff().to_zoned_datetime(zone.clone()).date();
    let day = |set: &SetFacts| {
        let date = date(set);
        (date.year(), date.month(), date.day())
    };
    let week = |set: &SetFacts| {
        let week = date(set).iso_week_date();
        (week.year(), week.week(), 0)
    };
    let month = |set: &SetFacts| {
        let date = date(set);
        (date.year(), date.month(), 0)
    };
    for number in best(&usable, rules.daily, day) {
        keep(number, KeepReason::Daily);
    }
    for number in best(&usable, rules.weekly, week) {
        keep(number, KeepReason::Weekly);
    }
    for number in best(&usable, rules.monthly, month) {
        keep(number, KeepReason::Monthly);
    }
    let verdict = |set: &&SetFacts| Verdict {
        number: set.number,
        keep: kept.get(&set.number).cloned().unwrap_or_default(),
    };
    Ok(sets.iter().map(verdict).collect())
}

/// The best set of each of the latest buckets: the newest complete one, else the newest.
fn best(usable: &[&SetFacts], most: u32, bucket: impl Fn(&SetFacts) -> Bucket) -> Vec<u64> {
    let mut buckets: BTreeMap<Bucket, &SetFacts> = BTreeMap::new();
    // From the newest on: the first of a bucket stays, unless a complete one comes after a partial one.
    for set in usable {
        let is_complete = set.state == BackupState::Complete;
        let held = buckets.entry(bucket(set)).or_insert(set);
        if is_complete && held.state != BackupState::Complete {
            *held = set;
        }
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    buckets.values().rev().take(most).map(|set| set.number).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000_000;
    /// Monday, 2026-03-02, 12:00 UTC.
    const NOON: i64 = 1_772_452_800_000_000;

    fn set(number: u64, hours: i64, state: BackupState) -> SetFacts {
        SetFacts {
            number,
            created_at: Timestamp::from_micros(NOON + hours * HOUR),
            state,
            pinned: false,
            needed: false,
            at_work: false,
            scheduled: true,
            imported: false,
        }
    }

    fn rules(last: u32, daily: u32, weekly: u32, monthly: u32) -> KeepRules {
        let zone = "UTC".to_owned();
        KeepRules { last, daily, weekly, monthly, zone, only_scheduled: false }
    }

    fn removed(sets: &[SetFacts], rules: &KeepRules) -> Vec<u64> {
        let plan = plan(sets, rules).unwrap();
        plan.iter().filter(|one| one.is_removed()).map(|one| one.number).collect()
    }

    fn reasons(sets: &[SetFacts], rules: &KeepRules, number: u64) -> Vec<KeepReason> {
        let plan = plan(sets, rules).unwrap();
        plan.into_iter().find(|one| one.number == number).unwrap().keep
    }

    #[test]
    fn of_a_month_of_nights_days_weeks_and_months_stay() {
        use BackupState::Complete;
        // 40 nights from Monday 2 March to Friday 10 April.
        let sets: Vec<_> =
            (0..40).map(|day| set(day + 1, 24 * day.cast_signed(), Complete)).collect();
        let kept = rules(3, 7, 4, 2);
        let gone = removed(&sets, &kept);
        let stays: Vec<u64> = (1..=40).filter(|number| !gone.contains(number)).collect();
        // Number 30 is the last night of March; 7, 14, 21, 28 and 35 are Sundays.
        assert_eq!(stays, [21, 28, 30, 34, 35, 36, 37, 38, 39, 40]);
        assert_eq!(reasons(&sets, &kept, 30), [KeepReason::Monthly]);
        assert_eq!(reasons(&sets, &kept, 35), [KeepReason::Daily, KeepReason::Weekly]);
        assert_eq!(removed(&sets, &rules(1, 0, 0, 0)).len(), 37, "never fewer than the floor");
    }

    #[test]
    fn a_complete_set_is_better_than_a_newer_partial_one() {
        use BackupState::{Complete, Failed, Partial};
        let sets = [
            set(1, 0, Complete),
            set(2, 1, Partial),
            set(3, 2, Failed),
            set(4, 48, Partial),
            set(5, 49, Partial),
            set(6, 50, Failed),
            set(7, 51, Partial),
        ];
        assert_eq!(removed(&sets, &rules(3, 2, 0, 0)), [3, 2]);
        assert_eq!(reasons(&sets, &rules(3, 2, 0, 0), 6), [KeepReason::RecentFailure]);
        let newest = [KeepReason::NewestComplete];
        assert_eq!(reasons(&sets, &rules(3, 0, 0, 0), 1), newest);
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        use BackupState::Complete;
        // 22:30 and 23:30 UTC: one day in London, two in Berlin.
        let mut sets: Vec<_> =
            (0..3).map(|n| set(n + 3, 100 + n.cast_signed(), Complete)).collect();
        sets.push(SetFacts {
            created_at: Timestamp::from_micros(NOON + 21 * HOUR / 2),
            ..set(1, 0, Complete)
        });
        sets.push(SetFacts {
            created_at: Timestamp::from_micros(NOON + 23 * HOUR / 2),
            ..set(2, 0, Complete)
        });
        assert_eq!(removed(&sets, &rules(3, 9, 0, 0)), [1]);
        let berlin = KeepRules { zone: "Europe/Berlin".to_owned(), ..rules(3, 9, 0, 0) };
        assert_eq!(removed(&sets, &berlin), [0_u64; 0]);
        let nowhere = KeepRules { zone: "Mars/Olympus".to_owned(), ..rules(3, 9, 0, 0) };
        assert_eq!(plan(&sets, &nowhere), Err(UnknownZone));
    }

    #[test]
    fn rules_for_scheduled_sets_leave_the_others_alone() {
        use BackupState::Complete;
        let mut sets: Vec<_> = (1..=9).map(|n| set(n, n.cast_signed(), Complete)).collect();
        for number in [2, 8] {
            sets[number - 1].scheduled = false;
        }
        let only = KeepRules { only_scheduled: true, ..rules(3, 0, 0, 0) };
        assert_eq!(removed(&sets, &only), [5, 4, 3, 1]);
        assert_eq!(reasons(&sets, &only, 2), [KeepReason::NotScheduled]);
    }

    fn any_set() -> impl Strategy<Value = SetFacts> {
        let flags = (any::<[bool; 4]>(), 0_u8..4, -20_000_i64..20_000);
        flags.prop_map(|([pinned, needed, scheduled, odd], state, hours)| {
            let at_work = odd && state == 0;
            let state = [
                BackupState::Creating,
                BackupState::Failed,
                BackupState::Partial,
                BackupState::Complete,
            ][usize::from(state)];
            let (pinned, needed) = (pinned && odd, needed && !odd && hours % 5 == 0);
            SetFacts { pinned, needed, at_work, scheduled, ..set(0, hours, state) }
        })
    }

    fn any_sets() -> impl Strategy<Value = Vec<SetFacts>> {
        proptest::collection::vec(any_set(), 0..60).prop_map(|mut sets| {
            (1..).zip(&mut sets).for_each(|(number, set)| set.number = number);
            sets
        })
    }

    fn any_rules() -> impl Strategy<Value = KeepRules> {
        let counts = (0_u32..12, 0_u32..12, 0_u32..12, 0_u32..12, any::<bool>());
        counts.prop_map(|(last, daily, weekly, monthly, only_scheduled)| KeepRules {
            only_scheduled,
            ..rules(last, daily, weekly, monthly)
        })
    }

    proptest! {
        #[test]
        fn what_must_stay_stays(sets in any_sets(), rules in any_rules()) {
            let gone = removed(&sets, &rules);
            let newest = sets.iter().rev().find(|set| set.state == BackupState::Complete);
            for set in &sets {
                let must = set.pinned || set.needed || set.at_work
                    || newest.is_some_and(|one| one.number == set.number)
                    || rules.only_scheduled && !set.scheduled;
                prop_assert!(!must || !gone.contains(&set.number), "{set:?}");
            }
            let usable = sets.iter().filter(|set| set.is_usable()).count();
            let left = sets.iter().filter(|set| set.is_usable() && !gone.contains(&set.number));
            prop_assert!(left.count() >= usable.min(KeepRules::FLOOR as usize));
        }

        #[test]
        fn a_second_time_removes_nothing(sets in any_sets(), rules in any_rules()) {
            let gone = removed(&sets, &rules);
            let left: Vec<_> =
                sets.iter().filter(|set| !gone.contains(&set.number)).copied().collect();
            prop_assert_eq!(removed(&left, &rules), [0_u64; 0]);
        }

        #[test]
        fn more_is_never_less(sets in any_sets(), rules in any_rules(), more in any_rules()) {
            let more = KeepRules {
                last: rules.last + more.last,
                daily: rules.daily + more.daily,
                weekly: rules.weekly + more.weekly,
                monthly: rules.monthly + more.monthly,
                ..rules.clone()
            };
            let few = removed(&sets, &more);
            let many = removed(&sets, &rules);
            prop_assert!(few.iter().all(|number| many.contains(number)));
        }
    }
}
