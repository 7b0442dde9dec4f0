//! A sample of each call that `clippy.toml` bans. When clippy stops flagging one (a path renamed
//! upstream, a second `clippy.toml`), its `#[expect]` is unfulfilled and clippy fails here.

#[test]
fn each_banned_call_is_named_here_to_be_flagged() {
    #[expect(clippy::disallowed_methods, reason = "sample: std::time::SystemTime::now")]
    let _ = std::time::SystemTime::now;
    #[expect(clippy::disallowed_methods, reason = "sample: jiff::Timestamp::now")]
    let _ = jiff::Timestamp::now;
    #[expect(clippy::disallowed_methods, reason = "sample: jiff::ZonedDateTime::now")]
    let _ = jiff::ZonedDateTime::now;
    #[expect(clippy::disallowed_methods, reason = "sample: uuid::Uuid::now_v7")]
    let _ = uuid::Uuid::now_v7;
    #[expect(clippy::disallowed_methods, reason = "sample: uuid::Uuid::new_v4")]
    let _ = uuid::Uuid::new_v4;
    #[expect(clippy::disallowed_methods, reason = "sample: rand::rng")]
    let _ = rand::rng;
    #[expect(clippy::disallowed_methods, reason = "sample: std::env::var")]
    let _ = std::env::var::<&str>;
    #[expect(clippy::disallowed_methods, reason = "sample: reqwest::Client::new")]
    let _ = reqwest::Client::new;
    #[expect(clippy::disallowed_methods, reason = "sample: sqlx::Pool::begin")]
    let _ = sqlx::SqlitePool::begin;
}
