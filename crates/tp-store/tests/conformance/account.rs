//! A person's own sessions, password and tokens (PRODUCT A-5; TRUST A24, §6, 2 to 7).

use std::time::Duration;

use tp_domain::access::{
    Capability, ManageMembers, ManageTokens, RotateCredentials, ViewPolicies, ViewTenant,
};
use tp_store::{Entrance, NewToken, Refused};

use crate::util::{at, worlds};

#[tokio::test]
async fn a_person_sees_and_ends_their_sessions() {
    for world in worlds().await {
        let hall = world.store().hall();
        let first = world.store().test_actor("reader@example.com").await;
        let second = world.store().test_actor("reader@example.com").await;
        let list = hall.session_list(&first).await.unwrap();
        assert_eq!(list.len(), 3, "{}", world.db.name());
        assert_eq!(list.iter().filter(|one| one.is_this).count(), 1);
        // Somebody else's session is none of theirs.
        let other = world.owner.session().unwrap();
        assert!(!hall.session_end(&first, other, None).await.unwrap());
        assert!(hall.session_end(&first, second.session().unwrap(), None).await.unwrap());
        assert_eq!(hall.session_end_others(&first, None).await.unwrap(), 1);
        assert_eq!(hall.session_list(&first).await.unwrap().len(), 1);
        assert!(!hall.session_list(&world.owner).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_the_old_secret() {
    for world in worlds().await {
        let hall = world.store().hall();
        let account = hall.account_by_email("reader@example.com").await.unwrap().unwrap();
        let workspace = account.workspace.unwrap();
        let mut sessions = Vec::new();
        for _ in 0..3 {
            sessions.push(hall.session_create(&account, workspace, None).await.unwrap());
        }
        let actor = hall.actor_of_session(&sessions[0].secret).await.unwrap().unwrap();
        let new = hall.password_change(&actor, "y".to_owned(), None).await.unwrap().unwrap();
        for old in &sessions {
            assert!(hall.actor_of_session(&old.secret).await.unwrap().is_none());
        }
        let same = hall.actor_of_session(&new.secret).await.unwrap().unwrap();
        assert_eq!(same.session(), actor.session(), "{}", world.db.name());
        let own = hall.own_account(&same).await.unwrap();
        assert_eq!(own.password_hash.as_deref(), Some("y"));
        assert!(
            hall.password_change(&actor, "z".to_owned(), None).await.unwrap().is_some(),
            "by id"
        );
    }
}

#[tokio::test]
async fn heavy_acts_need_a_fresh_sign_in() {
    for world in worlds().await {
        let store = world.store();
        let hall = store.hall();
        assert!(store.enter::<RotateCredentials>(&world.owner, &at("contoso")).await.is_ok());
        world.db.clock.advance(Duration::from_mins(10));
        for refused in [
            store.enter::<RotateCredentials>(&world.owner, &at("contoso")).await.err(),
            store.enter_workspace::<ManageMembers>(&world.owner, world.workspace).await.err(),
        ] {
            assert!(matches!(refused, Some(Refused::ConfirmNeeded)), "{}", world.db.name());
        }
        // Without the right the answer does not tell of the sign-in.
        let reader = store.enter::<RotateCredentials>(&world.reader, &at("contoso")).await.err();
        assert!(matches!(reader, Some(Refused::Forbidden(_))));
        assert!(store.enter::<ViewTenant>(&world.owner, &at("contoso")).await.is_ok());
        let new = hall.session_confirm(&world.owner, None).await.unwrap().unwrap();
        let fresh = hall.actor_of_session(&new.secret).await.unwrap().unwrap();
        assert!(store.enter::<RotateCredentials>(&fresh, &at("contoso")).await.is_ok());
    }
}

#[tokio::test]
async fn a_token_reaches_what_it_was_made_for() {
    for world in worlds().await {
        let (store, hall) = (world.store(), world.store().hall());
        let new = NewToken {
            name: "export".to_owned(),
            capabilities: Some(vec![Capability::TenantView]),
            tenants: Some(vec![world.fabrikam]),
            life: Duration::from_hours(24 * 1000),
        };
        let made = hall.token_create(&world.owner, new.clone(), None).await.unwrap();
        let (id, secret) = made.unwrap();
        let token = hall.actor_of_token(&secret).await.unwrap().unwrap();
        assert!(store.enter::<ViewTenant>(&token, &at("fabrikam")).await.is_ok());
        let other = store.enter::<ViewTenant>(&token, &at("contoso")).await.err();
        assert!(matches!(other, Some(Refused::NotFound)), "{}", world.db.name());
        let more = store.enter::<ViewPolicies>(&token, &at("fabrikam")).await.err();
        assert!(matches!(more, Some(Refused::Forbidden(_))));
        let whole = store.enter_workspace::<ManageMembers>(&token, world.workspace).await.err();
        assert!(matches!(whole, Some(Refused::NotFound)));
        let fleet = store.enter_fleet::<ViewTenant>(&token).unwrap().tenant_list().await.unwrap();
        assert_eq!(fleet.iter().map(|(one, _)| one.id).collect::<Vec<_>>(), [world.fabrikam]);
        assert!(
            hall.token_create(&token, new, None).await.unwrap().is_none(),
            "a token makes none"
        );
        let list = hall.token_list(&world.owner).await.unwrap();
        assert_eq!(list[0].id, id);
        let year = store.now().plus(tp_store::LONGEST_LIFE);
        assert_eq!(list[0].expires_at, year, "no token lives longer");
        assert!(!hall.token_revoke(&world.reader, id, None).await.unwrap(), "not theirs");
        let all = world.whole::<ManageTokens>().await;
        assert!(all.token_list().await.unwrap().iter().any(|one| one.id == id));
        assert!(all.token_revoke(id, None).await.unwrap());
        assert!(!hall.token_revoke(&world.owner, id, None).await.unwrap(), "it is revoked");
        assert!(hall.actor_of_token(&secret).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_session_says_what_browser_it_is_in() {
    for world in worlds().await {
        let hall = world.store().hall();
        let account = hall.account_by_email("reader@example.com").await.unwrap().unwrap();
        let (workspace, agent) =
            (account.workspace.unwrap(), format!("Fox\u{7} {}", "x".repeat(500)));
        let entrance = Entrance { agent: &agent, ..Entrance::default() };
        let new = hall.session_create_for(&account, workspace, &entrance, None).await.unwrap();
        let actor = hall.actor_of_session(&new.secret).await.unwrap().unwrap();
        let list = hall.session_list(&actor).await.unwrap();
        let own = list.iter().find(|one| one.is_this).unwrap();
        assert!(own.agent.starts_with("Fox xxx"), "{}", world.db.name());
        assert_eq!(own.agent.chars().count(), 200, "{}", own.agent);
    }
}

#[tokio::test]
async fn a_person_changes_the_name_that_others_see() {
    for world in worlds().await {
        let hall = world.store().hall();
        hall.name_set(world.reader.user(), "Rita".to_owned()).await.unwrap();
        assert_eq!(
            hall.own_account(&world.reader).await.unwrap().name,
            "Rita",
            "{}",
            world.db.name()
        );
    }
}
