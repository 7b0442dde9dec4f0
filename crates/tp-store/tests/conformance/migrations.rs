//! The schema's history, and who may open a database.

use std::sync::Arc;

use tp_store::testing::databases;
use tp_store::{
    DatabaseUrl, Keys, Store, StoreError, StoreOptions, SystemClock, SystemIds, TimeSource,
};

fn options(url: DatabaseUrl) -> StoreOptions {
    StoreOptions {
        url,
        time: TimeSource::Database(Arc::new(SystemClock)),
        ids: Arc::new(SystemIds),
        keys: Arc::new(Keys::fresh().unwrap()),
        connections: 2,
    }
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    for db in databases().await {
        let state = Store::migrate_check(&db.url).await.unwrap();
        assert_eq!(state.pending, 0, "{}", db.name());
        assert!(state.known > 0);
        db.store.ping().await.unwrap();
        db.store.test_workspace().await;
        assert!(Store::has_workspace(&db.url).await.unwrap(), "{}", db.name());
        db.store.close().await;
    }
}

#[tokio::test]
async fn a_database_without_our_schema_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("empty.db"));
    let refused = Store::open(options(url)).await;
    assert!(
        matches!(&refused, Err(StoreError::Schema(text)) if text.contains("tenantpilot migrate"))
    );
}

#[tokio::test]
async fn a_second_process_on_the_same_sqlite_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("one.db"));
    Store::migrate(&url).await.unwrap();
    let first = Store::open(options(url.clone())).await.unwrap();
    assert!(matches!(Store::open(options(url.clone())).await, Err(StoreError::InUse)));
    first.close().await;
    drop(first);
}

#[tokio::test]
async fn on_postgres_a_transaction_sees_its_reach_only() {
    for db in databases().await {
        if db.store.dialect() == tp_store::Dialect::Postgres {
            let owns = "SELECT count(*) AS n FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner \
                        WHERE r.rolname = current_user AND c.relname = 'operation_runs'";
            assert_eq!(db.store.test_count(owns).await, 0, "the application owns no table");
            let unwalled = "SELECT count(*) AS n FROM information_schema.columns c \
                            JOIN pg_class k ON k.relname = c.table_name AND k.relkind = 'r' \
                            WHERE c.column_name = 'scope_id' AND c.table_name <> 'memberships' \
                              AND NOT (k.relrowsecurity AND k.relforcerowsecurity)";
            assert_eq!(
                db.store.test_count(unwalled).await,
                0,
                "every table with a scope is walled"
            );
        }
    }
}

#[test]
fn database_urls_are_read_or_refused() {
    for good in ["sqlite:data/tp.db", "sqlite:///var/tp.db", "postgres://u:p@host:5432/db"] {
        assert!(DatabaseUrl::parse(good).is_ok(), "{good}");
    }
    for bad in ["", "mysql://x", "data.db", "sqlite:", "sqlite::memory:", "postgres://[broken"] {
        let error = DatabaseUrl::parse(bad).unwrap_err().to_string();
        assert!(error.contains("postgres://"), "{bad}: {error}");
    }
    assert_eq!(format!("{:?}", DatabaseUrl::parse("postgres://u:secret@h/d").unwrap()), "postgres");
}
