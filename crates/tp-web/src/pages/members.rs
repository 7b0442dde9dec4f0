//! Members of the workspace, invitations, and who may do what (UX §1.14).

use std::collections::BTreeSet;

use axum::extract::{RawQuery, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tp_domain::access::{Capability, ManageMembers, Role, ViewMembers, ViewTenant};
use tp_domain::ids::{InvitationId, TenantId, UserId};
use tp_domain::member::{Invitation, Member, email};
use tp_domain::tenant::Tenant;
use tp_store::{
    FactorReset, INVITATION_LIFE, InvitationSecret, Invited, MemberChange, NewInvitation,
    WorkspaceScope,
};

use super::login::Nothing;
use crate::app::App;
use crate::components::layout::{Page, Place, Shell};
use crate::components::{chip, off, time, why};
use crate::error::WebError;
use crate::extract::{CsrfForm, Id, InWorkspace, RequestId};
use crate::query::Pairs;
use crate::{format, paths};

const WHY: &str = "why-members";

/// What stands here besides the members themselves.
struct Seen {
    members: Vec<Member>,
    /// Those whose account asks for a second factor; nobody is told who may not change members.
    factors: BTreeSet<UserId>,
    invitations: Vec<Invitation>,
    tenants: Vec<Tenant>,
    may: bool,
    me: UserId,
    here: String,
}

pub(crate) async fn show(
    InWorkspace(scope): InWorkspace<ViewMembers>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Markup, WebError> {
    page(&app, &scope, &Pairs::parse(query.as_deref()), None).await
}

async fn page(
    app: &App,
    scope: &WorkspaceScope<ViewMembers>,
    pairs: &Pairs,
    link: Option<(&str, &InvitationSecret)>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(app, scope.actor()).await?;
    let fleet = app.store.enter_fleet::<ViewTenant>(scope.actor())?;
    let may = scope.may(Capability::MembersManage);
    let seen = Seen {
        members: scope.member_list().await?,
        factors: if may { scope.member_factors().await? } else { BTreeSet::new() },
        invitations: scope.invitation_list().await?,
        tenants: fleet.tenant_list().await?.into_iter().map(|(tenant, _)| tenant).collect(),
        may,
        me: scope.actor().user(),
        here: paths::members(scope.id()),
    };
    let told = match pairs.get("done") {
        Some("role") => Some("The role is changed. It holds from the next request on."),
        Some("removed") => {
            Some("The member is removed, and their sessions and tokens here are ended.")
        }
        Some("factor") => Some(
            "The second factor is off, and the member's sessions are ended. The password is all that it takes now.",
        ),
        Some("revoked") => Some("The invitation is taken back."),
        _ => None,
    };
    let body = html! {
        div.head {
            div { h1 { "Members" } p.sub { (format::shown(scope.name())) " · " (format::number(u64::try_from(seen.members.len()).unwrap_or(0))) " people" } }
            div.actions { a.button href=(paths::roles()) { "Who may do what" } }
        }
        @if !seen.may { (why(WHY, "Changing members needs the capability members.manage. Ask an owner.")) }
        @if let Some(told) = told { div.banner.good role="status" { p { (told) } } }
        @if let Some((email, secret)) = link { (invited(app, email, secret)) }
        (member_table(&seen, &shell))
        h2 { "Invitations" }
        (invitation_part(&seen, &shell))
        h2 { "Invite somebody" }
        (invite_form(&seen, &shell))
    };
    Ok(shell.render(&Page {
        title: "Members",
        place: Place::Members,
        tenant: None,
        synced_at: None,
        body,
    }))
}

fn invited(app: &App, email: &str, secret: &InvitationSecret) -> Markup {
    let href = crate::api::absolute(app, &paths::invitation(secret.expose()));
    let days = INVITATION_LIFE.as_secs() / 86_400;
    html! {
        div.banner.good role="status" {
            p { "This link makes " (format::shown(email)) " a member. It is shown once, works once, and for " (days) " days. Send it to nobody else: " code { (href) } " "
                button.pill type="button" data-copy=(href) hidden { "Copy" } }
        }
    }
}

fn roles(chosen: Option<Role>) -> Markup {
    html! { @for role in Role::ALL { option value=(role) selected[chosen == Some(*role)] { (word(*role)) } } }
}

/// A role in words.
pub(crate) const fn word(role: Role) -> &'static str {
    match role {
        Role::Owner => "Owner",
        Role::Manager => "Manager",
        Role::Operator => "Operator",
        Role::Reader => "Reader",
        Role::Auditor => "Auditor",
    }
}

fn member_table(seen: &Seen, shell: &Shell) -> Markup {
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Members" }
            thead { tr { th scope="col" { "Name" } th scope="col" { "Role" } th scope="col" { "In single tenants" } th scope="col" { "Last seen" } th scope="col" { "Added" } th scope="col" { "Change" } } }
            tbody { @for member in &seen.members { tr {
                td data-l="Name" { div {
                    (format::shown(&member.name)) @if member.user == seen.me { " (you)" }
                    br; span.muted.small { (format::shown(&member.email)) }
                    @if !member.is_active { " " (chip::plain("Disabled")) }
                } }
                td data-l="Role" { @match member.role { Some(role) => (word(role)), None => span.muted { "Single tenants only" } } }
                td data-l="In single tenants" { div { @if member.overrides.is_empty() { "–" } @for one in &member.overrides { (format::shown(&one.name)) ": " (word(one.role)) br; } } }
                td data-l="Last seen" { span { @match member.seen_at { Some(at) => (time(at, shell.now)), None => "–" } } }
                td data-l="Added" { div { (time(member.added_at, shell.now)) @if !member.added_by.is_empty() { br; span.muted.small { "by " (format::shown(&member.added_by)) } } } }
                td data-l="Change" { (change(seen, member, shell)) }
            } } }
        } }
    }
}

fn change(seen: &Seen, member: &Member, shell: &Shell) -> Markup {
    let label = html! { "Change" span.visually-hidden { " " (format::shown(&member.name)) } };
    if !seen.may {
        return off("pill", WHY, &label);
    }
    let base = format!("{}/{}", seen.here, member.user);
    let id = |word: &str| format!("{word}-{}", member.user);
    html! {
        details.change { summary.pill { (label) }
            form method="post" action={ (base) "/role" } {
                (shell.csrf())
                label for=(id("where")) { "Where" }
                select id=(id("where")) name="tenant" { option value="" { "The whole workspace" } @for tenant in &seen.tenants { option value=(tenant.id) { (format::shown(&tenant.name)) } } }
                label for=(id("role")) { "Role" }
                select id=(id("role")) name="role" { (roles(member.role)) option value="" { "None: as in the workspace" } }
                p { button.button type="submit" { "Save role" } }
            }
            @if seen.factors.contains(&member.user) && member.user != seen.me {
                form method="post" action={ (base) "/second-factor" } {
                    (shell.csrf())
                    p.muted.small { "If they have lost their app and their recovery codes. Be sure that it is them who asks: by voice or in person." }
                    p { button.button type="submit" { "Turn the second factor of " (format::shown(&member.name)) " off" } }
                }
            }
            form method="post" action={ (base) "/remove" } {
                (shell.csrf())
                label for=(id("confirm")) { "Type " code { (format::shown(&member.email)) } " to remove them" }
                input type="text" id=(id("confirm")) name="confirm" autocomplete="off" required;
                p { button.button type="submit" { "Remove " (format::shown(&member.name)) } }
            }
        }
    }
}

fn invitation_part(seen: &Seen, shell: &Shell) -> Markup {
    if seen.invitations.is_empty() {
        return html! { p.muted { "No invitation is open." } };
    }
    let place = |invitation: &Invitation| match invitation.tenant {
        None => "The whole workspace".to_owned(),
        Some(id) => seen.tenants.iter().find(|one| one.id == id).map_or_else(
            || "A tenant that you do not see".to_owned(),
            |one| format::shown(&one.name).into_owned(),
        ),
    };
    html! {
        div.table-wrap { table.cards-on-mobile {
            caption.visually-hidden { "Open invitations" }
            thead { tr { th scope="col" { "For" } th scope="col" { "Role" } th scope="col" { "Where" } th scope="col" { "From" } th scope="col" { "Works until" } th scope="col" { "Take back" } } }
            tbody { @for one in &seen.invitations { tr {
                td data-l="For" { (format::shown(&one.email)) }
                td data-l="Role" { (word(one.role)) }
                td data-l="Where" { (place(one)) }
                td data-l="From" { div { (format::shown(&one.created_by)) br; span.muted.small { (time(one.created_at, shell.now)) } } }
                td data-l="Works until" { span { (time(one.expires_at, shell.now)) } }
                td data-l="Take back" { @if seen.may {
                    form method="post" action=(format!("{}/invitations/{}/revoke", seen.here, one.id)) { (shell.csrf()) button.pill type="submit" { "Take back" span.visually-hidden { ": " (format::shown(&one.email)) } } }
                } @else { (off("pill", WHY, &html! { "Take back" })) } }
            } } }
        } }
    }
}

fn invite_form(seen: &Seen, shell: &Shell) -> Markup {
    html! {
        form.filters method="post" action={ (seen.here) "/invite" } {
            (shell.csrf())
            fieldset disabled[!seen.may] {
                div.field.wide { label for="email" { "E-mail address" } input type="email" id="email" name="email" autocomplete="off" required; }
                div.field { label for="role" { "Role" } select id="role" name="role" { (roles(Some(Role::Reader))) } }
                div.field { label for="tenant" { "Where" } select id="tenant" name="tenant" { option value="" { "The whole workspace" } @for tenant in &seen.tenants { option value=(tenant.id) { (format::shown(&tenant.name)) } } } }
            }
            @if seen.may { button.button.primary type="submit" { "Make an invitation link" } } @else { (off("button", WHY, &html! { "Make an invitation link" })) }
        }
        p.muted.small { "The link is shown once, for you to send. An owner may do everything; a reader only looks." }
    }
}

/// Reads a tenant from a form: empty is the whole workspace.
fn tenant_of(text: &str) -> Result<Option<TenantId>, WebError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| WebError::NotFound)
}

/// What became of a change, as an error where it was not carried out.
pub(crate) fn changed(change: MemberChange) -> Result<(), WebError> {
    match change {
        MemberChange::Done | MemberChange::Unchanged => Ok(()),
        MemberChange::NotThere => Err(WebError::NotFound),
        MemberChange::LastOwner => Err(WebError::Conflict(
            "This is the last owner who can sign in. Make somebody else an owner first.".to_owned(),
        )),
    }
}

#[derive(Deserialize)]
pub(crate) struct InviteForm {
    email: String,
    role: String,
    #[serde(default)]
    tenant: String,
}

/// Reads a wish to invite; says what is allowed.
pub(crate) fn new_invitation(
    address: &str,
    role: &str,
    tenant: Option<TenantId>,
) -> Result<NewInvitation, WebError> {
    let email = email(address).ok_or_else(|| {
        WebError::BadRequest("email must be an address like name@example.com.".to_owned())
    })?;
    let role: Role =
        role.parse().map_err(|error| WebError::BadRequest(format!("role: {error}.")))?;
    Ok(NewInvitation { email, role, tenant })
}

/// The secret of a link that was made, or why there is none.
pub(crate) fn link(invited: Invited) -> Result<(InvitationId, InvitationSecret), WebError> {
    match invited {
        Invited::Done(id, secret) => Ok((id, secret)),
        Invited::NoTenant => Err(WebError::NotFound),
        Invited::TooMany => Err(WebError::Conflict(
            "So many invitations are open that something is wrong. Take some back first."
                .to_owned(),
        )),
    }
}

pub(crate) async fn invite(
    InWorkspace(scope): InWorkspace<ManageMembers>,
    State(app): State<App>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<InviteForm>,
) -> Result<Markup, WebError> {
    let new = new_invitation(&form.email, &form.role, tenant_of(&form.tenant)?)?;
    let email = new.email.clone();
    let (_, secret) = link(scope.invite(new, Some(id)).await?)?;
    let seen = app.store.enter_workspace::<ViewMembers>(scope.actor(), scope.id()).await?;
    page(&app, &seen, &Pairs::default(), Some((&email, &secret))).await
}

pub(crate) async fn revoke(
    InWorkspace(scope): InWorkspace<ManageMembers>,
    Id(invitation): Id<InvitationId>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    if !scope.invitation_revoke(invitation, Some(id)).await? {
        return Err(WebError::NotFound);
    }
    Ok(Redirect::to(&format!("{}?done=revoked", paths::members(scope.id()))))
}

#[derive(Deserialize)]
pub(crate) struct RoleForm {
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    role: String,
}

pub(crate) async fn role(
    InWorkspace(scope): InWorkspace<ManageMembers>,
    Id(user): Id<UserId>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<RoleForm>,
) -> Result<Redirect, WebError> {
    let tenant = tenant_of(&form.tenant)?;
    let role = if form.role.is_empty() {
        if tenant.is_none() {
            return Err(WebError::BadRequest(
                "Choose a role for the workspace, or remove the member.".to_owned(),
            ));
        }
        None
    } else {
        Some(form.role.parse().map_err(|error| WebError::BadRequest(format!("role: {error}.")))?)
    };
    changed(scope.member_role_set(user, tenant, role, Some(id)).await?)?;
    Ok(Redirect::to(&format!("{}?done=role", paths::members(scope.id()))))
}

#[derive(Deserialize)]
pub(crate) struct RemoveForm {
    confirm: String,
}

pub(crate) async fn remove(
    InWorkspace(scope): InWorkspace<ManageMembers>,
    Id(user): Id<UserId>,
    RequestId(id): RequestId,
    CsrfForm(form): CsrfForm<RemoveForm>,
) -> Result<Redirect, WebError> {
    let members = scope.member_list().await?;
    let member = members.iter().find(|one| one.user == user).ok_or(WebError::NotFound)?;
    if form.confirm.trim().to_lowercase() != member.email {
        return Err(WebError::BadRequest(
            "To remove this member, type their e-mail address. Nothing was changed.".to_owned(),
        ));
    }
    changed(scope.member_remove(user, Some(id)).await?)?;
    Ok(Redirect::to(&format!("{}?done=removed", paths::members(scope.id()))))
}

/// Takes the second factor of a member away who has lost it.
pub(crate) async fn second_factor(
    InWorkspace(scope): InWorkspace<ManageMembers>,
    Id(user): Id<UserId>,
    RequestId(id): RequestId,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Redirect, WebError> {
    let conflict = |text: &str| Err(WebError::Conflict(text.to_owned()));
    match scope.member_factor_reset(user, Some(id)).await? {
        FactorReset::Done => {
            Ok(Redirect::to(&format!("{}?done=factor", paths::members(scope.id()))))
        }
        FactorReset::NotThere => Err(WebError::NotFound),
        FactorReset::Own => conflict("Your own second factor is turned off in your account."),
        FactorReset::Elsewhere => conflict(
            "This person is a member of another workspace as well. The operator of this installation can turn it off: tenantpilot admin second-factor off.",
        ),
    }
}

/// The matrix of roles and capabilities, as the code asks for it.
pub(crate) async fn matrix(
    crate::extract::SignedIn(actor): crate::extract::SignedIn,
    State(app): State<App>,
) -> Result<Markup, WebError> {
    let shell = Shell::of(&app, &actor).await?;
    let body = html! {
        div.head { div { h1 { "Who may do what" } p.sub { "What each role may do in a workspace or, where it differs, in one tenant. A token may do at most what its owner may." } } }
        div.table-wrap { table {
            caption.visually-hidden { "Capabilities by role" }
            thead { tr { th scope="col" { "Capability" } @for role in Role::ALL { th scope="col" { (word(*role)) } } } }
            tbody { @for capability in Capability::ALL { tr {
                td { code { (capability) } }
                @for role in Role::ALL { td { @if role.grants(*capability) { (crate::components::icon::tick()) span.visually-hidden { "yes" } } @else { span.muted { "–" span.visually-hidden { "no" } } } } }
            } } }
        } }
    };
    Ok(shell.render(&Page {
        title: "Who may do what",
        place: Place::Members,
        tenant: None,
        synced_at: None,
        body,
    }))
}
