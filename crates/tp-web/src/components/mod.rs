//! Parts that pages are made of: plain functions that give HTML.

pub(crate) mod chip;
pub(crate) mod connection;
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

/// A control that this person may not use, or that cannot be used now. It stays in its place; `why` is
/// the id of the text that says the reason.
pub(crate) fn off(class: &str, why: &str, label: &Markup) -> Markup {
    html! {
        button class=(class) type="button" aria-disabled="true" aria-describedby=(why) { (label) }
    }
}

/// The reason that disabled controls point to.
pub(crate) fn why(id: &str, text: &str) -> Markup {
    html! { span.why id=(id) { (text) } }
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
