//! Parts that pages are made of: plain functions that give HTML.

pub(crate) mod chip;
pub(crate) mod icon;
pub(crate) mod layout;
pub(crate) mod run;
pub(crate) mod table;

use maud::{Markup, html};
use tp_domain::time::Timestamp;

use crate::format;

/// A moment: relative for reading, absolute on hover, exact for machines.
pub(crate) fn time(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at.rfc3339()) title=(format::absolute(at)) { (format::relative(at, now)) } }
}

/// What stands where a list has nothing.
pub(crate) fn empty(title: &str, text: &str, action: Option<Markup>) -> Markup {
    html! {
        div.empty {
            h2 { (title) }
            p { (text) }
            @if let Some(action) = action { (action) }
        }
    }
}
