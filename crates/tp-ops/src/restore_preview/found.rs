//! What a preview has found, as it is kept for the page.

use serde_json::json;
use tp_domain::json::Json;

use super::node::Seen;

/// The form's number. A reader that does not know the number shows nothing of it.
const FORMAT: u64 = 1;

/// All that is shown of the nodes beside the plan itself.
pub(super) fn json(seen: &[Seen], skipped: &[String]) -> Json {
    let node = |one: &Seen| {
        json!({
            "key": one.node.key,
            "version": one.version.id.to_string(),
            "number": one.version.number,
            "diff": one.diff,
            "reach": one.reach.json(&one.version.names),
            "lacking": one.lacking.iter().map(|lack| json!({
                "kind": lack.kind, "id": lack.id,
                "name": one.version.names.0.get(&lack.kind).and_then(|ids| ids.get(&lack.id.to_lowercase())),
                "suggestions": lack.suggestions,
            })).collect::<Vec<_>>(),
            "namesakes": one.namesakes,
            "mapped": one.mapped.iter().map(|one| json!({
                "kind": one.kind, "id": one.id, "to": one.to, "by": one.by,
            })).collect::<Vec<_>>(),
            "permissions": one.permissions,
        })
    };
    Json::from(json!({
        "format": FORMAT,
        "nodes": seen.iter().map(node).collect::<Vec<_>>(),
        "skipped": skipped,
    }))
}
