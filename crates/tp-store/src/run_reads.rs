//! Reading runs: lists with filters, tabs and cursors, and one run. From the database alone (R-14).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tp_domain::ids::RunId;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{OperationRun, Outcome, RunStatus};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::db::{Reach, Tx};
use crate::error::StoreError;
use crate::policies::contains;
use crate::run_rows::{RunRow, run_columns};
use crate::runs::RUN_GET;
use crate::scope::TenantScope;
use crate::stmt::{Stmt, StmtBuilder, stmt};

/// Counts on tabs stop here and are shown as "2,000+": an exact count is the price of the page
/// (docs/decisions/0008-counts-stop-at-two-thousand.md).
pub const COUNT_CAP: u64 = 2_000;

/// A group of runs that the list offers as a tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunTab {
    /// Queued or running.
    Active,
    /// Failed, partly failed or blocked, and not made good by a later success.
    Attention,
    /// Ended with this outcome.
    Ended(Outcome),
}

/// Which runs are wanted. Empty lists mean "any".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// The tab.
    pub tab: Option<RunTab>,
    /// Only these statuses.
    pub statuses: Vec<RunStatus>,
    /// Only these outcomes.
    pub outcomes: Vec<Outcome>,
    /// Only these kinds, by code.
    pub kinds: Vec<String>,
    /// Part of the initiator's name.
    pub initiator: Option<String>,
    /// Only these reason codes: of the run itself or of one of its failures.
    pub reasons: Vec<ReasonCode>,
    /// Not before.
    pub created_after: Option<Timestamp>,
    /// Before.
    pub created_before: Option<Timestamp>,
    /// Oldest first instead of newest first.
    pub oldest_first: bool,
    /// Where the page begins.
    pub cursor: Option<RunCursor>,
    /// How many rows, 1 to 200.
    pub limit: u32,
}

/// Where a page of runs begins: behind the last row of the page before. Opaque outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCursor {
    created_at: i64,
    id: Uuid,
}

impl RunCursor {
    /// The text for URLs.
    pub fn encode(self) -> String {
        let mut bytes = self.created_at.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`RunCursor::encode`] wrote; anything else is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (at, id) = bytes.split_at_checked(8)?;
        Some(Self {
            created_at: i64::from_be_bytes(at.try_into().ok()?),
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

/// One page of runs.
#[derive(Clone, Debug)]
pub struct RunPage {
    /// The rows.
    pub runs: Vec<OperationRun>,
    /// Where the next page begins; none on the last.
    pub next: Option<RunCursor>,
}

/// How many runs stand behind each tab, each up to [`COUNT_CAP`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TabCounts {
    /// All of the window.
    pub all: u64,
    /// Queued or running.
    pub active: u64,
    /// Needs attention.
    pub attention: u64,
    /// Failed.
    pub failed: u64,
    /// Partially succeeded.
    pub partial: u64,
    /// Succeeded.
    pub succeeded: u64,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

const SAME_KIND_BEFORE: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM operation_runs r WHERE r.scope_id = $1 AND r.kind = $2 AND (r.identity_hash = \
     (SELECT COALESCE(origin_hash, identity_hash) FROM operation_runs WHERE scope_id = $1 AND id = $3) \
     OR r.origin_hash = \
     (SELECT COALESCE(origin_hash, identity_hash) FROM operation_runs WHERE scope_id = $1 AND id = $3)) \
     AND r.id <> $3 ORDER BY r.created_at DESC, r.id DESC LIMIT $4"
);
const ATTENTION: &str = " \
AND EXISTS (SELECT 1 FROM run_attention a WHERE a.scope_id = r.scope_id AND a.run_id = r.id)";

/// Which scopes a list runs over: one tenant, or a person's own tenants.
pub(crate) fn push_scopes(sql: &mut StmtBuilder, scopes: &[Uuid]) {
    match scopes {
        [one] => sql.push(" WHERE r.scope_id = ").bind(*one),
        many => sql.push(" WHERE r.scope_id IN ").bind_list(many.iter().copied()),
    };
}

fn push_filter(sql: &mut StmtBuilder, filter: &RunFilter) {
    match filter.tab {
        None => {}
        Some(RunTab::Active) => {
            sql.push(" AND r.status IN ('queued', 'running')");
        }
        Some(RunTab::Attention) => {
            sql.push(ATTENTION);
        }
        Some(RunTab::Ended(outcome)) => {
            sql.push(" AND r.outcome = ").bind(outcome.as_str());
        }
    }
    if !filter.statuses.is_empty() {
        sql.push(" AND r.status IN ").bind_list(filter.statuses.iter().map(|word| word.as_str()));
    }
    if !filter.outcomes.is_empty() {
        sql.push(" AND r.outcome IN ").bind_list(filter.outcomes.iter().map(|word| word.as_str()));
    }
    if !filter.kinds.is_empty() {
        sql.push(" AND r.kind IN ").bind_list(filter.kinds.iter().map(String::as_str));
    }
    if let Some(initiator) = filter.initiator.as_deref().filter(|name| !name.is_empty()) {
        sql.push(" AND lower(r.initiator_name) LIKE ").bind(contains(initiator));
        sql.push(" ESCAPE '\\'");
    }
    if !filter.reasons.is_empty() {
        sql.push(" AND (r.reason IN ").bind_list(filter.reasons.iter().map(|code| code.as_str()));
        for code in &filter.reasons {
            let part = format!("\"code\":\"{}\"", code.as_str());
            sql.push(" OR r.failures LIKE ").bind(contains(&part)).push(" ESCAPE '\\'");
        }
        sql.push(")");
    }
    if let Some(after) = filter.created_after {
        sql.push(" AND r.created_at >= ").bind(after);
    }
    if let Some(before) = filter.created_before {
        sql.push(" AND r.created_at < ").bind(before);
    }
}

fn list_stmt(scopes: &[Uuid], filter: &RunFilter) -> Stmt {
    let mut sql = StmtBuilder::new(concat!("SELECT ", run_columns!(), " FROM operation_runs r"));
    push_scopes(&mut sql, scopes);
    push_filter(&mut sql, filter);
    if let Some(cursor) = filter.cursor {
        let (created_at, id) = (cursor.created_at, cursor.id);
        sql.push(" AND (r.created_at, r.id) ").push(if filter.oldest_first {
            "> ("
        } else {
            "< ("
        });
        sql.bind(created_at).push(", ").bind(id).push(")");
    }
    sql.push(if filter.oldest_first {
        " ORDER BY r.created_at, r.id"
    } else {
        " ORDER BY r.created_at DESC, r.id DESC"
    });
    // One more than asked for tells whether there is a next page.
    sql.push(" LIMIT ").bind(i64::from(filter.limit.clamp(1, 200)) + 1);
    sql.build()
}

pub(crate) async fn list(
    tx: &mut Tx,
    scopes: &[Uuid],
    filter: &RunFilter,
) -> Result<RunPage, StoreError> {
    if scopes.is_empty() {
        return Ok(RunPage { runs: Vec::new(), next: None });
    }
    let mut rows: Vec<RunRow> = tx.all(list_stmt(scopes, filter)).await?;
    let limit = usize::try_from(filter.limit.clamp(1, 200)).unwrap_or(200);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|row| RunCursor { created_at: row.created_at, id: row.id });
    Ok(RunPage {
        runs: rows.into_iter().map(OperationRun::try_from).collect::<Result<_, _>>()?,
        next,
    })
}

async fn count(tx: &mut Tx, scopes: &[Uuid], filter: &RunFilter) -> Result<u64, StoreError> {
    let mut sql = StmtBuilder::new("SELECT count(*) AS n FROM (SELECT 1 FROM operation_runs r");
    push_scopes(&mut sql, scopes);
    push_filter(&mut sql, filter);
    counted(tx, sql).await
}

async fn counted(tx: &mut Tx, mut sql: StmtBuilder) -> Result<u64, StoreError> {
    sql.push(" LIMIT ").bind(COUNT_CAP + 1).push(") counted");
    Ok(u64::try_from(tx.one::<CountRow>(sql.build()).await?.n).unwrap_or(0))
}

/// Counted in its own small table, not by asking each failed run for a later success.
async fn count_attention(
    tx: &mut Tx,
    scopes: &[Uuid],
    since: Option<Timestamp>,
) -> Result<u64, StoreError> {
    let mut sql = StmtBuilder::new("SELECT count(*) AS n FROM (SELECT 1 FROM run_attention r");
    push_scopes(&mut sql, scopes);
    if let Some(since) = since {
        sql.push(" AND r.created_at >= ").bind(since);
    }
    counted(tx, sql).await
}

pub(crate) async fn tabs(
    tx: &mut Tx,
    scopes: &[Uuid],
    since: Option<Timestamp>,
) -> Result<TabCounts, StoreError> {
    if scopes.is_empty() {
        return Ok(TabCounts::default());
    }
    let with = |tab| RunFilter { tab, created_after: since, ..RunFilter::default() };
    // Active runs are counted whatever their age: none may be overlooked.
    let active = RunFilter { tab: Some(RunTab::Active), ..RunFilter::default() };
    Ok(TabCounts {
        all: count(tx, scopes, &with(None)).await?,
        active: count(tx, scopes, &active).await?,
        attention: count_attention(tx, scopes, since).await?,
        failed: count(tx, scopes, &with(Some(RunTab::Ended(Outcome::Failed)))).await?,
        partial: count(tx, scopes, &with(Some(RunTab::Ended(Outcome::PartiallySucceeded)))).await?,
        succeeded: count(tx, scopes, &with(Some(RunTab::Ended(Outcome::Succeeded)))).await?,
    })
}

impl<C> TenantScope<C> {
    /// One page of the tenant's runs.
    pub async fn run_list(&self, filter: RunFilter) -> Result<RunPage, StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .read(self.reach(), move |tx| {
                Box::pin(async move { list(tx, &[scope], &filter).await })
            })
            .await
    }

    /// How many runs stand behind each tab, since that moment.
    pub async fn run_tabs(&self, since: Option<Timestamp>) -> Result<TabCounts, StoreError> {
        let scope = self.scope_id().uuid();
        self.store
            .db
            .read(self.reach(), move |tx| Box::pin(async move { tabs(tx, &[scope], since).await }))
            .await
    }

    /// The run, or none when this tenant has no such run.
    pub async fn run_get(&self, id: RunId) -> Result<Option<OperationRun>, StoreError> {
        let stmt = stmt!(RUN_GET, self.scope_id().uuid(), id.uuid());
        let row: Option<RunRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(OperationRun::try_from).transpose()
    }

    /// The latest other runs that did the same, newest first: the history of an operation.
    pub async fn run_history(
        &self,
        run: &OperationRun,
        limit: u32,
    ) -> Result<Vec<OperationRun>, StoreError> {
        let scope = self.scope_id().uuid();
        let stmt = stmt!(SAME_KIND_BEFORE, scope, &run.kind, run.id.uuid(), limit);
        let rows: Vec<RunRow> =
            self.store.db.read(Reach::Scope(scope), |tx| Box::pin(tx.all(stmt))).await?;
        rows.into_iter().map(OperationRun::try_from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_writes_and_nothing_else() {
        let cursor = RunCursor { created_at: 1_700_000_000_000_000, id: Uuid::from_u128(7) };
        assert_eq!(RunCursor::parse(&cursor.encode()), Some(cursor));
        for bad in ["", "x", "????", "AAAA", &"A".repeat(200), "' OR 1=1 --"] {
            assert_eq!(RunCursor::parse(bad), None, "{bad:?}");
        }
    }
}
