//! Reading the inventory: lists with search, filters and pages, and one policy.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use tp_domain::ids::{PolicyId, RunId};
use tp_domain::policy::{ObservedPolicy, Policy, PolicyType};
use tp_domain::time::Timestamp;
use uuid::Uuid;

use crate::claims::ClaimedRun;
use crate::error::StoreError;
use crate::scope::TenantScope;
use crate::stmt::StmtBuilder;
use crate::tenants::bad_row;

/// So many names are asked for in one statement.
const MOST_NAMES: usize = 500;

/// Which policies are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFilter {
    /// Part of the name, in any case.
    pub query: Option<String>,
    /// Only these types; empty means all.
    pub types: Vec<PolicyType>,
    /// Only this platform, as the inventory words it.
    pub platform: Option<String>,
    /// Present, missing or both.
    pub state: PolicyStateFilter,
    /// The order.
    pub sort: PolicySort,
    /// How many rows are passed over.
    pub offset: u32,
    /// How many rows are wanted, 1 to 200.
    pub limit: u32,
}

/// Whether missing policies are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyStateFilter {
    /// All.
    #[default]
    Any,
    /// Those that the latest complete sync saw.
    Present,
    /// Those that it did not.
    Missing,
}

/// The order of a policy list; ties are broken by id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicySort {
    /// By name, from A.
    #[default]
    Name,
    /// By name, from Z.
    NameDown,
    /// By Graph's last change, newest first.
    ModifiedDown,
    /// By Graph's last change, oldest first.
    Modified,
    /// By policy type.
    Type,
}

/// One page of policies.
#[derive(Clone, Debug)]
pub struct PolicyPage {
    /// The rows.
    pub policies: Vec<Policy>,
    /// How many there are in all, for this filter.
    pub total: u64,
}

#[derive(sqlx::FromRow)]
struct PolicyRow {
    id: Uuid,
    policy_type: String,
    graph_id: String,
    name: Option<String>,
    platform: Option<String>,
    odata_type: Option<String>,
    created_at: Option<i64>,
    modified_at: Option<i64>,
    scope_tags: String,
    assigned: Option<bool>,
    metadata: String,
    first_seen_at: i64,
    last_seen_at: i64,
    last_seen_run: Uuid,
    missing: bool,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    n: i64,
}

#[derive(sqlx::FromRow)]
struct WordRow {
    word: String,
}

const MISSING: &str = "\
(i.complete_run IS NOT NULL AND p.last_seen_run <> i.complete_run AND p.last_seen_at < i.complete_at)";
const FROM: &str = " \
FROM policies p LEFT JOIN inventory_types i ON i.scope_id = p.scope_id AND i.policy_type = p.policy_type
 WHERE p.scope_id = ";
const COLUMNS: &str = "\
SELECT p.id, p.policy_type, p.graph_id, p.name, p.platform, p.odata_type, p.created_at, p.modified_at,
       p.scope_tags, p.assigned, p.metadata, p.first_seen_at, p.last_seen_at, p.last_seen_run, ";
const PLATFORMS: &str = "\
SELECT DISTINCT platform AS word FROM policies WHERE scope_id = $1 AND platform IS NOT NULL ORDER BY 1";

impl TryFrom<PolicyRow> for Policy {
    type Error = StoreError;

    fn try_from(row: PolicyRow) -> Result<Self, StoreError> {
        let bad = |column| bad_row("policies", column);
        let at = Timestamp::from_micros;
        Ok(Self {
            id: PolicyId::from_uuid(row.id),
            policy_type: PolicyType::new(&row.policy_type).map_err(|_| bad("policy_type"))?,
            observed: ObservedPolicy {
                graph_id: row.graph_id,
                name: row.name,
                platform: row.platform,
                odata_type: row.odata_type,
                created_at: row.created_at.map(at),
                modified_at: row.modified_at.map(at),
                scope_tags: serde_json::from_str(&row.scope_tags).map_err(|_| bad("scope_tags"))?,
                assigned: row.assigned,
                metadata: serde_json::from_str::<Value>(&row.metadata)
                    .map_err(|_| bad("metadata"))?,
            },
            first_seen_at: at(row.first_seen_at),
            last_seen_at: at(row.last_seen_at),
            last_seen_run: RunId::from_uuid(row.last_seen_run),
            missing: row.missing,
        })
    }
}

/// A text for LIKE in which nothing of the input is a wildcard.
pub(crate) fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.to_lowercase().replace('\0', "\u{fffd}").chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn push_filter(sql: &mut StmtBuilder, filter: &PolicyFilter) {
    if let Some(query) = filter.query.as_deref().filter(|query| !query.is_empty()) {
        sql.push(" AND p.name_key LIKE ").bind(contains(query)).push(" ESCAPE '\\'");
    }
    if !filter.types.is_empty() {
        sql.push(" AND p.policy_type IN ");
        sql.bind_list(filter.types.iter().map(PolicyType::as_str));
    }
    if let Some(platform) = &filter.platform {
        sql.push(" AND p.platform = ").bind(platform.as_str());
    }
    match filter.state {
        PolicyStateFilter::Any => {}
        PolicyStateFilter::Present => {
            sql.push(" AND NOT ").push("COALESCE(").push(MISSING).push(", FALSE)");
        }
        PolicyStateFilter::Missing => {
            sql.push(" AND ").push(MISSING);
        }
    }
}

impl<C> TenantScope<C> {
    /// One page of the tenant's policies.
    pub async fn policy_list(&self, filter: PolicyFilter) -> Result<PolicyPage, StoreError> {
        let scope = self.scope_id().uuid();
        let mut count = StmtBuilder::new("SELECT count(*) AS n");
        count.push(FROM).bind(scope);
        push_filter(&mut count, &filter);
        let mut list = StmtBuilder::new(COLUMNS);
        list.push("COALESCE(").push(MISSING).push(", FALSE) AS missing").push(FROM).bind(scope);
        push_filter(&mut list, &filter);
        list.push(match filter.sort {
            PolicySort::Name => " ORDER BY p.name_key, p.id",
            PolicySort::NameDown => " ORDER BY p.name_key DESC, p.id DESC",
            PolicySort::ModifiedDown => " ORDER BY COALESCE(p.modified_at, 0) DESC, p.id DESC",
            PolicySort::Modified => " ORDER BY COALESCE(p.modified_at, 0), p.id",
            PolicySort::Type => " ORDER BY p.policy_type, p.name_key, p.id",
        });
        list.push(" LIMIT ").bind(filter.limit.clamp(1, 200)).push(" OFFSET ").bind(filter.offset);
        let (count, list) = (count.build(), list.build());
        let (count, rows): (CountRow, Vec<PolicyRow>) = self
            .store
            .db
            .read(self.reach(), |tx| {
                Box::pin(async move { Ok((tx.one(count).await?, tx.all(list).await?)) })
            })
            .await?;
        Ok(PolicyPage {
            policies: rows.into_iter().map(Policy::try_from).collect::<Result<_, _>>()?,
            total: u64::try_from(count.n).unwrap_or(0),
        })
    }

    /// One policy, or none when this tenant has no such policy.
    pub async fn policy_get(&self, id: PolicyId) -> Result<Option<Policy>, StoreError> {
        let mut sql = StmtBuilder::new(COLUMNS);
        sql.push("COALESCE(").push(MISSING).push(", FALSE) AS missing").push(FROM);
        sql.bind(self.scope_id().uuid()).push(" AND p.id = ").bind(id.uuid());
        let stmt = sql.build();
        let row: Option<PolicyRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.optional(stmt))).await?;
        row.map(Policy::try_from).transpose()
    }

    /// The platforms that occur in this tenant, for the filter.
    pub async fn policy_platforms(&self) -> Result<Vec<String>, StoreError> {
        let stmt = crate::stmt::stmt!(PLATFORMS, self.scope_id().uuid());
        let rows: Vec<WordRow> =
            self.store.db.read(self.reach(), |tx| Box::pin(tx.all(stmt))).await?;
        Ok(rows.into_iter().map(|row| row.word).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn a_search_text_is_never_a_pattern() {
        assert_eq!(contains("50%_A\\"), "%50\\%\\_a\\\\%");
    }
}

#[derive(sqlx::FromRow)]
struct IdOfNameRow {
    graph_id: String,
    name: String,
}

#[derive(sqlx::FromRow)]
struct NameRow {
    policy_type: String,
    graph_id: String,
    name: String,
}

impl ClaimedRun {
    /// Names that the inventory has of these objects, given by type and Graph id.
    pub async fn names_in_inventory(
        &self,
        objects: Vec<(String, String)>,
    ) -> Result<Vec<((String, String), String)>, StoreError> {
        let mut found = Vec::with_capacity(objects.len());
        for part in objects.chunks(MOST_NAMES) {
            let mut sql = StmtBuilder::new(
                "SELECT policy_type, graph_id, name FROM policies WHERE scope_id = ",
            );
            sql.bind(self.claimed.scope).push(" AND name IS NOT NULL AND policy_type IN ");
            let types: BTreeSet<&str> = part.iter().map(|(key, _)| key.as_str()).collect();
            sql.bind_list(types).push(" AND graph_id IN ");
            sql.bind_list(part.iter().map(|(_, id)| id.as_str()));
            let stmt = sql.build();
            let reach = self.claimed.reach();
            let rows: Vec<NameRow> = self.store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
            let wanted: BTreeSet<&(String, String)> = part.iter().collect();
            let named = rows.into_iter().map(|row| ((row.policy_type, row.graph_id), row.name));
            found.extend(named.filter(|(object, _)| wanted.contains(object)));
        }
        Ok(found)
    }

    /// The id of each object that alone has its name, by kind (`group`, or a policy type's key) and name. A
    /// name that two have, in any case, stands for neither.
    pub async fn ids_of_names(
        &self,
        wanted: BTreeSet<(String, String)>,
    ) -> Result<HashMap<(String, String), String>, StoreError> {
        let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (kind, name) in wanted {
            kinds.entry(kind).or_default().push(name);
        }
        let mut found = HashMap::new();
        for (kind, names) in kinds {
            for part in names.chunks(MOST_NAMES) {
                let keys = part.iter().map(|name| name.to_lowercase());
                let mut sql = if kind == "group" {
                    StmtBuilder::new(
                        "SELECT graph_id, name FROM directory_groups WHERE scope_id = ",
                    )
                } else {
                    StmtBuilder::new("SELECT graph_id, name FROM policies WHERE scope_id = ")
                };
                sql.bind(self.claimed.scope);
                if kind != "group" {
                    sql.push(" AND policy_type = ").bind(kind.as_str());
                }
                sql.push(" AND name_key IN ");
                sql.bind_list(keys);
                let stmt = sql.build();
                let reach = self.claimed.reach();
                let rows: Vec<IdOfNameRow> =
                    self.store.db.read(reach, |tx| Box::pin(tx.all(stmt))).await?;
                for name in part {
                    let key = name.to_lowercase();
                    let mut same = rows.iter().filter(|row| row.name.to_lowercase() == key);
                    if let (Some(one), None) = (same.next(), same.next())
                        && one.name == *name
                    {
                        found.insert((kind.clone(), name.clone()), one.graph_id.clone());
                    }
                }
            }
        }
        Ok(found)
    }
}
