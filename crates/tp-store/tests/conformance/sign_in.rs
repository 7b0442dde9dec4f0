//! Sign-in at a provider: what is under way, who somebody is there, and who may come in.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use tp_domain::access::{ManageMembers, Role, ViewSettings};
use tp_domain::sign_in::{IdentityKey, ProvenIdentity};
use tp_store::{
    IdentityEntry, IdentityGone, IdentityLinked, LinkRefused, NewSession, SIGN_IN_LIFE,
    SignInBrowser, SignInMethod, SignInPurpose, WorkspaceScope,
};
use uuid::Uuid;

use crate::util::{World, worlds};

fn key(object: u128) -> IdentityKey {
    IdentityKey::entra(Uuid::from_u128(7), Uuid::from_u128(object))
}

fn proven(object: u128) -> ProvenIdentity {
    let label = Some("anna@contoso.example".to_owned());
    ProvenIdentity { key: key(object), name: Some("Anna".to_owned()), label }
}

impl World {
    async fn members(&self) -> WorkspaceScope<ManageMembers> {
        self.store().enter_workspace(&self.owner, self.workspace).await.unwrap()
    }

    async fn comes_in(&self, object: u128) -> (NewSession, usize) {
        let entry = self.store().hall().identity_enter(&proven(object), None, None).await.unwrap();
        let IdentityEntry::In(session, count) = entry else {
            unreachable!("{}: {entry:?}", self.db.name())
        };
        (session, count)
    }

    async fn is_refused(&self, object: u128) -> bool {
        let entry = self.store().hall().identity_enter(&proven(object), None, None).await.unwrap();
        matches!(entry, IdentityEntry::Refused)
    }
}

#[tokio::test]
async fn a_sign_in_is_of_its_browser_once_and_for_minutes() {
    for world in worlds().await {
        let hall = world.store().hall();
        let (mine, theirs) = (SignInBrowser::fresh().unwrap(), SignInBrowser::fresh().unwrap());
        let again = SignInBrowser::from_cookie(mine.expose()).unwrap();
        assert!(SignInBrowser::from_cookie("short").is_none());
        let one = hall.oidc_begin(&mine, "/a").await.unwrap().unwrap();
        let two = hall.oidc_begin(&again, "/b").await.unwrap().unwrap();
        assert!(one.state != two.state && one.nonce != two.nonce && one.challenge != two.challenge);
        for state in ["", "x", &"A".repeat(43), &one.nonce] {
            assert!(hall.oidc_take(&mine, state).await.unwrap().is_none(), "{state:?}");
        }
        assert!(hall.oidc_take(&theirs, &one.state).await.unwrap().is_none(), "another browser");
        let taken = hall.oidc_take(&mine, &one.state).await.unwrap().unwrap();
        assert_eq!((taken.return_to.as_str(), &taken.nonce), ("/a", &one.nonce));
        assert_eq!((taken.purpose, taken.begun_at), (SignInPurpose::Enter, world.store().now()));
        assert_eq!(taken.verifier.expose_secret().len(), 43, "RFC 7636 wants at least that");
        assert!(hall.oidc_take(&mine, &one.state).await.unwrap().is_none(), "once");
        world.db.clock.advance(SIGN_IN_LIFE);
        assert!(hall.oidc_take(&mine, &two.state).await.unwrap().is_none(), "too old");
        hall.oidc_begin(&mine, "/c").await.unwrap().unwrap();
        let left = "SELECT count(*) AS n FROM sign_in_requests";
        assert_eq!(world.store().test_count(left).await, 1, "what is over is cleared away");
    }
}

/// Two that come at once with the same state: one has it.
#[tokio::test]
async fn a_state_that_comes_twice_at_once_is_taken_once() {
    for world in worlds().await {
        let hall = world.store().hall();
        let browser = SignInBrowser::fresh().unwrap();
        for _ in 0..10 {
            let begun = hall.oidc_begin(&browser, "/").await.unwrap().unwrap();
            let takes = (0..4).map(|_| hall.oidc_take(&browser, &begun.state));
            let taken = futures_util::future::join_all(takes).await;
            let count = taken.into_iter().filter(|taken| taken.as_ref().unwrap().is_some()).count();
            assert_eq!(count, 1, "{}", world.db.name());
        }
    }
}

#[tokio::test]
async fn a_person_links_and_gives_away_their_own_identities() {
    for world in worlds().await {
        let hall = world.store().hall();
        let browser = SignInBrowser::fresh().unwrap();
        let begun = hall.oidc_begin_link(&world.reader, &browser, "/x").await.unwrap().unwrap();
        let taken = hall.oidc_take(&browser, &begun.state).await.unwrap().unwrap();
        let session = world.reader.session().unwrap();
        let link = SignInPurpose::Link { user: world.reader.user(), session };
        assert_eq!(taken.purpose, link);
        assert!(world.is_refused(1).await, "nobody knows them");
        let linked = hall.identity_link_own(&world.reader, &proven(1), None).await.unwrap();
        assert_eq!(linked, IdentityLinked::Done);
        let taken = hall.identity_link_own(&world.operator, &proven(1), None).await.unwrap();
        assert_eq!(taken, IdentityLinked::Taken);
        let own = hall.own_identities(&world.reader).await.unwrap();
        assert_eq!(own.len(), 1);
        assert_eq!((own[0].authority.as_str(), own[0].last_used_at), (key(1).authority(), None));
        let (session, count) = world.comes_in(1).await;
        let actor = hall.actor_of_session(&session.secret).await.unwrap().unwrap();
        assert_eq!((actor.user(), count), (world.reader.user(), 1));
        assert_eq!(hall.session_method(&actor).await.unwrap(), Some(SignInMethod::Oidc));
        let local = hall.session_method(&world.reader).await.unwrap();
        assert_eq!(local, Some(SignInMethod::Password));
        assert!(hall.own_identities(&world.reader).await.unwrap()[0].last_used_at.is_some());
        let (authority, subject) = (own[0].authority.as_str(), own[0].subject.as_str());
        let gone =
            hall.identity_unlink_own(&world.operator, authority, subject, None).await.unwrap();
        assert_eq!(gone, IdentityGone::NotFound, "another's");
        world.store().test_execute("UPDATE users SET password_hash = NULL").await.unwrap();
        let kept = hall.identity_unlink_own(&world.reader, authority, subject, None).await.unwrap();
        assert_eq!(kept, IdentityGone::LastWay);
        world.store().test_execute("UPDATE users SET password_hash = 'x'").await.unwrap();
        let gone = hall.identity_unlink_own(&world.reader, authority, subject, None).await.unwrap();
        assert_eq!(gone, IdentityGone::Done);
        assert!(world.is_refused(1).await);
        for (action, count) in [
            ("SELECT count(*) AS n FROM audit_entries WHERE action = 'identity.linked'", 1),
            ("SELECT count(*) AS n FROM audit_entries WHERE action = 'identity.unlinked'", 1),
        ] {
            assert_eq!(world.store().test_count(action).await, count, "{action}");
        }
        world.db.clock.advance(Duration::from_mins(10));
        let old = hall.oidc_begin_link(&world.reader, &browser, "/x").await.unwrap();
        assert!(old.is_none(), "the sign-in is not fresh any more");
    }
}

/// Two unlinkings at once of the two identities that a person without a password has: one way in stays.
#[tokio::test]
async fn the_last_way_in_stays_whoever_is_quicker() {
    for world in worlds().await {
        let hall = world.store().hall();
        for _ in 0..10 {
            for object in [1, 2] {
                hall.identity_link_own(&world.reader, &proven(object), None).await.unwrap();
            }
            world.store().test_execute("UPDATE users SET password_hash = NULL").await.unwrap();
            let (one, two) = (key(1), key(2));
            let (a, b) = tokio::join!(
                hall.identity_unlink_own(&world.reader, one.authority(), one.subject(), None),
                hall.identity_unlink_own(&world.reader, two.authority(), two.subject(), None),
            );
            let ended = [a.unwrap(), b.unwrap()];
            assert!(ended.contains(&IdentityGone::LastWay), "{ended:?} {}", world.db.name());
            assert!(ended.contains(&IdentityGone::Done), "{ended:?} {}", world.db.name());
        }
    }
}

#[tokio::test]
async fn a_session_before_is_ended_and_disabled_people_stay_out() {
    for world in worlds().await {
        let hall = world.store().hall();
        hall.identity_link_own(&world.reader, &proven(1), None).await.unwrap();
        let (first, _) = world.comes_in(1).await;
        let entry = hall.identity_enter(&proven(1), Some(&first.secret), None).await.unwrap();
        let IdentityEntry::In(second, _) = entry else { panic!("in") };
        assert!(hall.actor_of_session(&first.secret).await.unwrap().is_none());
        let actor = hall.actor_of_session(&second.secret).await.unwrap().unwrap();
        assert!(actor.is_fresh(world.store().now()));
        let off = "UPDATE users SET status = 'disabled' WHERE email = 'reader@example.com'";
        world.store().test_execute(off).await.unwrap();
        assert!(world.is_refused(1).await);
        assert!(hall.actor_of_session(&second.secret).await.unwrap().is_none());
        let on = "UPDATE users SET status = 'active'";
        world.store().test_execute(on).await.unwrap();
        let gone = "DELETE FROM memberships WHERE user_id = (SELECT id FROM users WHERE email = 'reader@example.com')";
        world.store().test_execute(gone).await.unwrap();
        let entry = hall.identity_enter(&proven(1), None, None).await.unwrap();
        assert!(matches!(entry, IdentityEntry::NoWorkspace));
    }
}

#[tokio::test]
async fn an_owner_links_members_of_their_own_workspace_alone() {
    for world in worlds().await {
        let members = world.members().await;
        let reader = world.reader.user();
        members.identity_link(reader, key(1), None, None).await.unwrap();
        let again = members.identity_link(world.operator.user(), key(1), None, None).await;
        assert!(matches!(again, Err(LinkRefused::Taken)));
        let second = world.store().test_second_workspace("Second", "operator@example.com").await;
        let shared = members.identity_link(world.operator.user(), key(2), None, None).await;
        assert!(matches!(shared, Err(LinkRefused::Shared)), "{}", world.db.name());
        let nobody = tp_domain::ids::UserId::from_uuid(Uuid::from_u128(99));
        let unknown = members.identity_link(nobody, key(3), None, None).await;
        assert!(matches!(unknown, Err(LinkRefused::NotFound)));
        // The machine's own shell may: whoever has it has the database.
        let console = world.store().console();
        console.identity_link(" Operator@Example.com ", key(2), None).await.unwrap();
        let unknown = console.identity_link("nobody@example.com", key(4), None).await;
        assert!(matches!(unknown, Err(LinkRefused::NotFound)));
        // In both of their workspaces: they choose, and go on there.
        let hall = world.store().hall();
        let (session, count) = world.comes_in(2).await;
        assert_eq!(count, 2);
        let actor = hall.actor_of_session(&session.secret).await.unwrap().unwrap();
        let own = hall.own_workspaces(&actor).await.unwrap();
        let ids: Vec<_> = own.iter().map(|workspace| workspace.id).collect();
        assert!(ids.contains(&world.workspace) && ids.contains(&second) && ids.len() == 2);
        let moved = hall.session_move(&actor, second, None).await.unwrap().unwrap();
        let there = hall.actor_of_session(&moved).await.unwrap().unwrap();
        assert_eq!((there.workspace(), there.user()), (second, actor.user()));
        assert!(hall.actor_of_session(&session.secret).await.unwrap().is_none());
        assert_eq!(hall.session_method(&there).await.unwrap(), Some(SignInMethod::Oidc));
        let third = world.store().test_second_workspace("Third", "reader@example.com").await;
        assert!(hall.session_move(&there, third, None).await.unwrap().is_none(), "not theirs");
        assert!(hall.actor_of_session(&moved).await.unwrap().is_some(), "and it goes on");
    }
}

#[tokio::test]
async fn a_rule_makes_operators_and_readers_and_is_of_its_workspace() {
    for world in worlds().await {
        let members = world.members().await;
        let authority = key(1).authority().to_owned();
        for role in [Role::Owner, Role::Manager, Role::Auditor] {
            let set = members.sign_in_rule_set(&authority, Some(role), None).await;
            assert!(matches!(set, Err(LinkRefused::Role)), "{role}");
        }
        members.sign_in_rule_set(&authority, Some(Role::Reader), None).await.unwrap();
        let console = world.store().console();
        console.sign_in_rule_set(world.workspace, &authority, Some(Role::Operator)).await.unwrap();
        let rules = members.sign_in_rules().await.unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!((rules[0].authority.as_str(), rules[0].role), (&*authority, Role::Operator));
        let second = world.store().test_second_workspace("Second", "guest@example.com").await;
        let (session, count) = world.comes_in(5).await;
        assert_eq!(count, 1, "{}", world.db.name());
        let hall = world.store().hall();
        let actor = hall.actor_of_session(&session.secret).await.unwrap().unwrap();
        assert_eq!((actor.name(), actor.workspace()), ("Anna", world.workspace));
        let scope = world.store().enter_workspace::<ViewSettings>(&actor, world.workspace).await;
        assert!(scope.is_ok());
        assert!(world.store().enter_workspace::<ViewSettings>(&actor, second).await.is_err());
        world.comes_in(5).await;
        let made = "SELECT count(*) AS n FROM users WHERE email LIKE '%@sign-in.invalid'";
        assert_eq!(world.store().test_count(made).await, 1);
        members.sign_in_rule_set(&authority, None, None).await.unwrap();
        assert!(members.sign_in_rules().await.unwrap().is_empty());
        assert!(world.is_refused(6).await);
        world.comes_in(5).await;
    }
}
