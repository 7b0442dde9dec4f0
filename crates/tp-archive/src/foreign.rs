//! Backup folders of other tools, zipped: `IntuneCD`, `IntuneManagement`, `IntuneBackupAndRestore`.
//!
//! [`ForeignFolder`] goes through an archive once and accounts for each file of it: a file belongs to a
//! [`ForeignPolicy`], or it is a [`LeftFile`] with the reason. Objects are brought into the form that a
//! capture of ours has: parts where a contract puts them, assignments beside, none of a reply's own
//! annotations. What a tool has turned into a name is turned back into the id where the folder knows it;
//! where it does not, a [`Remark`] says so.
//!
//! A folder says nothing of its completeness, and nobody has signed it: it is data of a stranger.

mod folder;
mod intunecd;
mod known;
mod places;
mod powershell;
mod recognise;
mod scripts;
mod shape;
mod text;
mod yaml;

use tp_domain::json::Json;
use tp_domain::policy::PolicyType;
use tp_domain::version::ReferenceNames;

pub use folder::ForeignFolder;

/// A tool whose folders are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// `almenscorner/IntuneCD`, JSON or YAML.
    IntuneCd,
    /// `Micke-K/IntuneManagement`.
    IntuneManagement,
    /// `jseerden/IntuneBackupAndRestore`.
    IntuneBackupAndRestore,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::IntuneCd, Self::IntuneManagement, Self::IntuneBackupAndRestore];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IntuneCd => "intunecd",
            Self::IntuneManagement => "intune_management",
            Self::IntuneBackupAndRestore => "intune_backup_and_restore",
        }
    }

    /// Its name for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::IntuneCd => "IntuneCD",
            Self::IntuneManagement => "IntuneManagement",
            Self::IntuneBackupAndRestore => "IntuneBackupAndRestore",
        }
    }
}

/// A policy as a tool has saved it.
///
/// **Its secrets are NOT taken out.** These tools save passwords, keys and tokens in clear. Whoever stores
/// or shows any of it must first give `object` to [`tp_catalog::secrets::redact`], as a capture does. It
/// has no `Debug` for that reason.
pub struct ForeignPolicy {
    /// Its type.
    pub policy_type: PolicyType,
    /// Its id in the tenant that it was read from; none where the tool does not keep it. `object` has it
    /// as well.
    pub id: Option<String>,
    /// Its name; of the file, where the object has none.
    pub name: String,
    /// The object with its parts. NOT redacted.
    pub object: Json,
    /// Its assignments; none where the type has none or the tool has saved none, which is not the same as
    /// being assigned to nobody.
    pub assignments: Option<Vec<Json>>,
    /// Names of what it refers to, as far as the folder tells.
    pub names: ReferenceNames,
    /// What is not as a capture would have it.
    pub remarks: Vec<Remark>,
    /// The files that it was made of.
    pub files: Vec<String>,
}

impl ForeignPolicy {
    /// Puts ids where the tool has left names. `id_of` is asked with the kind of what is referred to (a
    /// policy type's key, `group` among them) and its name; it must answer only where that name stands for
    /// one object. What it does not know stays as it is, with its remark.
    pub fn fill(&mut self, id_of: &mut dyn FnMut(&str, &str) -> Option<String>) {
        let Self { object, assignments, names, remarks, .. } = self;
        remarks.retain(|remark| {
            let Remark::NameForId { at, kind, name } = remark else { return true };
            let Some(id) = id_of(kind, name) else { return true };
            let place = match (at.strip_prefix("/assignments/"), assignments.as_mut()) {
                (Some(rest), Some(all)) => {
                    let (index, rest) = rest.split_once('/').unwrap_or((rest, ""));
                    let one = index.parse().ok().and_then(|index: usize| all.get_mut(index));
                    one.and_then(|one| one.pointer_mut(&format!("/{rest}")))
                }
                _ => object.pointer_mut(at),
            };
            let Some(place) = place else { return true };
            names.0.entry(kind.clone()).or_default().insert(id.to_lowercase(), name.clone());
            *place = Json::from(id);
            false
        });
    }
}

/// Something of a policy that is not as a capture would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// A name stands where Graph has an id, and the folder does not tell which.
    NameForId {
        /// Where (RFC 6901), in the object with `assignments`.
        at: String,
        /// What is referred to.
        kind: String,
        /// The name, which stands at that place. Text of a stranger.
        name: String,
    },
    /// A reference whose id and name are both lost: a group that had been deleted, for one.
    ReferenceLost {
        /// Where it would stand.
        at: String,
    },
    /// A part that the type has and the tool does not save.
    PartNotSaved {
        /// The part's name in the contract.
        part: String,
    },
    /// Something that belongs to another object, saved inside this one in a form that says too little.
    LeftOut {
        /// The member.
        member: String,
    },
    /// A value that the tool has cut off: only the name of its type stands there.
    CutOff {
        /// Where.
        at: String,
    },
}

macro_rules! reasons {
    ($($(#[$meta:meta])* $name:ident => $word:literal, $loses:literal, $sentence:literal;)+) => {
        /// Why a file became no policy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Why { $($(#[$meta])* $name,)+ }

        impl Why {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// Whether something that belongs in a backup may be lost with it.
            pub const fn loses(self) -> bool {
                match self { $(Self::$name => $loses,)+ }
            }

            /// One sentence for people.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)+ }
            }
        }
    };
}

reasons! {
    /// A script or a picture that a policy holds too.
    Copy => "copy", false, "What it holds is in a policy as well.";
    /// A table of names, or a group.
    Names => "names_only", false, "Only names were taken from it; groups are not restored.";
    /// A text for people.
    Report => "report", false, "The tool made it for people to read.";
    /// What the tool had put aside as removed.
    Archived => "archived", false, "The tool had put it aside: it was no longer in the tenant.";
    /// A file that is not of the tool.
    NotOfTheTool => "not_of_the_tool", false, "It is no file that the tool makes.";
    /// A script that no policy holds.
    ScriptDiffers => "script_differs", true, "No policy of the folder holds this text: it was changed, or its policy is not here.";
    /// A type that is not known here.
    NotCovered => "type_not_covered", true, "This program has no policy type for it.";
    /// The folder is known and the object is none of its types.
    TypeUnknown => "type_unknown", true, "It is none of the types that belong in this folder.";
    /// The same policy was in a file before.
    SamePolicy => "same_policy", true, "A file before it holds the policy of the same id.";
    /// Assignments or settings without their policy.
    WithoutPolicy => "without_policy", true, "The policy that it belongs to is not here or could not be read.";
    /// Neither UTF-8 nor UTF-16.
    NotText => "not_text", true, "It is no text in UTF-8 or UTF-16.";
    /// No JSON.
    NotJson => "not_json", true, "It is no JSON.";
    /// No YAML, or YAML that stands for more than JSON.
    NotYaml => "not_yaml", true, "It is no YAML of the kind that stands for JSON.";
    /// Aliases that stand for too much.
    TooLarge => "too_large", true, "Its aliases stand for more than any policy holds.";
    /// Too many levels.
    TooDeep => "too_deep", true, "It is nested too deep.";
    /// A number beyond all use.
    NumberTooLarge => "number_too_large", true, "A number has more digits than any policy needs.";
    /// Not an object where one belongs.
    NoObject => "no_object", true, "It holds no object.";
}

/// A file that became no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftFile {
    /// Its path in the archive. Text of a stranger.
    pub path: String,
    /// Why.
    pub why: Why,
}

/// What comes next of a folder.
pub enum Found {
    /// A policy.
    Policy(Box<ForeignPolicy>),
    /// A file that is none.
    Left(LeftFile),
}

/// The tenant that a folder was made of, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignTenant {
    /// Its Entra tenant id. Text of a stranger.
    pub id: String,
    /// Its name. Text of a stranger.
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_unique() {
        let words: HashSet<&str> = Why::ALL.iter().map(|why| why.as_str()).collect();
        assert_eq!(words.len(), Why::ALL.len());
    }
}
