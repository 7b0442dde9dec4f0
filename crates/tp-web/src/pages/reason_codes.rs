//! The reason codes: what each means and what to do. Made from the one table.

use axum::extract::{Path, State};
use maud::{Markup, html};
use tp_domain::reason::{FixedBy, ReasonCode, RetryClass};

use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::error::WebError;
use crate::extract::SignedIn;
use crate::paths;

const fn who(fixed_by: FixedBy) -> &'static str {
    match fixed_by {
        FixedBy::EntraAdministrator => "An administrator of the tenant in Microsoft Entra",
        FixedBy::TenantManager => "Whoever manages the tenant in TenantPilot",
        FixedBy::Operator => "Whoever runs TenantPilot",
        FixedBy::Waiting => "Nobody: time helps",
    }
}

pub(crate) async fn list(
    SignedIn(actor): SignedIn,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, &actor).await?;
    let body = html! {
        div.head { div { h1 { "Reason codes" } p.sub { "Stable codes for whatever did not go as asked." } } }
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Reason codes" }
            thead { tr { th scope="col" { "Code" } th scope="col" { "What happened" } th scope="col" { "What to do" } } }
            tbody { @for code in ReasonCode::ALL { tr {
                td data-l="Code" { a.mono href=(paths::reason_code(code.as_str())) { (code) } }
                td data-l="What happened" { (code.text().sentence) }
                td data-l="What to do" { (code.text().advice) }
            } } }
        } }
    };
    Ok(shell.render(&Page {
        title: "Reason codes",
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body,
    }))
}

pub(crate) async fn show(
    SignedIn(actor): SignedIn,
    Path(code): Path<String>,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let code: ReasonCode = code.parse().map_err(|_| WebError::NotFound)?;
    let shell = Shell::of(&app, &actor).await?;
    let text = code.text();
    let body = html! {
        nav.crumbs aria-label="Breadcrumb" { ol { li { a href="/docs/reason-codes" { "Reason codes" } } li aria-current="page" { (code) } } }
        h1.mono { (code) }
        p { (text.sentence) }
        dl.facts {
            dt { "What to do" } dd { (text.advice) }
            dt { "Who can" } dd { (who(text.fixed_by)) }
            dt { "Tried again by itself" } dd { @if text.retry == RetryClass::Transient { "Yes, while the run has tries left" } @else { "No: something must change first" } }
        }
        p { a href={ "/operations?reason=" (code) } { "Operations with this reason" } }
    };
    Ok(shell.render(&Page {
        title: code.as_str(),
        place: Place::Fleet,
        tenant: None,
        synced_at: None,
        body,
    }))
}
