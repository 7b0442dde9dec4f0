//! Sessions and API tokens.

use std::time::Duration;

use tp_domain::access::{Capability, Role, StartInventorySync, ViewTenant};
use tp_store::{ApiTokenSecret, Bootstrap, NewUser, Refused, SessionSecret};

use crate::util::{at, tenant, worlds};

#[tokio::test]
async fn a_session_lives_until_it_is_idle_or_signed_out() {
    for world in worlds().await {
        let hall = world.store().hall();
        let account = hall.account_by_email(" Owner@Example.com ").await.unwrap().unwrap();
        let session =
            hall.session_create(&account, account.workspace.unwrap(), None).await.unwrap();
        let actor = hall.actor_of_session(&session.secret).await.unwrap().unwrap();
        assert_eq!(actor.name(), "Olive Owner");
        assert!(actor.csrf().is_some_and(|csrf| csrf != session.secret.expose()));
        world.db.clock.advance(Duration::from_mins(29));
        assert!(hall.actor_of_session(&session.secret).await.unwrap().is_some());
        world.db.clock.advance(Duration::from_mins(29));
        assert!(hall.actor_of_session(&session.secret).await.unwrap().is_some(), "it was used");
        world.db.clock.advance(Duration::from_mins(31));
        assert!(hall.actor_of_session(&session.secret).await.unwrap().is_none(), "idle");
        let session =
            hall.session_create(&account, account.workspace.unwrap(), None).await.unwrap();
        let actor = hall.actor_of_session(&session.secret).await.unwrap().unwrap();
        hall.sign_out(&actor, None).await.unwrap();
        assert!(hall.actor_of_session(&session.secret).await.unwrap().is_none());
        let unknown = SessionSecret::from_cookie("unknown");
        assert!(hall.actor_of_session(&unknown).await.unwrap().is_none());
        assert!(hall.account_by_email("nobody@example.com").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn wrong_passwords_are_counted_and_a_right_one_forgives() {
    for world in worlds().await {
        let hall = world.store().hall();
        let account = hall.account_by_email("reader@example.com").await.unwrap().unwrap();
        for _ in 0..2 {
            hall.sign_in_refused(&account, Duration::from_secs(3), None).await.unwrap();
        }
        let account = hall.account_by_email("reader@example.com").await.unwrap().unwrap();
        assert_eq!(account.failed_sign_ins, 2, "{}", world.db.name());
        assert!(account.locked_until.unwrap() > world.store().now());
        hall.session_create(&account, account.workspace.unwrap(), None).await.unwrap();
        let account = hall.account_by_email("reader@example.com").await.unwrap().unwrap();
        assert_eq!((account.failed_sign_ins, account.locked_until), (0, None));
    }
}

#[tokio::test]
async fn a_token_is_as_narrow_as_it_was_made() {
    for db in tp_store::testing::databases().await {
        let owner = NewUser {
            email: "owner@example.com".to_owned(),
            name: "Olive".to_owned(),
            password_hash: "x".to_owned(),
            role: Role::Owner,
        };
        let bootstrap = Bootstrap {
            workspace: "MSP".to_owned(),
            owner,
            token_capabilities: vec!["tenant.view".to_owned(), "of.a.newer.version".to_owned()],
        };
        let made = db.store.console().bootstrap(bootstrap.clone()).await.unwrap();
        tenant(&db.store, made.workspace, "contoso", 1).await;
        let token = made.token.unwrap();
        let hall = db.store.hall();
        let actor = hall.actor_of_token(&token).await.unwrap().unwrap();
        assert_eq!(actor.csrf(), None);
        assert!(db.store.enter::<ViewTenant>(&actor, &at("contoso")).await.is_ok());
        let denied = db.store.enter::<StartInventorySync>(&actor, &at("contoso")).await;
        assert!(matches!(denied, Err(Refused::Forbidden(Capability::InventorySync))));
        assert!(db.store.enter_fleet::<ViewTenant>(&actor).is_ok());
        let lists = db.store.enter_fleet::<tp_domain::access::ViewOperations>(&actor);
        assert!(matches!(lists, Err(Refused::Forbidden(Capability::OperationsView))));
        hall.actor_of_token(&token).await.unwrap();
        let first = "SELECT count(*) AS n FROM audit_entries WHERE action = 'token.first_used'";
        assert_eq!(db.store.test_count(first).await, 1, "{}", db.name());
        let again = db.store.console().bootstrap(bootstrap).await;
        assert!(matches!(again, Err(tp_store::ConsoleError::AlreadyBootstrapped)));
        db.clock.advance(Duration::from_hours(8784));
        assert!(hall.actor_of_token(&token).await.unwrap().is_none(), "expired");
        let text = "tpat_00000000000000000000000000000000000000";
        assert!(ApiTokenSecret::parse(text).is_none());
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_prolongs_no_session() {
    for world in worlds().await {
        let hall = world.store().hall();
        let account = hall.account_by_email("owner@example.com").await.unwrap().unwrap();
        let session =
            hall.session_create(&account, account.workspace.unwrap(), None).await.unwrap();
        world.db.clock.set_back(Duration::from_mins(1));
        assert!(hall.actor_of_session(&session.secret).await.unwrap().is_some(), "machines differ");
        world.db.clock.set_back(Duration::from_hours(2));
        let seen = hall.actor_of_session(&session.secret).await.unwrap();
        assert!(seen.is_none(), "{}", world.db.name());
    }
}
