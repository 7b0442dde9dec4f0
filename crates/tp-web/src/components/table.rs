//! Pieces of lists: sort links, pagers, filter chips.

use maud::{Markup, html};

use crate::query::Pairs;

/// A chip that takes one filter away, and chips for values that were ignored.
pub(crate) fn chips(
    path: &str,
    pairs: &Pairs,
    names: &[(&str, &str)],
    ignored: &[(String, String)],
) -> Markup {
    let active: Vec<(&str, &(String, String))> = pairs
        .0
        .iter()
        .filter(|pair| !ignored.contains(pair))
        .filter_map(|pair| {
            names.iter().find(|(name, _)| *name == pair.0).map(|(_, label)| (*label, pair))
        })
        .collect();
    if active.is_empty() && ignored.is_empty() {
        return html! {};
    }
    html! {
        ul.chips aria-label="Active filters" {
            @for (label, (name, value)) in active {
                li {
                    a.filter-chip href=(pairs.without_pair(name, value).without(&["cursor", "page"]).link(path)) {
                        (label) ": " (crate::format::shown(value))
                        span aria-hidden="true" { "×" }
                        span.visually-hidden { "Remove this filter" }
                    }
                }
            }
            @for (name, value) in ignored {
                li { span.filter-chip.ignored { "ignored: " (crate::format::shown(name)) "=" (crate::format::shown(value)) } }
            }
            li { a href=(path) { "Clear filters" } }
        }
    }
}

/// A column head that sorts by a link.
pub(crate) fn sort_head(
    label: &str,
    path: &str,
    pairs: &Pairs,
    current: &str,
    up: &str,
    down: &str,
) -> Markup {
    let (next, mark, order) = if current == up {
        (down, " ↑", "ascending")
    } else if current == down {
        (up, " ↓", "descending")
    } else {
        (up, "", "none")
    };
    html! {
        th scope="col" aria-sort=(order) {
            a href=(pairs.without(&["cursor", "page"]).with("sort", next).link(path)) { (label) (mark) }
        }
    }
}
