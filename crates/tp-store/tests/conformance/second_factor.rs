//! The second factor of local accounts, and local accounts that stand in for a provider (PRODUCT A-4;
//! TRUST §6, 22).

use std::time::Duration;

use secrecy::ExposeSecret as _;
use totp_rs::{Builder, Secret};
use tp_domain::access::ManageMembers;
use tp_store::{
    Actor, BREAK_GLASS_LIFE, Entrance, FactorReset, RECOVERY_CODES, RecoveryCodes,
    SECOND_STEP_LIFE, SecondCode, SecondFactor, Store,
};

use crate::util::worlds;

const READER: &str = "reader@example.com";

/// What an authenticator app shows now, of a secret that was typed in.
fn app(secret: &str, store: &Store) -> String {
    let totp =
        Builder::new().with_secret(Secret::try_from_base32(secret).unwrap()).build().unwrap();
    totp.generate(u64::try_from(store.now().micros() / 1_000_000).unwrap()).to_string()
}

/// Turns it on; gives the secret, the codes and whoever is signed in after it.
async fn on(store: &Store, actor: &Actor) -> (String, RecoveryCodes, Actor) {
    let hall = store.hall();
    assert!(hall.second_factor_begin(actor).await.unwrap());
    let SecondFactor::Pending(setup) = hall.second_factor(actor).await.unwrap() else {
        unreachable!("a secret waits");
    };
    let secret = setup.secret.expose_secret().to_owned();
    assert!(setup.uri.expose_secret().contains(&format!("secret={secret}")));
    let code = app(&secret, store);
    let (session, codes) = hall.second_factor_confirm(actor, &code, None).await.unwrap().unwrap();
    let actor = hall.actor_of_session(&session.secret).await.unwrap().unwrap();
    (secret, codes, actor)
}

#[tokio::test]
async fn a_second_factor_is_turned_on_by_its_first_code() {
    for world in worlds().await {
        let (store, hall) = (world.store(), world.store().hall());
        let reader = store.test_actor(READER).await;
        let other = store.test_actor(READER).await;
        assert!(hall.second_factor_begin(&reader).await.unwrap());
        assert!(!hall.has_second_factor(reader.user()).await.unwrap(), "not before a code");
        let wrong = hall.second_factor_confirm(&reader, "000000", None).await.unwrap();
        assert!(wrong.is_none(), "{}", world.db.name());
        let (secret, codes, reader) = on(store, &reader).await;
        assert_eq!(codes.expose().count(), RECOVERY_CODES);
        assert!(hall.session_list(&other).await.unwrap().iter().all(|one| !one.is_this), "ended");
        let SecondFactor::On { codes_left, .. } = hall.second_factor(&reader).await.unwrap() else {
            unreachable!("it is on");
        };
        assert_eq!(codes_left, 10);
        assert!(!hall.second_factor_begin(&reader).await.unwrap(), "it is on already");
        let sealed = "SELECT count(*) AS n FROM user_factors WHERE secret_sealed LIKE '%.%'";
        assert_eq!(store.test_count(sealed).await, 1);
        // The code that turned it on is used up, and so is each other after its use.
        let take = async |code: String| {
            hall.second_factor_take(reader.user(), "Rita", &code, None).await.unwrap()
        };
        assert_eq!(take(app(&secret, store)).await, None);
        world.db.clock.advance(Duration::from_secs(30));
        let code = app(&secret, store);
        let (one, two) = tokio::join!(take(code.clone()), take(code));
        assert_eq!([one, two].iter().flatten().count(), 1, "of two at once one");
        // A clock that is one step off is taken, two are not.
        let early = app(&secret, store);
        world.db.clock.advance(Duration::from_mins(1));
        assert_eq!(take(early).await, None);
        let late = app(&secret, store);
        world.db.clock.advance(Duration::from_secs(30));
        assert_eq!(take(late).await, Some(SecondCode::App));
        let first = codes.expose().next().unwrap().to_uppercase();
        assert_eq!(take(first.clone()).await, Some(SecondCode::Recovery));
        assert_eq!(take(first).await, None, "for once");
        world.db.clock.advance(Duration::from_secs(1));
        let new = hall.recovery_codes_renew(&reader, None).await.unwrap().unwrap();
        assert_eq!(take(codes.expose().nth(1).unwrap().to_owned()).await, None, "the old are gone");
        world.db.clock.advance(Duration::from_secs(1));
        assert!(take(new.expose().next().unwrap().to_owned()).await.is_some());
        let told = "SELECT count(*) AS n FROM audit_entries WHERE action IN \
            ('user.second_factor_set', 'user.recovery_codes_made', 'user.recovery_code_used')";
        assert_eq!(store.test_count(told).await, 4);
    }
}

#[tokio::test]
async fn nothing_of_it_is_changed_without_a_fresh_sign_in() {
    for world in worlds().await {
        let (store, hall) = (world.store(), world.store().hall());
        let (.., reader) = on(store, &store.test_actor(READER).await).await;
        world.db.clock.advance(Duration::from_mins(10));
        assert!(hall.recovery_codes_renew(&reader, None).await.unwrap().is_none());
        assert!(!hall.second_factor_remove(&reader, None).await.unwrap(), "{}", world.db.name());
        assert!(!hall.second_factor_begin(&world.owner).await.unwrap());
        let new = hall.session_confirm(&reader, None).await.unwrap().unwrap();
        let fresh = hall.actor_of_session(&new.secret).await.unwrap().unwrap();
        assert!(hall.second_factor_remove(&fresh, None).await.unwrap());
        assert!(hall.actor_of_session(&new.secret).await.unwrap().is_none(), "all sessions end");
        assert!(!hall.has_second_factor(fresh.user()).await.unwrap());
    }
}

#[tokio::test]
async fn the_step_between_password_and_code_ends_soon() {
    for world in worlds().await {
        let hall = world.store().hall();
        let account = hall.account_by_email(READER).await.unwrap().unwrap();
        let step = hall.second_step_begin(&account, "/tenants").await.unwrap();
        let (found, back) = hall.second_step(&step).await.unwrap().unwrap();
        assert_eq!((found.id, back.as_str()), (account.id, "/tenants"), "{}", world.db.name());
        let other = hall.second_step_begin(&account, "/").await.unwrap();
        hall.second_step_end(account.id).await.unwrap();
        assert!(hall.second_step(&other).await.unwrap().is_none());
        let step = hall.second_step_begin(&account, "/").await.unwrap();
        world.db.clock.advance(SECOND_STEP_LIFE);
        assert!(hall.second_step(&step).await.unwrap().is_none(), "too late");
    }
}

#[tokio::test]
async fn an_owner_takes_it_away_from_members_of_this_workspace_alone() {
    for world in worlds().await {
        let (store, hall) = (world.store(), world.store().hall());
        let (.., reader) = on(store, &store.test_actor(READER).await).await;
        let (.., owner) = on(store, &store.test_actor("owner@example.com").await).await;
        let own = store.enter_workspace::<ManageMembers>(&owner, world.workspace).await.unwrap();
        assert_eq!(own.member_factors().await.unwrap().len(), 2, "{}", world.db.name());
        let reset = async |user| own.member_factor_reset(user, None).await.unwrap();
        assert_eq!(reset(owner.user()).await, FactorReset::Own);
        assert_eq!(reset(world.guest.user()).await, FactorReset::NotThere);
        store.test_second_workspace("Other", READER).await;
        assert_eq!(reset(reader.user()).await, FactorReset::Elsewhere);
        assert_eq!(store.console().second_factor_remove("nobody@example.com").await.unwrap(), None);
        assert_eq!(store.console().second_factor_remove(READER).await.unwrap(), Some(true));
        assert_eq!(store.console().second_factor_remove(READER).await.unwrap(), Some(false));
        assert!(hall.session_list(&reader).await.unwrap().is_empty());
        let told =
            "SELECT count(*) AS n FROM audit_entries WHERE action = 'user.second_factor_removed'";
        assert_eq!(store.test_count(told).await, 2, "in each of the person's workspaces");
    }
}

#[tokio::test]
async fn a_local_account_in_place_of_the_provider_ends_soon_and_is_seen() {
    for world in worlds().await {
        let hall = world.store().hall();
        assert!(hall.break_glass_list(&world.owner).await.unwrap().is_empty());
        let account = hall.account_by_email(READER).await.unwrap().unwrap();
        let entrance = Entrance { break_glass: true, ..Entrance::default() };
        let workspace = account.workspace.unwrap();
        let new = hall.session_create_for(&account, workspace, &entrance, None).await.unwrap();
        let until = world.store().now().plus(BREAK_GLASS_LIFE);
        assert_eq!(new.expires_at, until, "{}", world.db.name());
        let seen = hall.break_glass_list(&world.owner).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].until, until);
        // Showing again who one is makes it no longer.
        world.db.clock.advance(Duration::from_mins(20));
        let actor = hall.actor_of_session(&new.secret).await.unwrap().unwrap();
        let again = hall.session_confirm(&actor, None).await.unwrap().unwrap();
        world.db.clock.advance(Duration::from_mins(20));
        assert!(hall.actor_of_session(&again.secret).await.unwrap().is_some());
        world.db.clock.advance(Duration::from_mins(20));
        assert!(hall.actor_of_session(&again.secret).await.unwrap().is_none());
        assert!(hall.break_glass_list(&world.owner).await.unwrap().is_empty());
    }
}
