//! The only crate with SQL: SQLite and PostgreSQL, migrations, doors, runs, claims, audit.
