//! Which tool has made a folder, and where in the archive it lies.

use std::collections::BTreeMap;

use super::places::{self, Holds};
use super::{Tool, text};

/// How deep in the archive the backup may lie.
const DEEPEST: usize = 4;

/// The file in which `IntuneManagement` keeps names of groups and users.
pub(super) const MIGRATION_TABLE: &str = "MigrationTable.json";

/// A backup of a tool, and the folder that holds it: empty, or with `/` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recognised {
    pub(super) tool: Tool,
    pub(super) base: String,
    /// A file that decides between two tools whose folders have the same names here.
    pub(super) doubt: Option<String>,
}

/// Recognises a tool by the folders that hold files of it: the most files win.
pub(super) fn recognise(paths: &[&str]) -> Option<Recognised> {
    let mut scores: BTreeMap<(&str, u8), usize> = BTreeMap::new();
    for path in paths {
        let mut starts = vec![0];
        starts.extend(path.match_indices('/').map(|(at, _)| at + 1));
        // Of the folders, not of the file.
        let last = starts.last().copied().unwrap_or_default();
        for start in starts.iter().copied().take(DEEPEST + 1).filter(|start| *start <= last) {
            let base = &path[..start];
            for tool in Tool::ALL {
                if is_of(tool, &path[start..]) {
                    *scores.entry((base, rank(tool))).or_default() += 1;
                }
            }
        }
    }
    // Of equals the one that lies higher, and then the first of the tools.
    let best = scores
        .iter()
        .min_by_key(|((base, tool), score)| (std::cmp::Reverse(**score), base.len(), *tool));
    let ((base, tool), score) = best?;
    let tied = scores.get(&(*base, rank(Tool::IntuneBackupAndRestore))) == Some(score);
    let doubt = (tied && *tool == rank(Tool::IntuneCd)).then(|| {
        paths.iter().find(|path| {
            path.strip_prefix(base).is_some_and(|rest| is_of(Tool::IntuneBackupAndRestore, rest))
        })
    });
    let tool = Tool::ALL.into_iter().find(|one| rank(*one) == *tool)?;
    Some(Recognised {
        tool,
        base: (*base).to_owned(),
        doubt: doubt.flatten().map(|path| (*path).to_owned()),
    })
}

const fn rank(tool: Tool) -> u8 {
    match tool {
        Tool::IntuneCd => 0,
        Tool::IntuneManagement => 1,
        Tool::IntuneBackupAndRestore => 2,
    }
}

/// Whether a file lies where the tool would put it.
fn is_of(tool: Tool, path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else {
        return tool == Tool::IntuneManagement && path == MIGRATION_TABLE;
    };
    let is_kind = text::is_value(name) && (tool == Tool::IntuneCd || !text::is_yaml(name));
    is_kind
        && places::find(tool, folder)
            .is_some_and(|place| matches!(place.holds, Holds::Objects(_) | Holds::Assignments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str]) -> Option<(Tool, String, bool)> {
        let found = recognise(paths)?;
        Some((found.tool, found.base, found.doubt.is_some()))
    }

    #[test]
    fn tools_are_told_by_their_folders() {
        let yes = |tool, base: &str, doubt| Some((tool, base.to_owned(), doubt));
        assert_eq!(of(&["a/Filters/x.yaml", "a/b.txt"]), yes(Tool::IntuneCd, "a/", false));
        assert_eq!(
            of(&["Contoso/SettingsCatalog/x.json"]),
            yes(Tool::IntuneManagement, "Contoso/", false)
        );
        assert_eq!(of(&["MigrationTable.json"]), yes(Tool::IntuneManagement, "", false));
        assert_eq!(of(&["Client Apps/x.json"]), yes(Tool::IntuneBackupAndRestore, "", false));
        let both = ["Device Configurations/x.json"];
        assert_eq!(of(&both), yes(Tool::IntuneCd, "", true));
        let with = ["Device Configurations/x.json", "Device Configurations/Assignments/x.json"];
        assert_eq!(of(&with), yes(Tool::IntuneBackupAndRestore, "", false));
        assert_eq!(of(&["readme.md", "policies/x.json", "a/b/c/d/e/Filters/x.json"]), None);
    }
}
