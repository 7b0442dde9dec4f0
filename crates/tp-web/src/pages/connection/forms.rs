//! The forms that replace a credential, and the links to the consent page.

use maud::{Markup, html};
use tp_domain::access::Capability;
use tp_domain::connection::CredentialFacts;

use super::view::{Seen, credential};
use crate::components::{off, why};
use crate::pages::consent;
use crate::paths;

const WHY: &str = "why-rotate";
const NEEDS: &str =
    "Replacing it needs the capability tenant.credentials.rotate. Ask an owner or a manager.";

/// Where the forms go.
fn action(seen: &Seen<'_>, what: &str) -> String {
    format!("{}/{what}", paths::connection(seen.scope.tenant()))
}

pub(super) fn part(seen: &Seen<'_>) -> Markup {
    let may = seen.may(Capability::TenantCredentialsRotate);
    html! {
        @if !may { p { (why(WHY, NEEDS)) } }
        @if let Some(pending) = &seen.known.pending { (waiting(seen, pending, may)) }
        (making(seen, may))
        (certificate(seen, may))
        (secret(seen, may))
        h2 { "Consent" }
        (consent_part(seen))
    }
}

/// The field that names the app; needed while there is none.
fn client_field(seen: &Seen<'_>, id: &str) -> Markup {
    let known = seen.known.client_id.as_deref().unwrap_or_default();
    html! {
        div.field {
            label for=(id) { "Client id of the app registration" }
            input type="text" id=(id) name="client_id" value=(known) autocomplete="off" spellcheck="false" maxlength="64" required;
        }
    }
}

fn button(may: bool, label: &str, primary: bool) -> Markup {
    let class = if primary { "button primary" } else { "button" };
    html! {
        @if may { button class=(class) type="submit" { (label) } } @else { (off("button", WHY, &html! { (label) })) }
    }
}

/// A key pair that was made here and is not used yet.
fn waiting(seen: &Seen<'_>, pending: &CredentialFacts, may: bool) -> Markup {
    html! {
        div.banner.warn { div {
            p { strong { "A new key pair waits." } " 1. Download its certificate. 2. Add it to the app registration in Microsoft Entra, under “Certificates & secrets”. 3. Use it here." }
            dl.facts { (credential(pending, seen.shell.now)) }
        } }
        div.actions {
            a.button href=(action(seen, "certificate?which=pending")) { "Download certificate" }
            form method="post" action=(action(seen, "certificate/use")) { (seen.shell.csrf()) (button(may, "Use it now", true)) }
            form method="post" action=(action(seen, "certificate/discard")) { (seen.shell.csrf()) (button(may, "Throw it away", false)) }
        }
    }
}

/// The private key never leaves: what is proposed first.
fn making(seen: &Seen<'_>, may: bool) -> Markup {
    let label =
        if seen.known.pending.is_some() { "Make another in its place" } else { "Make a key pair" };
    html! {
        details open[seen.known.active.is_none() && seen.known.pending.is_none()] {
            summary { "New key pair, made here (recommended)" }
            p.muted.small { "The private key is made and sealed here and leaves never; you get the certificate for the app registration. What is signed in with now stays until you switch." }
            form.stack method="post" action=(action(seen, "certificate/make")) {
                (seen.shell.csrf())
                fieldset disabled[!may] { (client_field(seen, "client-make")) }
                div.actions { (button(may, label, false)) }
            }
        }
    }
}

fn certificate(seen: &Seen<'_>, may: bool) -> Markup {
    html! {
        details {
            summary { "Certificate of your own" }
            p.muted.small { "The certificate and its private key in PEM form, RSA with at least 2048 bits. It takes the place of the credential now in use." }
            form.stack method="post" action=(action(seen, "certificate")) {
                (seen.shell.csrf())
                fieldset disabled[!may] {
                    (client_field(seen, "client-certificate"))
                    div.field {
                        label for="certificate-pem" { "Certificate and private key" }
                        textarea id="certificate-pem" name="certificate_pem" rows="8" spellcheck="false" autocomplete="off" required {}
                    }
                }
                div.actions { (button(may, "Replace by this certificate", false)) }
            }
        }
    }
}

fn secret(seen: &Seen<'_>, may: bool) -> Markup {
    html! {
        details {
            summary { "Client secret" }
            p.muted.small { "A certificate is safer: nobody can copy it from a chat or a ticket. The secret takes the place of the credential now in use and is never shown again." }
            form.stack method="post" action=(action(seen, "secret")) {
                (seen.shell.csrf())
                fieldset disabled[!may] {
                    (client_field(seen, "client-secret-of"))
                    div.field {
                        label for="client-secret" { "Value of the secret" }
                        input type="password" id="client-secret" name="client_secret" autocomplete="new-password" required;
                    }
                    div.field {
                        label for="expires-on" { "Ends on" }
                        input type="date" id="expires-on" name="expires_on" aria-describedby="help-expires-on";
                        p.muted.small id="help-expires-on" { "As Entra shows it. Microsoft does not tell an app when its secret ends: without this date no warning can be given." }
                    }
                }
                div.actions { (button(may, "Replace by this secret", false)) }
            }
        }
    }
}

fn consent_part(seen: &Seen<'_>) -> Markup {
    let tenant = seen.scope.tenant();
    let link = consent::link(seen.app, tenant, seen.known.client_id.as_deref(), None);
    let Some(link) = link else {
        return html! { p.muted { "There is an admin-consent link as soon as there is an app registration." } };
    };
    let may = seen.may(Capability::TenantManage);
    html! {
        p.muted { "An administrator of the tenant consents to the app once, and again when its permissions change. The app registration must list " code { (crate::api::absolute(seen.app, paths::CONSENT_CALLBACK)) } " as a redirect address." }
        div.actions {
            @if may {
                form method="post" action=(action(seen, "consent")) { (seen.shell.csrf()) button.button type="submit" { "Consent now" } }
            } @else {
                (why("why-consent", "Asking for consent needs the capability tenant.manage."))
                (off("button", "why-consent", &html! { "Consent now" }))
            }
            button.button type="button" data-copy=(link) hidden { "Copy admin-consent link" }
        }
        details {
            summary { "Link for the customer's administrator" }
            p.muted.small { "It can be sent on: it holds no secret, and using it changes nothing here. Check the connection afterwards." }
            p { a.mono href=(link) rel="noreferrer" { (link) } }
        }
    }
}
