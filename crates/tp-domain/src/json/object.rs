//! Members, ordered by name.

use std::fmt;

use super::{Json, Text};

/// The members of an object: each name once, in the order of the names.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Object {
    members: Vec<(Text, Json)>,
}

impl Object {
    /// An object without members.
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// From members in any order; none when a name stands twice.
    pub fn from_members(mut members: Vec<(Text, Json)>) -> Option<Self> {
        if !members.is_sorted_by(|one, next| one.0 < next.0) {
            members.sort_by(|one, other| one.0.cmp(&other.0));
            if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
        }
        members.shrink_to_fit();
        Some(Self { members })
    }

    fn place(&self, name: &[u8]) -> Result<usize, usize> {
        self.members.binary_search_by(|(own, _)| own.as_bytes().cmp(name))
    }

    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.place(name.as_bytes()).ok().map(|at| &self.members[at].1)
    }

    /// The member of that name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        self.place(name.as_bytes()).ok().map(|at| &mut self.members[at].1)
    }

    /// Whether there is a member of that name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name.as_bytes()).is_ok()
    }

    /// Puts a member in; gives what had the name before.
    pub fn insert(&mut self, name: impl Into<Text>, value: Json) -> Option<Json> {
        let name = name.into();
        match self.place(name.as_bytes()) {
            Ok(at) => Some(std::mem::replace(&mut self.members[at].1, value)),
            Err(at) => {
                self.members.insert(at, (name, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Json> {
        self.place(name.as_bytes()).ok().map(|at| self.members.remove(at).1)
    }

    /// Keeps the members that fulfil it.
    pub fn retain(&mut self, mut keep: impl FnMut(&Text, &mut Json) -> bool) {
        self.members.retain_mut(|(name, value)| keep(name, value));
    }

    /// How many members there are.
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &Text> {
        self.members.iter().map(|(name, _)| name)
    }

    /// The values, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &Json> {
        self.members.iter().map(|(_, value)| value)
    }

    /// The values, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Json> {
        self.members.iter_mut().map(|(_, value)| value)
    }

    /// The members, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Text, &Json)> {
        self.members.iter().map(|(name, value)| (name, value))
    }

    /// The members, their values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Text, &mut Json)> {
        self.members.iter_mut().map(|(name, value)| (&*name, value))
    }
}

impl IntoIterator for Object {
    type Item = (Text, Json);
    type IntoIter = std::vec::IntoIter<(Text, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl Extend<(Text, Json)> for Object {
    /// What comes takes the place of what had its name.
    fn extend<I: IntoIterator<Item = (Text, Json)>>(&mut self, members: I) {
        for (name, value) in members {
            self.insert(name, value);
        }
    }
}

impl FromIterator<(Text, Json)> for Object {
    /// The last of a name stays.
    fn from_iter<I: IntoIterator<Item = (Text, Json)>>(members: I) -> Self {
        let mut object = Self::new();
        object.extend(members);
        object
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of {}", self.members.len())
    }
}
