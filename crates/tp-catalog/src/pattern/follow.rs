//! Many patterns followed at once down a value: one pass, where a search for each would be one pass each.
//!
//! Where one can be in all patterns together is known by a number, and what a step leads to is remembered:
//! the settings of a policy are all alike, so nearly every step was taken before.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Pattern, Step};

/// Names that are remembered at one place: a hostile object has as many as it likes.
const MOST_REMEMBERED: usize = 1_000;

/// Patterns that are followed together. A pattern is named by its place in the list.
#[derive(Debug)]
pub struct Follow {
    patterns: Vec<Pattern>,
    known: RefCell<Known>,
}

/// Where one is in all the patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot(usize);

/// A step down.
#[derive(Clone, Copy, Debug)]
pub enum Down<'a> {
    /// To the member of this name.
    Member(&'a str),
    /// To an element of an array: which one says nothing.
    Element,
}

/// The spots that were seen.
#[derive(Debug, Default)]
struct Known {
    spots: Vec<Seen>,
    by_state: HashMap<State, usize>,
}

#[derive(Debug)]
struct Seen {
    state: State,
    met: Rc<[usize]>,
    element: Option<Spot>,
    members: HashMap<String, Spot>,
}

/// What a spot is: pattern and step that comes next, and the patterns that end here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    open: Vec<(usize, usize)>,
    met: Vec<usize>,
}

impl Spot {
    /// No pattern leads here or on from here.
    pub const NOWHERE: Self = Self(0);
}

impl Follow {
    /// Follows these.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let mut known = Known::default();
        known.spot(State::default());
        Self { patterns, known: RefCell::new(known) }
    }

    /// The place at the top of a value.
    pub fn start(&self) -> Spot {
        let mut state = State::default();
        for index in 0..self.patterns.len() {
            self.enter(&mut state, index, 0);
        }
        self.known.borrow_mut().spot(state)
    }

    /// The patterns that mean exactly this place.
    pub fn met(&self, spot: Spot) -> Rc<[usize]> {
        Rc::clone(&self.known.borrow().spots[spot.0].met)
    }

    /// The place one step below.
    pub fn down(&self, spot: Spot, to: Down<'_>) -> Spot {
        if spot == Spot::NOWHERE {
            return spot;
        }
        let mut known = self.known.borrow_mut();
        let seen = &known.spots[spot.0];
        let before = match to {
            Down::Member(name) => seen.members.get(name).copied(),
            Down::Element => seen.element,
        };
        if let Some(before) = before {
            return before;
        }
        let mut state = State::default();
        for &(index, at) in &seen.state.open {
            match self.patterns[index].steps.get(at) {
                Some(Step::Deep) => self.enter(&mut state, index, at),
                Some(step) if step.leads(to) => self.enter(&mut state, index, at + 1),
                _ => {}
            }
        }
        let below = known.spot(state);
        let seen = &mut known.spots[spot.0];
        match to {
            Down::Member(name) if seen.members.len() < MOST_REMEMBERED => {
                seen.members.insert(name.to_owned(), below);
            }
            Down::Member(_) => {}
            Down::Element => seen.element = Some(below),
        }
        below
    }

    /// Adds a state, and those that follow it without a step.
    fn enter(&self, state: &mut State, index: usize, at: usize) {
        match self.patterns[index].steps.get(at) {
            None if state.met.last() != Some(&index) => state.met.push(index),
            None => {}
            Some(_) if state.open.contains(&(index, at)) => {}
            Some(step) => {
                state.open.push((index, at));
                if *step == Step::Deep {
                    self.enter(state, index, at + 1);
                }
            }
        }
    }
}

impl Known {
    fn spot(&mut self, state: State) -> Spot {
        if let Some(&index) = self.by_state.get(&state) {
            return Spot(index);
        }
        let index = self.spots.len();
        self.by_state.insert(state.clone(), index);
        let met = state.met.as_slice().into();
        self.spots.push(Seen { state, met, element: None, members: HashMap::new() });
        Spot(index)
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
        let end = path.iter().fold(follow.start(), |spot, step| follow.down(spot, *step));
        // What is remembered is what was found.
        assert_eq!(path.iter().fold(follow.start(), |spot, step| follow.down(spot, *step)), end);
        follow.met(end).to_vec()
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
