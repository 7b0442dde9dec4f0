//! How a tenant's connection stands, in one chip; and the words that its pages share.

use maud::{Markup, html};
use tp_catalog::permission_check::{Purpose, permission_check};
use tp_domain::connection::{CredentialFacts, CredentialKind, Expiry, Found};
use tp_domain::tenant::Tenant;
use tp_domain::time::Timestamp;
use tp_store::ConnectionView;

use super::chip;
use crate::app::App;
use crate::format;

/// What a credential is called.
pub(crate) const fn kind_word(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Secret => "Client secret",
        CredentialKind::Certificate => "Certificate",
    }
}

/// When a credential ends, in words: for chips and sentences.
pub(crate) fn ends(facts: &CredentialFacts, now: Timestamp) -> String {
    let what = kind_word(facts.kind);
    match facts.expiry(now) {
        Expiry::NotSaid | Expiry::Holds => what.to_owned(),
        Expiry::Soon { days: 0 } => format!("{what} ends within a day"),
        Expiry::Soon { days: 1 } => format!("{what} ends in 1 day"),
        Expiry::Soon { days } => format!("{what} ends in {days} days"),
        Expiry::Over => format!("{what} has ended"),
    }
}

/// The one chip: the worst that is known.
pub(crate) fn health(app: &App, tenant: &Tenant, view: &ConnectionView, now: Timestamp) -> Markup {
    let Some(active) = view.active.as_ref().filter(|_| tenant.client_id.is_some()) else {
        return chip::plain("Not connected");
    };
    let expiry = active.expiry(now);
    if expiry == Expiry::Over {
        return chip::bad(&ends(active, now));
    }
    let Some(report) = &view.report else {
        return if matches!(expiry, Expiry::Soon { .. }) {
            chip::warn(&ends(active, now))
        } else {
            chip::unknown("Not checked yet")
        };
    };
    if report.token.found == Found::No {
        return chip::bad("Sign-in refused");
    }
    if report.consent.found == Found::No {
        return chip::bad("No consent");
    }
    if matches!(expiry, Expiry::Soon { .. }) {
        return chip::warn(&ends(active, now));
    }
    let check = permission_check(&app.catalog, view.granted.as_deref());
    match check.missing(Purpose::Backup) {
        0 => chip::good("Healthy"),
        1 => chip::warn("1 permission missing"),
        count => chip::warn(&format!("{count} permissions missing")),
    }
}

/// A list of names in code, or a dash.
pub(crate) fn codes(names: &[String]) -> Markup {
    html! {
        @if names.is_empty() { "–" }
        @for (index, name) in names.iter().enumerate() {
            @if index > 0 { ", " }
            (permission(name))
        }
    }
}

/// The name of a permission. It breaks behind its dots, not in the middle of a word.
pub(crate) fn permission(name: &str) -> Markup {
    let name = format::shown(name);
    html! { code { @for part in name.split_inclusive('.') { (part) wbr; } } }
}
