//! Members, invitations, and what a change of rights does at once (PRODUCT; TRUST A19, A24).

use std::time::Duration;

use tp_domain::access::{ManageMembers, Role, ViewMembers, ViewTenant};
use tp_domain::ids::{InvitationId, TenantId, UserId};
use tp_store::{Accepted, Actor, InvitationSecret, Invited, MemberChange, NewInvitation, Refused};
use uuid::Uuid;

use crate::util::{World, at, worlds};

async fn role_set(
    world: &World,
    user: UserId,
    tenant: Option<TenantId>,
    role: Option<Role>,
) -> MemberChange {
    let whole = world.whole::<ManageMembers>().await;
    whole.member_role_set(user, tenant, role, None).await.unwrap()
}

async fn invite(world: &World, email: &str, role: Role) -> (InvitationId, InvitationSecret) {
    let whole = world.whole::<ManageMembers>().await;
    let new = NewInvitation { email: email.to_owned(), role, tenant: None };
    match whole.invite(new, None).await.unwrap() {
        Invited::Done(id, secret) => (id, secret),
        other => unreachable!("{other:?}"),
    }
}

async fn enters(world: &World, actor: &Actor, slug: &str) -> bool {
    world.store().enter::<ViewTenant>(actor, &at(slug)).await.is_ok()
}

#[tokio::test]
async fn members_are_listed_with_the_roles_that_differ() {
    for world in worlds().await {
        let list = world.whole::<ViewMembers>().await.member_list().await.unwrap();
        let seen: Vec<_> = list.iter().map(|one| (one.email.as_str(), one.role)).collect();
        assert_eq!(
            seen,
            [
                ("guest@example.com", None),
                ("owner@example.com", Some(Role::Owner)),
                ("operator@example.com", Some(Role::Operator)),
                ("reader@example.com", Some(Role::Reader)),
            ],
            "{}",
            world.db.name()
        );
        let guest = &list[0].overrides;
        assert_eq!((guest[0].slug.as_str(), guest[0].role), ("fabrikam", Role::Manager));
        assert!(list[1].seen_at.is_some(), "the owner is signed in");
    }
}

#[tokio::test]
async fn a_change_of_role_acts_on_the_next_request() {
    for world in worlds().await {
        let (reader, contoso) = (world.reader.user(), Some(world.contoso));
        assert!(
            world
                .store()
                .enter_workspace::<ManageMembers>(&world.reader, world.workspace)
                .await
                .is_err()
        );
        assert_eq!(role_set(&world, reader, None, Some(Role::Owner)).await, MemberChange::Done);
        assert!(
            world
                .store()
                .enter_workspace::<ManageMembers>(&world.reader, world.workspace)
                .await
                .is_ok()
        );
        assert_eq!(role_set(&world, reader, None, Some(Role::Reader)).await, MemberChange::Done);
        let again = role_set(&world, reader, None, Some(Role::Reader)).await;
        assert_eq!(again, MemberChange::Unchanged);
        // A role of one tenant stands in place of the one of the workspace, for more and for less.
        assert_eq!(
            role_set(&world, reader, contoso, Some(Role::Manager)).await,
            MemberChange::Done
        );
        let entered =
            world.store().enter::<ViewTenant>(&world.reader, &at("contoso")).await.unwrap();
        assert!(entered.may(tp_domain::access::Capability::TenantManage));
        assert_eq!(role_set(&world, reader, contoso, None).await, MemberChange::Done);
        let entered =
            world.store().enter::<ViewTenant>(&world.reader, &at("contoso")).await.unwrap();
        assert!(!entered.may(tp_domain::access::Capability::TenantManage));
        let nobody = UserId::from_uuid(Uuid::from_u128(77));
        assert_eq!(role_set(&world, nobody, None, Some(Role::Owner)).await, MemberChange::NotThere);
        let nowhere = Some(TenantId::from_uuid(Uuid::from_u128(78)));
        let other = role_set(&world, reader, nowhere, Some(Role::Owner)).await;
        assert_eq!(other, MemberChange::NotThere);
        let told = "SELECT count(*) AS n FROM audit_entries WHERE action IN ('member.set', 'member.removed') AND actor_kind = 'user'";
        assert_eq!(world.store().test_count(told).await, 4, "{}", world.db.name());
    }
}

#[tokio::test]
async fn who_is_removed_is_out_at_once() {
    for world in worlds().await {
        let whole = world.whole::<ManageMembers>().await;
        let token =
            world.store().test_user(world.workspace, "leaver@example.com", Role::Manager).await;
        let hall = world.store().hall();
        let leaver = hall.actor_of_token(&token).await.unwrap().unwrap();
        let session = world.store().test_actor("leaver@example.com").await;
        assert!(enters(&world, &session, "contoso").await);
        assert_eq!(whole.member_remove(leaver.user(), None).await.unwrap(), MemberChange::Done);
        let refused = world.store().enter::<ViewTenant>(&session, &at("contoso")).await;
        assert!(matches!(refused, Err(Refused::NotFound)), "{}", world.db.name());
        assert!(hall.actor_of_token(&token).await.unwrap().is_none(), "the token went too");
        assert!(hall.session_list(&session).await.unwrap().is_empty(), "and the session");
        let again = whole.member_remove(leaver.user(), None).await.unwrap();
        assert_eq!(again, MemberChange::NotThere);
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    for world in worlds().await {
        let owner = world.owner.user();
        let less = role_set(&world, owner, None, Some(Role::Manager)).await;
        assert_eq!(less, MemberChange::LastOwner, "{}", world.db.name());
        let whole = world.whole::<ManageMembers>().await;
        assert_eq!(whole.member_remove(owner, None).await.unwrap(), MemberChange::LastOwner);
        let console = world.store().console();
        let off = console.user_enable("owner@example.com", false).await.unwrap();
        assert_eq!(off, Some(MemberChange::LastOwner));
        // An owner who cannot sign in guards nothing.
        role_set(&world, world.reader.user(), None, Some(Role::Owner)).await;
        let off = console.user_enable("reader@example.com", false).await.unwrap();
        assert_eq!(off, Some(MemberChange::Done));
        let less = role_set(&world, owner, None, Some(Role::Manager)).await;
        assert_eq!(less, MemberChange::LastOwner);
        let on = console.user_enable("reader@example.com", true).await.unwrap();
        assert_eq!(on, Some(MemberChange::Done));
        let less = role_set(&world, owner, None, Some(Role::Manager)).await;
        assert_eq!(less, MemberChange::Done);
        assert_eq!(console.user_enable("nobody@example.com", false).await.unwrap(), None);
    }
}

#[tokio::test]
async fn two_owners_cannot_remove_each_other() {
    for world in worlds().await {
        for _ in 0..10 {
            role_set(&world, world.operator.user(), None, Some(Role::Owner)).await;
            let (one, two) = (world.owner.user(), world.operator.user());
            let whole = world.whole::<ManageMembers>().await;
            let store = world.store();
            let second = store
                .enter_workspace::<ManageMembers>(&world.operator, world.workspace)
                .await
                .unwrap();
            let (a, b) = tokio::join!(
                whole.member_role_set(two, None, Some(Role::Reader), None),
                second.member_role_set(one, None, Some(Role::Reader), None),
            );
            let ended = [a.unwrap(), b.unwrap()];
            assert!(ended.contains(&MemberChange::LastOwner), "{ended:?} {}", world.db.name());
            let owners = "SELECT count(*) AS n FROM memberships WHERE role = 'owner'";
            assert_eq!(store.test_count(owners).await, 1);
            // Whoever is left makes the first one owner again.
            let left = if ended[0] == MemberChange::Done { &whole } else { &second };
            left.member_role_set(one, None, Some(Role::Owner), None).await.unwrap();
        }
    }
}

/// Invitations to one address at once: one of them is open, as if they had come one after another.
#[tokio::test]
async fn invitations_at_once_to_one_address_leave_one() {
    for world in worlds().await {
        for _ in 0..10 {
            let made = (0..4).map(|_| invite(&world, "new@example.com", Role::Reader));
            futures_util::future::join_all(made).await;
            let open = "SELECT count(*) AS n FROM invitations";
            assert_eq!(world.store().test_count(open).await, 1, "{}", world.db.name());
        }
    }
}

#[tokio::test]
async fn an_invitation_works_once_for_its_address() {
    for world in worlds().await {
        let (_, secret) = invite(&world, "new@example.com", Role::Operator).await;
        let hall = world.store().hall();
        let offered = hall.invitation_open(&secret).await.unwrap().unwrap();
        assert_eq!(
            (offered.invitation.email.as_str(), offered.has_account),
            ("new@example.com", false)
        );
        assert_eq!(offered.workspace_name, "Example MSP");
        let other = hall.invitation_accept_as(&secret, &world.reader, None).await.unwrap();
        assert_eq!(other, Accepted::OtherAccount, "{}", world.db.name());
        let accept =
            || hall.invitation_accept(&secret, "New".to_owned(), Some("x".to_owned()), None);
        let (a, b) = tokio::join!(accept(), accept());
        let mut ended = [a, b].map(|one| match one {
            Ok(Accepted::Joined(..)) => "joined",
            Ok(Accepted::Gone | Accepted::HasAccount) => "gone",
            other => unreachable!("{other:?}"),
        });
        ended.sort_unstable();
        assert_eq!(ended, ["gone", "joined"]);
        assert!(hall.invitation_open(&secret).await.unwrap().is_none());
        let new = world.store().test_actor("new@example.com").await;
        assert!(enters(&world, &new, "contoso").await);
        // For somebody who has an account there is no second one: they sign in and join.
        let (_, secret) = invite(&world, "guest@example.com", Role::Reader).await;
        let open = hall.invitation_accept(&secret, "X".to_owned(), None, None).await.unwrap();
        assert_eq!(open, Accepted::HasAccount);
        assert!(!enters(&world, &world.guest, "contoso").await);
        let joined = hall.invitation_accept_as(&secret, &world.guest, None).await.unwrap();
        assert!(matches!(joined, Accepted::Joined(..)));
        assert!(enters(&world, &world.guest, "contoso").await);
    }
}

#[tokio::test]
async fn invitations_end_by_time_by_hand_and_by_a_newer_one() {
    for world in worlds().await {
        let hall = world.store().hall();
        let whole = world.whole::<ManageMembers>().await;
        let (_, first) = invite(&world, "new@example.com", Role::Operator).await;
        let (id, second) = invite(&world, "new@example.com", Role::Reader).await;
        assert!(hall.invitation_open(&first).await.unwrap().is_none(), "a newer one is there");
        let list = world.whole::<ViewMembers>().await.invitation_list().await.unwrap();
        assert_eq!(list.iter().map(|one| one.id).collect::<Vec<_>>(), [id]);
        assert!(whole.invitation_revoke(id, None).await.unwrap());
        assert!(!whole.invitation_revoke(id, None).await.unwrap());
        let gone = hall.invitation_accept(&second, "X".to_owned(), None, None).await.unwrap();
        assert_eq!(gone, Accepted::Gone, "{}", world.db.name());
        let (_, third) = invite(&world, "new@example.com", Role::Reader).await;
        world.db.clock.advance(Duration::from_hours(24 * 7));
        let late = hall.invitation_accept(&third, "X".to_owned(), None, None).await.unwrap();
        assert_eq!(late, Accepted::Gone);
        let nowhere = Some(TenantId::from_uuid(Uuid::from_u128(5)));
        let new = NewInvitation {
            email: "a@example.com".to_owned(),
            role: Role::Reader,
            tenant: nowhere,
        };
        assert!(matches!(whole.invite(new, None).await.unwrap(), Invited::NoTenant));
        assert!(InvitationSecret::parse("short").is_none());
    }
}
