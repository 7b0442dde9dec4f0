//! Many patterns followed at once down a value: one pass, where a search for each would be one pass each.

use super::{Pattern, Step};

/// Patterns that are followed together. A pattern is named by its place in the list.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    patterns: Vec<Pattern>,
}

/// Where one is in all the patterns.
#[derive(Clone, Debug, Default)]
pub struct Spot {
    /// Pattern and step that comes next.
    open: Vec<(usize, usize)>,
    /// Patterns that mean exactly this place.
    met: Vec<usize>,
}

/// A step down.
#[derive(Clone, Copy, Debug)]
pub enum Down<'a> {
    /// To the member of this name.
    Member(&'a str),
    /// To an element of an array: which one says nothing.
    Element,
}

impl Spot {
    /// The patterns that mean exactly this place.
    pub fn met(&self) -> &[usize] {
        &self.met
    }
}

impl Follow {
    /// Follows these.
    pub const fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns }
    }

    /// The place at the top of a value.
    pub fn start(&self) -> Spot {
        let mut spot = Spot::default();
        for index in 0..self.patterns.len() {
            self.enter(&mut spot, index, 0);
        }
        spot
    }

    /// The place one step below.
    pub fn down(&self, spot: &Spot, to: Down<'_>) -> Spot {
        let mut below = Spot::default();
        for &(index, at) in &spot.open {
            let Some(step) = self.patterns[index].steps.get(at) else { continue };
            match step {
                Step::Deep => self.enter(&mut below, index, at),
                _ if step.leads(to) => self.enter(&mut below, index, at + 1),
                _ => {}
            }
        }
        below
    }

    /// Adds a state, and those that follow it without a step.
    fn enter(&self, spot: &mut Spot, index: usize, at: usize) {
        match self.patterns[index].steps.get(at) {
            None if spot.met.last() != Some(&index) => spot.met.push(index),
            None => {}
            Some(_) if spot.open.contains(&(index, at)) => {}
            Some(step) => {
                spot.open.push((index, at));
                if *step == Step::Deep {
                    self.enter(spot, index, at + 1);
                }
            }
        }
    }
}

impl Step {
    fn name(&self) -> Option<&str> {
        if let Self::Name(name) = self { Some(name) } else { None }
    }

    fn leads(&self, to: Down<'_>) -> bool {
        match to {
            Down::Member(name) => self.is(name),
            Down::Element => *self == Self::Each,
        }
    }
}

impl Pattern {
    /// Its names, where it stands for one place.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.steps.iter().map(Step::name).collect()
    }

    /// The pattern of a place below this one: `tail` begins with a slash.
    pub fn below(&self, tail: &str) -> Result<Self, String> {
        Self::new(&format!("{}{tail}", self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(patterns: &[&str], path: &[Down<'_>]) -> Vec<usize> {
        let follow = Follow::new(patterns.iter().map(|text| Pattern::new(text).unwrap()).collect());
        let end = path.iter().fold(follow.start(), |spot, step| follow.down(&spot, *step));
        end.met().to_vec()
    }

    #[test]
    fn following_meets_what_the_patterns_mean() {
        let patterns = ["/settings/**/value", "/settings/*/id", "/on*/x", "/settings"];
        let (member, element) = (Down::Member, Down::Element);
        assert_eq!(met(&patterns, &[member("settings")]), [3]);
        assert_eq!(met(&patterns, &[member("settings"), element, member("id")]), [1]);
        assert_eq!(met(&patterns, &[member("settings"), member("value")]), [0]);
        let deep = [member("settings"), element, member("a"), element, member("value")];
        assert_eq!(met(&patterns, &deep), [0]);
        assert_eq!(met(&patterns, &[member("only"), member("x")]), [2]);
        assert_eq!(met(&patterns, &[member("value")]), Vec::<usize>::new());
    }
}
