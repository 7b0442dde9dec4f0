//! Arrays whose order says something.

use std::hash::RandomState;

use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::sets::Matching;
use crate::nodes::Node;

/// Elements of both sides together that are aligned in order; beyond, elements are matched by what they are.
const MOST_ALIGNED: usize = 4_000;

/// Which elements belong together; none where only the order differs.
pub(super) fn aligned(
    left: &[Node<'_>],
    right: &[Node<'_>],
    hasher: &RandomState,
) -> Option<Matching> {
    let (places_left, of_left) = contents(left);
    let (places_right, of_right) = contents(right);
    let sorted = |contents: &[u64]| {
        let mut sorted = contents.to_vec();
        sorted.sort_unstable();
        sorted
    };
    if of_left != of_right && sorted(&of_left) == sorted(&of_right) {
        return None;
    }
    let mut matching = Matching::new(left.len(), right.len());
    if of_left.len() + of_right.len() <= MOST_ALIGNED {
        for op in capture_diff_slices(Algorithm::Myers, &of_left, &of_right) {
            if op.tag() == DiffTag::Equal {
                op.old_range().zip(op.new_range()).for_each(|(left, right)| {
                    matching.take(places_left[left], places_right[right]);
                });
            }
        }
    } else {
        let all = |nodes: &[Node<'_>]| nodes.iter().map(|node| node.content).collect::<Vec<u64>>();
        matching.by(&all(left), &all(right), false);
    }
    matching.by_likeness(left, right, hasher);
    Some(matching)
}

/// The elements that say something, and their contents.
fn contents(nodes: &[Node<'_>]) -> (Vec<usize>, Vec<u64>) {
    let saying = nodes.iter().enumerate().filter(|(_, node)| !node.is_blank());
    saying.map(|(index, node)| (index, node.content)).unzip()
}
