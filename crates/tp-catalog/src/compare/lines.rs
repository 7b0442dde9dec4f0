//! Which lines of two texts differ.

use serde::Serialize;
use similar::{Algorithm, ChangeTag};

use crate::words::cut;

/// Lines of both sides together that are compared; scripts in Intune have at most 200 KB.
const MOST_LINES: usize = 40_000;

/// Lines that are shown.
const MOST_SHOWN: usize = 2_000;

/// Letters of a line that are shown.
const MOST_LETTERS: usize = 1_000;

/// Equal lines that are shown around each difference.
const AROUND: usize = 3;

/// The lines that differ, with some around them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TextDiff {
    /// In the order of the text.
    pub lines: Vec<Line>,
    /// Lines that are on the right only.
    pub added: usize,
    /// Lines that are on the left only.
    pub removed: usize,
    /// Whether there is more than is shown here.
    pub cut: bool,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is.
    pub kind: LineKind,
    /// Its number on the left, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<usize>,
    /// Its number on the right, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<usize>,
    /// Its text without the end of the line.
    pub text: String,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// On both sides.
    Same,
    /// On the left only.
    Removed,
    /// On the right only.
    Added,
    /// Equal lines that are not shown stand here.
    Gap,
}

/// Whether two texts are the same but for the ends of their lines.
pub(super) fn differ_in_ends_only(left: &str, right: &str) -> bool {
    left.lines().eq(right.lines())
}

/// The lines that differ.
pub(super) fn lines(left: &str, right: &str) -> TextDiff {
    let count = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    if count(left) + count(right) > MOST_LINES {
        return TextDiff { cut: true, ..TextDiff::default() };
    }
    let diff = similar::TextDiff::configure().algorithm(Algorithm::Myers).diff_lines(left, right);
    let mut shown = TextDiff::default();
    let mut end = 0;
    for group in diff.grouped_ops(AROUND) {
        let begins = group.first().map_or(0, |op| op.old_range().start);
        if begins > end || (!shown.lines.is_empty()) {
            shown.push(LineKind::Gap, None, None, "");
        }
        end = group.last().map_or(end, |op| op.old_range().end);
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let kind = match change.tag() {
                ChangeTag::Equal => LineKind::Same,
                ChangeTag::Delete => LineKind::Removed,
                ChangeTag::Insert => LineKind::Added,
            };
            shown.removed += usize::from(kind == LineKind::Removed);
            shown.added += usize::from(kind == LineKind::Added);
            shown.push(kind, change.old_index(), change.new_index(), change.value());
        }
    }
    shown
}

impl TextDiff {
    fn push(&mut self, kind: LineKind, left: Option<usize>, right: Option<usize>, text: &str) {
        if self.lines.len() >= MOST_SHOWN {
            self.cut = true;
            return;
        }
        let text = cut(text.trim_end_matches(['\r', '\n']), MOST_LETTERS);
        let number = |index: Option<usize>| index.map(|index| index + 1);
        self.lines.push(Line { kind, left: number(left), right: number(right), text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(diff: &TextDiff) -> String {
        let mark = |kind| match kind {
            LineKind::Same => ' ',
            LineKind::Removed => '-',
            LineKind::Added => '+',
            LineKind::Gap => '…',
        };
        let drawn = |line: &Line| format!("{}{}\n", mark(line.kind), line.text);
        diff.lines.iter().map(drawn).collect::<Vec<_>>().concat()
    }

    #[test]
    fn differences_stand_among_the_lines_around_them() {
        let left = (1..=20).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
        let right = left.replace("line 10\n", "line ten\nline ten and a half\n");
        let diff = lines(&left, &right);
        assert_eq!(
            drawn(&diff),
            "…\n line 7\n line 8\n line 9\n-line 10\n+line ten\n+line ten and a half\n line 11\n \
             line 12\n line 13\n"
        );
        assert_eq!((diff.added, diff.removed, diff.cut), (2, 1, false));
        assert_eq!((diff.lines[4].left, diff.lines[4].right), (Some(10), None));
    }

    #[test]
    fn ends_of_lines_are_told_apart_from_their_text() {
        assert!(differ_in_ends_only("a\r\nb\r\n", "a\nb\n"));
        assert!(!differ_in_ends_only("a\nb", "a\nc"));
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let many = "x\n".repeat(MOST_LINES + 1);
        assert!(lines(&many, "y").cut);
        let left = (0..3_000).map(|number| format!("{number}\n")).collect::<Vec<_>>().concat();
        let diff = lines(&left, "");
        assert_eq!((diff.lines.len(), diff.removed, diff.cut), (MOST_SHOWN, 3_000, true));
        let wide = lines(&"é".repeat(100_000), "x");
        assert!(wide.lines.iter().all(|line| line.text.chars().count() <= MOST_LETTERS + 1));
    }
}
