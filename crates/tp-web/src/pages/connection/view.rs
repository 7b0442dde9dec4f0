//! What the connection's page shows.

use maud::{Markup, html};
use tp_catalog::permission_check::{PermissionCheck, PermissionLine, Purpose, Standing};
use tp_domain::access::{Capability, ViewTenant};
use tp_domain::connection::{ConnectionReport, CredentialFacts, Expiry, Finding, Found};
use tp_store::{ConnectionView, TenantScope};

use super::forms;
use crate::app::App;
use crate::components::connection::{codes, ends, kind_word, permission};
use crate::components::layout::Shell;
use crate::components::{chip, off, time, why};
use crate::pages::consent;
use crate::query::Pairs;
use crate::{format, paths};

/// A connection, seen by somebody.
pub(super) struct Seen<'a> {
    pub(super) app: &'a App,
    pub(super) scope: &'a TenantScope<ViewTenant>,
    pub(super) shell: &'a Shell,
    pub(super) known: &'a ConnectionView,
    pub(super) check: &'a PermissionCheck,
}

impl Seen<'_> {
    pub(super) fn page(&self, pairs: &Pairs, started: Markup, wrong: Option<&str>) -> Markup {
        let tenant = self.scope.tenant();
        html! {
            @if let Some(wrong) = wrong { div.banner.bad role="alert" { p { (wrong) } } }
            (done(pairs))
            (consent::banner(pairs))
            (started)
            (self.warning())
            div.head {
                div {
                    h1 { "Connection" }
                    p.sub { @if let Some(domain) = &tenant.domain { (format::shown(domain)) " · " } span.mono { (tenant.entra_tenant_id) } " · cloud " (tenant.cloud) }
                }
                div.actions { (self.check_button()) }
            }
            (self.findings())
            h2 id="permissions" { "Permissions" }
            (self.summary())
            (self.table(Purpose::Backup, "To read: inventory, backups, drift"))
            (self.excess())
            (self.restores())
            (self.walls())
            h2 { "Credential" }
            div.split {
                section { (forms::part(self)) }
                section { (self.facts()) }
            }
        }
    }

    pub(super) fn may(&self, capability: Capability) -> bool {
        self.scope.may(capability)
    }

    fn warning(&self) -> Markup {
        let Some(active) = &self.known.active else {
            return html! { div.banner.warn role="status" { p { "Not connected: there is no credential, so nothing can be read. Set one below." } } };
        };
        let now = self.shell.now;
        match (active.expiry(now), active.expires_at) {
            (Expiry::Soon { .. }, Some(end)) => html! {
                div.banner.warn role="status" { p { strong { (ends(active, now)) } ", on " (format::absolute(end)) ". Make a new one and replace it below: runs fail after that." } }
            },
            (Expiry::Over, Some(end)) => html! {
                div.banner.bad role="status" { p { strong { (ends(active, now)) } " on " (format::absolute(end)) ". Runs cannot sign in until it is replaced." } }
            },
            _ => html! {},
        }
    }

    fn check_button(&self) -> Markup {
        let label = if self.known.report.is_some() { "Check again" } else { "Check now" };
        if !self.may(Capability::OperationsStart) {
            return html! {
                (why("why-check", "Checking needs the capability operations.start. Ask an owner or a manager."))
                (off("button", "why-check", &html! { (label) }))
            };
        }
        if self.known.active.is_none() {
            return html! {
                (why("why-check", "There is nothing to sign in with yet."))
                (off("button", "why-check", &html! { (label) }))
            };
        }
        html! {
            form method="post" action={ (paths::connection(self.scope.tenant())) "/check" } {
                (self.shell.csrf())
                button.button.primary type="submit" { (label) }
            }
        }
    }

    fn findings(&self) -> Markup {
        let Some(report) = &self.known.report else {
            return html! { p.muted { "Nobody has checked this connection yet. A check signs in and says what works; it changes nothing in the tenant." } };
        };
        let run = paths::operation(self.scope.tenant(), report.run);
        html! {
            p.muted.small { "Checked " (time(report.checked_at, self.shell.now)) " · " a href=(run) { "View run" } }
            div.cards {
                (card("Sign-in", &found(&report.token, "Signed in", "Refused"), &sign_in_words(report)))
                (card("Consent", &found(&report.consent, "Given", "Missing"), &consent_words(report)))
                (card("Access", &self.access_chip(), &html! { (self.access_words()) }))
                (card("Licence", &found(&report.licence, "Intune", "No Intune licence"), &plans(report)))
                (card("Multi Admin Approval", &approval_chip(&report.approval), &approval_words(report)))
            }
        }
    }

    fn access_chip(&self) -> Markup {
        if self.known.granted.is_none() {
            chip::unknown("Not known")
        } else if self.check.can_write() {
            chip::warn("Reads and writes")
        } else {
            chip::good("Read only")
        }
    }

    fn access_words(&self) -> &'static str {
        if self.known.granted.is_none() {
            "What the app may do shows after a sign-in."
        } else if self.check.can_write() {
            "It can change things in the tenant. Without restores, take those permissions away."
        } else {
            "It cannot change anything in the tenant. Restores need more, in a second step."
        }
    }

    fn summary(&self) -> Markup {
        let check = self.check;
        if self.known.granted.is_none() {
            return html! { p.muted { "What the app needs. What it was granted shows after a check." } };
        }
        let (held, missing) = (check.held(Purpose::Backup), check.missing(Purpose::Backup));
        html! {
            p {
                (chip::good(&format!("{held} granted"))) " "
                @if missing > 0 { (chip::bad(&format!("{missing} missing"))) " " }
                @if !check.excess.is_empty() { (chip::warn(&format!("{} more than needed", check.excess.len()))) }
                @if let Some(at) = self.known.granted_at { " " span.muted.small { "By the token of " (time(at, self.shell.now)) } }
            }
        }
    }

    fn table(&self, purpose: Purpose, caption: &str) -> Markup {
        let lines = self.check.lines.iter().filter(|line| line.purpose == purpose);
        html! {
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { (caption) }
                thead { tr { th scope="col" { "Permission" } th scope="col" { "State" } th scope="col" { "Needed for" } th scope="col" { "Without it" } } }
                tbody { @for line in lines { (row(line)) } }
            } }
        }
    }

    fn excess(&self) -> Markup {
        if self.check.excess.is_empty() {
            return html! {};
        }
        html! {
            h2 { "More than needed" }
            div.table-wrap { table.cards-on-mobile {
                caption.visually-hidden { "Permissions that are more than needed" }
                thead { tr { th scope="col" { "Permission" } th scope="col" { "State" } th scope="col" { "What to do" } } }
                tbody { @for one in &self.check.excess { tr {
                    td data-l="Permission" { (permission(&one.permission)) }
                    td data-l="State" { span { (chip::excess()) } }
                    td data-l="What to do" { (one.sentence()) }
                } } }
            } }
        }
    }

    fn restores(&self) -> Markup {
        html! {
            details {
                summary { "Permissions that restores need, beside those for reading" }
                p.muted.small { "A connection that only watches and backs up needs none of these. Grant those of the families that you want to restore." }
                (self.table(Purpose::Restore, "To write: restores"))
            }
        }
    }

    fn walls(&self) -> Markup {
        let check = self.check;
        let list = |title: &str, names: &[String]| {
            html! { @if !names.is_empty() { dt { (title) } dd { (names.join(", ")) } } }
        };
        html! {
            details {
                summary { "What no permission opens to an app" }
                dl.facts {
                    (list("Cannot be read", &check.unreadable))
                    (list("Cannot be written", &check.unwritable))
                    (list("Writing may be refused", &check.unproved))
                }
                p.small { a href=(paths::policy_types(Some(self.scope.tenant()))) { "What works here, by policy type" } }
            }
        }
    }

    fn facts(&self) -> Markup {
        let now = self.shell.now;
        let tenant = self.scope.tenant();
        html! {
            dl.facts {
                dt { "App registration" } dd { @match &self.known.client_id { Some(id) => span.mono { (format::shown(id)) }, None => "None" } }
                @match &self.known.active {
                    None => { dt { "Signs in with" } dd { "Nothing" } },
                    Some(active) => {
                        dt { "Signs in with" } dd { (kind_word(active.kind)) }
                        (credential(active, now))
                    },
                }
                @if self.known.active.as_ref().is_some_and(|active| active.thumbprint.is_some()) {
                    dt { "Public part" } dd { a href={ (paths::connection(tenant)) "/certificate?which=active" } { "Download certificate" } }
                }
            }
        }
    }
}

fn sign_in_words(report: &ConnectionReport) -> Markup {
    html! {
        @if let Some(kind) = report.credential { "With the " (kind_word(kind).to_lowercase()) ". " }
        (reason(&report.token))
    }
}

fn consent_words(report: &ConnectionReport) -> Markup {
    html! {
        @match (&report.consent.found, &report.granted) {
            (Found::Yes, Some(granted)) => { (granted.len()) " permissions" },
            (Found::Yes, None) => "The token does not say which permissions it carries.",
            _ => (reason(&report.consent)),
        }
    }
}

/// When a credential was set, by whom, and when it ends.
pub(super) fn credential(facts: &CredentialFacts, now: tp_domain::time::Timestamp) -> Markup {
    html! {
        dt { "Ends" } dd { @match facts.expires_at { Some(end) => { (time(end, now)) " · " (format::absolute(end)) }, None => "Nobody has said when: no warning can be given" } }
        @if let Some(print) = &facts.thumbprint { dt { "Thumbprint (SHA-256)" } dd { span.mono { (print) } } }
        dt { "Stored" } dd { (time(facts.set_at, now)) @if !facts.set_by.is_empty() { " by " (format::shown(&facts.set_by)) } }
    }
}

fn card(title: &str, chip: &Markup, words: &Markup) -> Markup {
    html! { section.card { h2 { (title) } p { (chip) } p.small.muted { (words) } } }
}

fn found(finding: &Finding, yes: &str, no: &str) -> Markup {
    match finding.found {
        Found::Yes => chip::good(yes),
        Found::No => chip::bad(no),
        Found::Unknown => chip::unknown("Not known"),
    }
}

/// Why something is not, or is not known.
fn reason(finding: &Finding) -> Markup {
    html! {
        @if let Some(needs) = &finding.needs { "Needs " code { (format::shown(needs)) } "." }
        @else if let Some(reason) = finding.reason {
            (reason.text().sentence) " " a.mono href=(paths::reason_code(reason.as_str())) { (reason.as_str()) }
        }
    }
}

fn plans(report: &ConnectionReport) -> Markup {
    html! { @if report.plans.is_empty() { (reason(&report.licence)) } @else { (codes(&report.plans)) } }
}

fn approval_chip(finding: &Finding) -> Markup {
    match finding.found {
        Found::Yes => chip::warn("On"),
        Found::No => chip::plain("Off"),
        Found::Unknown => chip::unknown("Not known"),
    }
}

/// Intune's words for what an approval is needed for.
fn approved(word: &str) -> &'static str {
    match word {
        "app" => "apps",
        "script" => "scripts",
        "role" => "roles",
        "tenantConfiguration" => "tenant configuration",
        "deviceWipe" | "deviceRetire" | "deviceDelete" | "deviceDeprovision" => "device actions",
        _ => "other policies",
    }
}

fn approval_words(report: &ConnectionReport) -> Markup {
    let mut words: Vec<&str> = report.approval_for.iter().map(|word| approved(word)).collect();
    words.sort_unstable();
    words.dedup();
    html! {
        @match report.approval.found {
            Found::Yes => { "Restores of these wait for a second administrator in Intune: " (words.join(", ")) "." },
            Found::No => "Restores are not held up in Intune.",
            Found::Unknown => (reason(&report.approval)),
        }
    }
}

fn row(line: &PermissionLine) -> Markup {
    let lacking = line.standing == Standing::Missing;
    html! {
        tr {
            td data-l="Permission" { (permission(&line.permission)) }
            td data-l="State" { div {
                (chip::standing(&line.standing, line.purpose))
                @if let Standing::Covered { by } = &line.standing { br; span.small.muted { "by " (permission(by)) } }
            } }
            td data-l="Needed for" { div {
                (line.features.join(", "))
                details.types { summary.small { (count(line.types.len())) } p.small { (line.types.join(", ")) } }
            } }
            td data-l="Without it" { @if lacking { strong { (line.without()) } } @else { span.muted { (line.without()) } } }
        }
    }
}

fn count(types: usize) -> String {
    if types == 1 { "1 policy type".to_owned() } else { format!("{types} policy types") }
}

/// What was done, after it was done.
fn done(pairs: &Pairs) -> Markup {
    let words = match pairs.get("done") {
        Some("secret") => {
            "The client secret was replaced. Check the connection to see that it works."
        }
        Some("certificate") => {
            "The certificate was replaced. Check the connection to see that it works."
        }
        Some("made") => {
            "A key pair was made. Give its certificate to the app registration, then use it."
        }
        Some("used") => {
            "The new certificate is signed in with from now on. Check the connection to see that it works."
        }
        Some("discarded") => "The key pair was thrown away.",
        _ => return html! {},
    };
    html! { div.banner.good role="status" { p { (words) } } }
}
