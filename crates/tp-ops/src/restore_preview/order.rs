//! The order of work: what others refer to comes first.

use std::collections::BTreeMap;

use tp_catalog::capabilities::capabilities;
use tp_catalog::registry::Catalog;
use tp_domain::policy::PolicyType;
use tp_domain::version::PolicyVersion;

/// How far types stand behind what they refer to.
struct Depths<'c> {
    catalog: &'c Catalog,
    known: BTreeMap<PolicyType, usize>,
    path: Vec<PolicyType>,
}

impl Depths<'_> {
    /// Types that refer to each other in a circle stand somewhere in it.
    fn of(&mut self, key: &PolicyType) -> usize {
        if let Some(depth) = self.known.get(key) {
            return *depth;
        }
        if self.path.contains(key) {
            return 0;
        }
        let needed: Vec<PolicyType> = self
            .catalog
            .contract(key)
            .map(|contract| capabilities(contract, None).dependencies)
            .unwrap_or_default()
            .iter()
            .filter_map(|key| PolicyType::new(key).ok())
            .collect();
        self.path.push(key.clone());
        let depth = needed.iter().map(|needed| self.of(needed) + 1).max().unwrap_or(0);
        self.path.pop();
        self.known.insert(key.clone(), depth);
        depth
    }
}

/// The order in which each object stands behind those that it refers to, and else stays where it is. `needs`
/// gives for each place the places that it needs; a circle is entered somewhere.
pub(super) fn by_need(needs: &[Vec<usize>]) -> Vec<usize> {
    fn visit(at: usize, needs: &[Vec<usize>], seen: &mut [bool], order: &mut Vec<usize>) {
        if std::mem::replace(&mut seen[at], true) {
            return;
        }
        needs[at].iter().for_each(|needed| visit(*needed, needs, seen, order));
        order.push(at);
    }
    let (mut seen, mut order) = (vec![false; needs.len()], Vec::with_capacity(needs.len()));
    (0..needs.len()).for_each(|at| visit(at, needs, &mut seen, &mut order));
    order
}

/// Brings versions into the order of work, the same each time.
pub(super) fn sort(catalog: &Catalog, versions: &mut [PolicyVersion]) {
    let mut depths = Depths { catalog, known: BTreeMap::new(), path: Vec::new() };
    versions.sort_by_cached_key(|one| {
        let depth = depths.of(&one.policy_type);
        (depth, one.policy_type.clone(), one.name.clone(), one.graph_id.clone())
    });
}

#[cfg(test)]
mod tests {
    use super::by_need;

    #[test]
    fn what_is_needed_comes_first_and_circles_end() {
        assert_eq!(by_need(&[vec![], vec![], vec![]]), [0, 1, 2]);
        assert_eq!(by_need(&[vec![2], vec![], vec![1]]), [1, 2, 0]);
        assert_eq!(by_need(&[vec![1], vec![0], vec![2]]), [1, 0, 2]);
    }
}
