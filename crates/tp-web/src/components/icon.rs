//! Icons: own shapes, so that state never stands by colour alone.

use maud::{Markup, html};

/// A 16 × 16 line drawing.
fn icon(path: &str) -> Markup {
    html! { svg.icon viewBox="0 0 16 16" aria-hidden="true" focusable="false" { path d=(path); } }
}

pub(crate) fn clock() -> Markup {
    icon("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 5v3l2 1.5")
}

pub(crate) fn ring() -> Markup {
    icon("M14 8a6 6 0 1 1-4-5.6")
}

pub(crate) fn ring_alert() -> Markup {
    icon("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 5v4M8 11.2v.1")
}

pub(crate) fn tick() -> Markup {
    icon("M2.5 8.5 6.5 12.5 13.5 4")
}

pub(crate) fn triangle() -> Markup {
    icon("M8 2 15 14H1ZM8 6.5v3.5M8 12v.1")
}

pub(crate) fn cross() -> Markup {
    icon("M3.5 3.5l9 9M12.5 3.5l-9 9")
}

pub(crate) fn crossed() -> Markup {
    icon("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M4 4l8 8")
}

pub(crate) fn stop() -> Markup {
    icon("M5 2h6l3 3v6l-3 3H5l-3-3V5ZM5 8h6")
}

pub(crate) fn bars() -> Markup {
    icon("M5.5 3v10M10.5 3v10")
}

pub(crate) fn plus() -> Markup {
    icon("M8 3v10M3 8h10")
}

pub(crate) fn pin() -> Markup {
    icon("M6 2h4l-.5 5 2.5 2H4l2.5-2ZM8 9v5")
}

pub(crate) fn bell() -> Markup {
    icon("M4 11V7a4 4 0 0 1 8 0v4l1 1.5H3ZM6.7 14.2h2.6")
}

/// The mark of the product.
pub(crate) fn mark() -> Markup {
    html! { svg viewBox="0 0 20 20" aria-hidden="true" focusable="false" { path d="M10 1.5 17.5 18 10 14.2 2.5 18Z"; } }
}
