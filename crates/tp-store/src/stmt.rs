//! One statement with its values: the same text for both databases, `$1`-style.

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};
use tp_domain::time::Timestamp;
use uuid::Uuid;

/// A value that is bound the native way on each database.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Uuid(Option<Uuid>),
    Bool(Option<bool>),
    Bytes(Option<Vec<u8>>),
}

/// PostgreSQL text cannot hold U+0000, and hostile input may: on both databases it becomes U+FFFD.
fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

macro_rules! value_from {
    ($($from:ty => |$it:ident| $into:expr;)+) => {$(
        impl From<$from> for Value {
            fn from($it: $from) -> Self {
                $into
            }
        }
    )+};
}

value_from! {
    i64 => |v| Self::Int(Some(v));
    Option<i64> => |v| Self::Int(v);
    u32 => |v| Self::Int(Some(i64::from(v)));
    u64 => |v| Self::Int(Some(i64::try_from(v).unwrap_or(i64::MAX)));
    Option<u64> => |v| Self::Int(v.map(|v| i64::try_from(v).unwrap_or(i64::MAX)));
    Timestamp => |v| Self::Int(Some(v.micros()));
    Option<Timestamp> => |v| Self::Int(v.map(Timestamp::micros));
    &str => |v| Self::Text(Some(clean(v.to_owned())));
    &String => |v| Self::Text(Some(clean(v.clone())));
    String => |v| Self::Text(Some(clean(v)));
    Option<String> => |v| Self::Text(v.map(clean));
    Option<&str> => |v| Self::Text(v.map(|v| clean(v.to_owned())));
    Uuid => |v| Self::Uuid(Some(v));
    Option<Uuid> => |v| Self::Uuid(v);
    bool => |v| Self::Bool(Some(v));
    Option<bool> => |v| Self::Bool(v);
    Vec<u8> => |v| Self::Bytes(Some(v));
    Option<Vec<u8>> => |v| Self::Bytes(v);
}

/// A statement and what is bound to `$1`, `$2` …
#[derive(Clone, Debug)]
pub(crate) struct Stmt {
    sql: SqlStr,
    values: Vec<Value>,
    is_planned_anew: bool,
}

/// Builds a [`Stmt`] from a text constant and its values in order.
macro_rules! stmt {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::stmt::Stmt::fixed($sql, vec![$($crate::stmt::Value::from($value)),*])
    };
}
pub(crate) use stmt;

impl Stmt {
    pub(crate) fn fixed(sql: &'static str, values: Vec<Value>) -> Self {
        Self { sql: sql.into_sql_str(), values, is_planned_anew: false }
    }

    /// Planned at each use on PostgreSQL. A kept plan that was made while a table was empty reads all of
    /// it for ever after, until statistics are gathered: a claim then took 150 ms instead of one.
    pub(crate) fn planned_anew(self) -> Self {
        Self { is_planned_anew: true, ..self }
    }

    /// A query of a test or a proof.
    #[cfg(feature = "testing")]
    pub(crate) fn of_test(sql: String) -> Self {
        Self { sql: AssertSqlSafe(sql).into_sql_str(), values: Vec::new(), is_planned_anew: false }
    }

    pub(crate) fn lite(&self) -> Query<'_, Sqlite, SqliteArguments> {
        let mut query = sqlx::query(self.sql.clone());
        for value in &self.values {
            query = match value.clone() {
                Value::Int(v) => query.bind(v),
                Value::Text(v) => query.bind(v),
                Value::Uuid(v) => query.bind(v),
                Value::Bool(v) => query.bind(v),
                Value::Bytes(v) => query.bind(v),
            };
        }
        query
    }

    pub(crate) fn pg(&self) -> Query<'_, Postgres, PgArguments> {
        let mut query = sqlx::query(self.sql.clone()).persistent(!self.is_planned_anew);
        for value in &self.values {
            query = match value.clone() {
                Value::Int(v) => query.bind(v),
                Value::Text(v) => query.bind(v),
                Value::Uuid(v) => query.bind(v),
                Value::Bool(v) => query.bind(v),
                Value::Bytes(v) => query.bind(v),
            };
        }
        query
    }
}

/// A statement whose text is put together from fixed parts, for lists with optional filters.
///
/// Only `'static` text can be pushed, so no input ever becomes SQL.
#[derive(Debug, Default)]
pub(crate) struct StmtBuilder {
    sql: String,
    values: Vec<Value>,
}

impl StmtBuilder {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    pub(crate) fn push(&mut self, sql: &'static str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.sql.push('$');
        self.sql.push_str(&self.values.len().to_string());
        self
    }

    /// `(…, …)` of bound values, for `IN`.
    pub(crate) fn bind_list<V: Into<Value>>(
        &mut self,
        values: impl IntoIterator<Item = V>,
    ) -> &mut Self {
        self.push("(");
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
        self.push(")")
    }

    /// Gives the values of a text that numbers its own `$1`, `$2` …; it must come first.
    pub(crate) fn with_values<V: Into<Value>>(
        mut self,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        self.values.extend(values.into_iter().map(Into::into));
        self
    }

    pub(crate) fn build(self) -> Stmt {
        // The text holds 'static parts and `$n` only: see `push` and `bind`.
        Stmt {
            sql: AssertSqlSafe(self.sql).into_sql_str(),
            values: self.values,
            is_planned_anew: false,
        }
    }
}
