//! The schemas of backup sets, versions and comparisons.

use serde_json::{Value, json};
use tp_domain::backup::{BackupItemState, BackupState};
use tp_domain::completeness::CompletenessState;
use tp_domain::reason::ReasonCode;
use tp_domain::version::Purpose;

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn page_of(name: &str) -> Value {
    json!({"type": "object", "required": ["data", "page"], "properties": {
        "data": {"type": "array", "items": reference(name)}, "page": reference("PageInfo"),
    }})
}

/// By name.
pub(super) fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let maybe = || json!({"type": ["string", "null"]});
    let count = || json!({"type": "integer", "minimum": 0});
    let truth = || json!({"type": "boolean"});
    let time = || json!({"type": "string", "format": "date-time"});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let reason =
        || json!({"type": ["string", "null"], "examples": [ReasonCode::GraphThrottled.as_str()]});
    let words = |all: Vec<&str>| json!({"type": "string", "enum": all});
    let maybe_time = || json!({"type": ["string", "null"], "format": "date-time"});
    let states = words(BackupState::ALL.iter().map(|word| word.as_str()).collect());
    let item_states = words(BackupItemState::ALL.iter().map(|word| word.as_str()).collect());
    let seen = words(CompletenessState::ALL.iter().map(|word| word.as_str()).collect());
    let purposes = words(Purpose::ALL.iter().map(|word| word.as_str()).collect());
    let version = json!({"type": "object", "required": ["id", "number", "type", "graph_id", "captured_at"], "properties": {
        "id": text(), "number": count(), "type": text(), "type_label": text(), "graph_id": text(), "name": maybe(),
        "purpose": purposes, "run": text(), "captured_at": time(),
        "modified_text": {"type": ["string", "null"], "description": "What Graph said of the last change, as it wrote it"},
        "assignments": {"type": "integer", "minimum": 0, "description": "How many"},
        "redactions": {"type": "integer", "minimum": 0, "description": "How many secrets were taken out"},
    }});
    json!({
        "BackupPage": page_of("Backup"),
        "Backup": {"type": "object", "required": ["number", "state", "items", "created_at"], "properties": {
            "number": count(), "id": text(), "state": states, "selection": {"type": "object"}, "full_pass": truth(), "note": maybe(),
            "pinned": truth(), "created_at": time(), "completed_at": maybe_time(), "items": count(), "failed_items": count(),
            "new_versions": count(), "run": text(),
            "imported_from": {"type": ["object", "null"], "description": "Where an imported set comes from", "properties": {
                "tool": text(), "backup": {"type": ["integer", "null"]}, "created_at": maybe(), "root": maybe(),
            }},
            "archive": {"type": ["object", "null"], "description": "The archive that can be downloaded; only where one set is asked for", "properties": {
                "bytes": count(), "sha256": text(), "root": maybe(), "run": maybe(), "created_at": time(), "expires_at": time(),
            }},
            "types": {"type": "array", "description": "Only where one set is asked for", "items": {"type": "object", "properties": {
                "type": text(), "label": text(), "state": seen, "reason_code": reason(), "permission": maybe(), "listed": count(),
                "saved": count(), "failed": count(),
            }}},
        }},
        "Upload": {"type": "object", "required": ["id", "bytes", "sha256"], "properties": {"id": text(), "bytes": count(), "sha256": text()}},
        "BackupItemPage": page_of("BackupItem"),
        "BackupItem": {"type": "object", "required": ["type", "graph_id", "state"], "properties": {
            "type": text(), "graph_id": text(), "name": maybe(), "state": item_states,
            "version": {"type": ["string", "null"], "description": "The version's id"},
            "reason_code": reason(), "graph_request_id": maybe(),
        }},
        "VersionPage": page_of("Version"),
        "Version": version,
        "VersionContent": {"allOf": [reference("Version"), {"type": "object", "required": ["payload", "redacted"], "properties": {
            "payload": {"type": "object", "description": "The object; [redacted] stands for secrets, [withheld] for scripts that one may not see. Numbers are as Graph wrote them, however long."},
            "assignment_list": {"type": ["array", "null"], "items": {"type": "object"}},
            "redacted": texts(), "withheld": texts(), "readable": {"type": ["object", "null"]},
            "names": {"type": "object", "description": "Names of what it refers to at that time, by kind and id"},
        }}]},
        "Diff": {"type": "object", "required": ["left", "right", "summary", "entries"], "properties": {
            "left": reference("DiffSide"), "right": reference("DiffSide"), "across_tenants": truth(), "scripts_hidden": truth(),
            "summary": {"type": "object", "properties": {"added": count(), "removed": count(), "changed": count(), "same": count()}},
            "entries": {"type": "array", "items": reference("DiffEntry")},
            "technical": {"type": "array", "description": "What the service writes by itself; not counted", "items": reference("DiffEntry")},
            "unknown": {"type": "array", "items": {"type": "object", "properties": {"pointer": text(), "label": text(), "why": text()}}},
            "by_name": {"type": "array", "items": {"type": "object", "properties": {"to": text(), "name": text(), "left": text(), "right": text()}}},
        }},
        "DiffSide": {"allOf": [reference("Version"), {"type": "object", "properties": {
            "tenant": text(),
            "live": {"type": ["object", "null"], "properties": {
                "policy": text(), "means": text(), "since_capture": words(vec!["changed", "same", "not_told"]), "last_seen_at": time(),
            }},
        }}]},
        "DiffEntry": {"type": "object", "required": ["pointer", "label", "kind"], "properties": {
            "pointer": text(), "left_pointer": text(), "inner": text(), "label": text(), "within": texts(),
            "section": {"description": "A word, or {\"part\": NAME}", "type": ["string", "object"]},
            "kind": words(vec!["added", "removed", "changed"]), "left": {"type": ["object", "null"]}, "right": {"type": ["object", "null"]},
            "secret": truth(), "restricted": truth(), "note": text(), "lines": {"type": "object"},
        }},
        "Dependencies": {"type": "object", "required": ["policy", "data"], "properties": {
            "policy": text(), "version": {"oneOf": [reference("Version"), {"type": "null"}]},
            "data": {"type": "array", "items": {"type": "object", "properties": {
                "kind": text(), "id": text(), "name": maybe(), "pointers": texts(), "policy": maybe(), "resolved": truth(),
            }}},
        }},
    })
}
