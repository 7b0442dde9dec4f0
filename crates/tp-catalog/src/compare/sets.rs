//! Which elements of two arrays belong together.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use crate::nodes::{Kind, Node};

/// Elements that are left over on one side and still looked at for likeness, each with each.
const MOST_ALIKE: usize = 32;

/// Which element of the left belongs to which of the right.
#[derive(Debug)]
pub(super) struct Matching {
    /// For each on the right, its place on the left.
    pub(super) of_right: Vec<Option<usize>>,
    left_taken: Vec<bool>,
}

impl Matching {
    pub(super) fn new(left: usize, right: usize) -> Self {
        Self { of_right: vec![None; right], left_taken: vec![false; left] }
    }

    /// Those on the left that belong to none.
    pub(super) fn left_over(&self) -> Vec<usize> {
        (0..self.left_taken.len()).filter(|index| !self.left_taken[*index]).collect()
    }

    fn right_over(&self) -> Vec<usize> {
        (0..self.of_right.len()).filter(|index| self.of_right[*index].is_none()).collect()
    }

    pub(super) fn take(&mut self, left: usize, right: usize) {
        self.of_right[right] = Some(left);
        self.left_taken[left] = true;
    }

    /// Puts together what has the same key, in order; with `only_single`, only where one on each side has
    /// it.
    pub(super) fn by(&mut self, left: &[u64], right: &[u64], only_single: bool) {
        let mut lefts: HashMap<u64, VecDeque<usize>> = HashMap::new();
        for index in self.left_over() {
            lefts.entry(left[index]).or_default().push_back(index);
        }
        let rights = self.right_over();
        let mut counts: HashMap<u64, usize> = HashMap::new();
        for &index in &rights {
            *counts.entry(right[index]).or_default() += 1;
        }
        for index in rights {
            let key = right[index];
            let Some(same) = lefts.get_mut(&key) else { continue };
            if only_single && (same.len() != 1 || counts.get(&key) != Some(&1)) {
                continue;
            }
            if let Some(left) = same.pop_front() {
                self.take(left, index);
            }
        }
    }

    /// Puts together what is alike in at least half of what it says, the most alike first. Only where few
    /// are left over.
    pub(super) fn by_likeness(
        &mut self,
        left: &[Node<'_>],
        right: &[Node<'_>],
        hasher: &RandomState,
    ) {
        let is_object = |node: &Node<'_>| matches!(node.kind, Kind::Object(_));
        let lefts: Vec<usize> =
            self.left_over().into_iter().filter(|index| is_object(&left[*index])).collect();
        let rights: Vec<usize> =
            self.right_over().into_iter().filter(|index| is_object(&right[*index])).collect();
        if lefts.len() > MOST_ALIKE || rights.len() > MOST_ALIKE {
            return;
        }
        let said = |nodes: &[Node<'_>], places: &[usize]| -> Vec<Vec<u64>> {
            places.iter().map(|place| sayings(&nodes[*place], hasher)).collect()
        };
        let (left_said, right_said) = (said(left, &lefts), said(right, &rights));
        let mut likeness = Vec::new();
        for (at_left, left) in left_said.iter().enumerate() {
            for (at_right, right) in right_said.iter().enumerate() {
                let (shared, most) = (shared(left, right), left.len().max(right.len()));
                if shared * 2 >= most && shared > 0 {
                    likeness.push((most - shared, at_right, at_left));
                }
            }
        }
        likeness.sort_unstable();
        for (_, at_right, at_left) in likeness {
            let (left, right) = (lefts[at_left], rights[at_right]);
            if !self.left_taken[left] && self.of_right[right].is_none() {
                self.take(left, right);
            }
        }
    }
}

/// What an element says, as sorted hashes of its members at every level.
fn sayings(node: &Node<'_>, hasher: &RandomState) -> Vec<u64> {
    let mut said = Vec::new();
    collect(node, hasher, &mut said);
    said.sort_unstable();
    said
}

fn collect(node: &Node<'_>, hasher: &RandomState, said: &mut Vec<u64>) {
    if let Kind::Object(members) = &node.kind {
        for (name, member) in members.own.iter().filter(|(_, member)| !member.is_blank()) {
            match member.kind {
                Kind::Object(_) | Kind::List(_) | Kind::Set(_) => collect(member, hasher, said),
                _ => said.push(hasher.hash_one((name, member.content))),
            }
        }
    }
    for element in node.elements() {
        match element.kind {
            Kind::Object(_) => collect(element, hasher, said),
            _ => said.push(element.content),
        }
    }
}

/// How many are in both of two sorted lists.
fn shared(left: &[u64], right: &[u64]) -> usize {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut shared = 0;
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match a.cmp(b) {
            std::cmp::Ordering::Less => {
                left.next();
            }
            std::cmp::Ordering::Greater => {
                right.next();
            }
            std::cmp::Ordering::Equal => {
                shared += 1;
                left.next();
                right.next();
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_keys_belong_together_in_order() {
        let mut matching = Matching::new(3, 3);
        matching.by(&[1, 1, 2], &[3, 1, 1], false);
        assert_eq!(matching.of_right, [None, Some(0), Some(1)]);
        assert_eq!(matching.left_over(), [2]);
        let mut single = Matching::new(3, 2);
        single.by(&[1, 1, 2], &[1, 2], true);
        assert_eq!(single.of_right, [None, Some(2)]);
    }

    #[test]
    fn shared_counts_each_once() {
        assert_eq!(shared(&[1, 1, 2, 5], &[1, 2, 2, 5]), 3);
        assert_eq!(shared(&[], &[1]), 0);
    }
}
