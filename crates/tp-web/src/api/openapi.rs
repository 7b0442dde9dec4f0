//! The OpenAPI document, made from the route table and from what the handlers say of themselves.

use axum::Json;
use serde_json::{Map, Value, json};
use tp_domain::operation::OperationKind;
use tp_domain::reason::ReasonCode;
use tp_domain::run::{Freshness, Outcome, RunStatus, StepState, WaitingReason};
use tp_domain::schedule::CatchUp;

use crate::routes::{Asks, all};

pub(crate) async fn show() -> Json<Value> {
    Json(openapi())
}

/// What is said of one operation beside its route.
struct Said {
    summary: &'static str,
    query: &'static [(&'static str, &'static str)],
    answer: &'static str,
}

const TYPE_FILTERS: &[(&str, &str)] = &[
    ("q", "Part of the label or of the key, in any case."),
    ("category", "Only this category."),
    ("backup", "full, metadata or none."),
    ("restore", "enabled, preview_only or unsupported."),
];

const RUN_FILTERS: &[(&str, &str)] = &[
    ("status", "Only these statuses; may be repeated."),
    ("outcome", "Only these outcomes; may be repeated."),
    ("kind", "Only these kinds; may be repeated."),
    ("initiator", "Part of the initiator's name."),
    ("reason", "Only these reason codes; may be repeated."),
    ("created_after", "Not before this time (RFC 3339)."),
    ("created_before", "Before this time (RFC 3339)."),
    ("sort", "created_at or -created_at (default)."),
    ("limit", "1 to 200; default 50."),
    ("cursor", "page.next of an earlier answer."),
];

const ITEM_FILTERS: &[(&str, &str)] = &[
    ("state", "Only this state."),
    ("limit", "1 to 200; default 50."),
    ("cursor", "page.next of an earlier answer."),
];

const POLICY_FILTERS: &[(&str, &str)] = &[
    ("type", "Only these policy types; may be repeated."),
    ("q", "Part of the name, in any case."),
    ("platform", "Only this platform."),
    ("missing", "true or false."),
    ("sort", "name, -name, modified_at, -modified_at or type."),
    ("limit", "1 to 200; default 50."),
    ("cursor", "page.next of an earlier answer."),
];

/// Every address of the API must have a line here: a test compares it with the route table.
fn said(method: &str, path: &str) -> Option<Said> {
    let line = |summary, query, answer| Some(Said { summary, query, answer });
    match (method, path) {
        ("GET", "/api/v1/openapi.json") => line("This document", &[], "Object"),
        ("GET", "/api/v1/me") => line("Who asks", &[], "Object"),
        ("GET", "/api/v1/notifications") => line("One's own notifications", &[], "Page"),
        ("POST", "/api/v1/notifications/read") => {
            line("Mark all of one's own notifications as read", &[], "Object")
        }
        ("POST", "/api/v1/notifications/{id}/read") => {
            line("Mark a notification as read", &[], "Object")
        }
        ("GET", "/api/v1/policy-types") => {
            line("Policy types and what can be done with them", TYPE_FILTERS, "Page")
        }
        ("GET", "/api/v1/policy-types/{key}") => {
            line("One policy type with its contract", &[], "Object")
        }
        ("GET", "/api/v1/tenants/{tenant}/policy-types") => {
            line("Policy types and what of them works in a tenant", TYPE_FILTERS, "Page")
        }
        ("GET", "/api/v1/tenants/{tenant}/permissions") => {
            line("What the tenant's app needs, lacks and has too much", &[], "Object")
        }
        ("GET", "/api/v1/reason-codes") => line("Reason codes and what to do", &[], "Page"),
        ("GET", "/api/v1/tenants") => line("The tenants that one may see", &[], "Page"),
        ("POST", "/api/v1/tenants") => line("Add a tenant", &[], "Tenant"),
        ("GET", "/api/v1/tenants/{tenant}") => line("One tenant", &[], "Tenant"),
        ("GET", "/api/v1/runs") => {
            line("Runs of all tenants that one may see", RUN_FILTERS, "RunPage")
        }
        ("GET", "/api/v1/tenants/{tenant}/runs") => {
            line("Runs of a tenant", RUN_FILTERS, "RunPage")
        }
        ("POST", "/api/v1/tenants/{tenant}/runs") => {
            line("Start a run, or find the equal one that is active", &[], "Run")
        }
        ("GET", "/api/v1/tenants/{tenant}/runs/{id}") => {
            line("One run; poll it with If-None-Match", &[], "Run")
        }
        ("GET", "/api/v1/tenants/{tenant}/runs/{id}/items") => {
            line("The items of a run, or its steps", ITEM_FILTERS, "Page")
        }
        ("GET", "/api/v1/tenants/{tenant}/policies") => {
            line("Policies of a tenant", POLICY_FILTERS, "Page")
        }
        ("GET", "/api/v1/tenants/{tenant}/policies/{id}") => line("One policy", &[], "Object"),
        ("GET", "/api/v1/tenants/{tenant}/coverage") => {
            line("What the inventory knows, by policy type", &[], "Page")
        }
        ("GET", "/api/v1/tenants/{tenant}/groups") => {
            line("The cached directory groups", &[("q", "Part of the name, in any case.")], "Page")
        }
        ("GET", "/api/v1/kinds") => line("The kinds of runs and what is said of them", &[], "Page"),
        ("POST", "/api/v1/tenants/{tenant}/runs/{id}/cancel") => {
            line("Cancel a run: at once when queued, at the next item when running", &[], "Run")
        }
        ("POST", "/api/v1/tenants/{tenant}/runs/{id}/retry") => {
            line("Start a new run for what failed of this one, or for all of it", &[], "Run")
        }
        _ => said_of_members(method, path)
            .or_else(|| said_of_restores(method, path))
            .or_else(|| said_of_backups(method, path))
            .or_else(|| said_of_connections(method, path))
            .or_else(|| said_of_workspaces(method, path)),
    }
}

/// Restores.
fn said_of_restores(method: &str, path: &str) -> Option<Said> {
    let line = |summary| Some(Said { summary, query: &[], answer: "Object" });
    match (method, path.strip_prefix("/api/v1/tenants/{tenant}/restores")?) {
        ("GET", "") => Some(Said { summary: "Restores, newest first", query: &[], answer: "Page" }),
        ("POST", "") => line("Begin a restore from a backup set or versions, and make its preview"),
        ("GET", "/{id}") => line("A restore with its plan, what the preview found, and results"),
        ("POST", "/{id}/preview") => line("Make the preview anew"),
        ("POST", "/{id}/discard") => line("Give up a restore that is not confirmed"),
        ("POST", "/{id}/confirm") => {
            line("Confirm the plan: its hash, the tenant's domain in confirm, and a reason")
        }
        ("POST", "/{id}/approve") => line("Agree to a restore that another person has confirmed"),
        ("POST", "/{id}/retry") => line("Do again what failed of a restore"),
        _ => None,
    }
}

/// Members, roles, tokens.
fn said_of_members(method: &str, path: &str) -> Option<Said> {
    let line = |summary, query, answer| Some(Said { summary, query, answer });
    match (method, path) {
        ("GET", "/api/v1/members") => line("Members of the workspace", &[], "Page"),
        ("POST", "/api/v1/members") => {
            line("Invite somebody: the answer holds the link, once", &[], "Object")
        }
        ("PATCH", "/api/v1/members/{id}") => {
            line("Give a member another role, in the workspace or in one tenant", &[], "Object")
        }
        ("DELETE", "/api/v1/members/{id}") => {
            line("Remove a member; their sessions and tokens here end", &[], "Object")
        }
        ("GET", "/api/v1/members/invitations") => line("Open invitations", &[], "Page"),
        ("DELETE", "/api/v1/members/invitations/{id}") => {
            line("Take an invitation back", &[], "Object")
        }
        ("GET", "/api/v1/roles") => line("Roles and what each may do", &[], "Page"),
        ("GET", "/api/v1/capabilities") => line("Capabilities and who has them", &[], "Page"),
        ("GET", "/api/v1/tokens") => {
            let all = &[("all", "true for everybody's; needs members.manage.")];
            line("API tokens: one's own", all, "Page")
        }
        ("POST", "/api/v1/tokens") => {
            line("Make an API token: the answer holds its text, once", &[], "Object")
        }
        ("DELETE", "/api/v1/tokens/{id}") => line("Take an API token back", &[], "Object"),
        _ => None,
    }
}

/// What the answer is where it is no JSON: an archive.
const ARCHIVE: &str = "application/zip";

/// Backup sets, versions, comparisons.
fn said_of_backups(method: &str, path: &str) -> Option<Said> {
    const PAGE: &[(&str, &str)] =
        &[("limit", "1 to 200; default 50."), ("cursor", "page.next of an earlier answer.")];
    const ITEMS: &[(&str, &str)] = &[
        ("q", "Part of the name, in any case."),
        ("type", "Only this policy type."),
        ("state", "captured, unchanged or failed."),
        ("limit", "1 to 200; default 50."),
        ("cursor", "page.next of an earlier answer."),
    ];
    const SIDES: &[(&str, &str)] = &[
        (
            "left",
            "version:ID or live:POLICY (its newest version known here: nothing is read from Microsoft Graph); TENANT/ before it for a policy of another tenant.",
        ),
        ("right", "The same for the other side."),
    ];
    let line = |summary, query, answer| Some(Said { summary, query, answer });
    match (method, path.strip_prefix("/api/v1/tenants/{tenant}")?) {
        ("GET", "/backups") => line("Backup sets, newest first", PAGE, "BackupPage"),
        ("GET", "/backups/{id}") => {
            line("One backup set with its completeness by type", &[], "Backup")
        }
        ("PATCH", "/backups/{id}") => line("Note or pin a backup set", &[], "Backup"),
        ("DELETE", "/backups/{id}") => {
            line("Delete a backup set that is not pinned", &[], "Object")
        }
        ("GET", "/backups/{id}/items") => {
            line("The policies of a backup set", ITEMS, "BackupItemPage")
        }
        ("GET", "/backups/{id}/download") => line(
            "The archive that the latest backup.export of the set has made, as a zip file; 409 while there is none",
            &[],
            ARCHIVE,
        ),
        ("POST", "/uploads") => {
            line("Upload an archive; backup.import makes a backup of it", &[], "Upload")
        }
        ("GET", "/policies/{id}/versions") => {
            line("Versions of a policy, newest first", PAGE, "VersionPage")
        }
        ("GET", "/policies/{id}/versions/{number}") => {
            line("A version of a policy with what it holds", &[], "VersionContent")
        }
        ("GET", "/versions/{id}") => {
            line("A version by its id with what it holds", &[], "VersionContent")
        }
        ("GET", "/compare") => line("What differs between two versions", SIDES, "Diff"),
        ("GET", "/dependencies") => line(
            "What a policy refers to, by its newest version",
            &[("policy", "The policy's id.")],
            "Dependencies",
        ),
        _ => None,
    }
}

/// The connection of a tenant.
fn said_of_connections(method: &str, path: &str) -> Option<Said> {
    let line = |summary, query, answer| Some(Said { summary, query, answer });
    match (method, path.strip_prefix("/api/v1/tenants/{tenant}")?) {
        ("PATCH", "") => line(
            "Replace the credential, and the app registration if it is named",
            &[],
            "Connection",
        ),
        ("GET", "/connection") => {
            line("How the tenant is reached, and what the latest check found", &[], "Connection")
        }
        ("GET", "/certificate") => line(
            "A certificate without its key",
            &[("which", "pending (default) or active.")],
            "Object",
        ),
        ("POST", "/certificate") => {
            line("Make a key pair here; it is not signed in with yet", &[], "Object")
        }
        ("DELETE", "/certificate") => {
            line("Throw away the key pair that is not used yet", &[], "Object")
        }
        ("POST", "/certificate/use") => {
            line("Sign in with the key pair that was made here", &[], "Connection")
        }
        _ => None,
    }
}

fn said_of_workspaces(method: &str, path: &str) -> Option<Said> {
    let line = |summary, query, answer| Some(Said { summary, query, answer });
    if let Some(rest) = path
        .strip_prefix("/api/v1/tenants/{tenant}/schedules")
        .or_else(|| path.strip_prefix("/api/v1/workspaces/{workspace}/schedules"))
    {
        return match (method, rest) {
            ("GET", "") => line("Schedules, by name", &[], "Page"),
            ("POST", "") => line("Make a schedule", &[], "Schedule"),
            ("GET", "/{id}") => line("One schedule with its next times", &[], "Schedule"),
            ("PATCH", "/{id}") => {
                line("Change a schedule; what is left out stays", &[], "Schedule")
            }
            ("DELETE", "/{id}") => line("Delete a schedule; its runs stay", &[], "Object"),
            ("GET", "/{id}/slots") => {
                line("The latest slots", &[("limit", "1 to 200; default 50.")], "Page")
            }
            ("POST", "/{id}/run") => line("Start now what the next slot would start", &[], "Run"),
            _ => None,
        };
    }
    let rest = path.strip_prefix("/api/v1/workspaces/{workspace}")?;
    match (method, rest) {
        ("GET", "/runs") => line("Runs of the workspace itself", RUN_FILTERS, "RunPage"),
        ("POST", "/runs") => line("Start a run of the workspace itself", &[], "Run"),
        ("GET", "/runs/{id}") => line("One run of the workspace, with its children", &[], "Run"),
        ("GET", "/runs/{id}/items") => line("The items of a run", ITEM_FILTERS, "Page"),
        ("POST", "/runs/{id}/cancel") => line("Cancel a run and its children", &[], "Run"),
        ("POST", "/runs/{id}/retry") => {
            line("Do a run of the workspace again, with today's settings", &[], "Run")
        }
        ("GET", "/settings") => line("Retention and concurrency", &[], "Settings"),
        ("PATCH", "/settings") => line("Change retention and concurrency", &[], "Settings"),
        ("GET", "/gates") => line("Closed gates that reach this workspace", &[], "Page"),
        ("POST", "/gates") => line("Close a gate: stop a kind", &[], "Gate"),
        ("POST", "/gates/open") => line("Open a gate", &[], "Object"),
        ("GET", "/platform") => line("Queue and workers", &[], "Object"),
        _ => None,
    }
}

/// The whole document, OpenAPI 3.1.
pub fn openapi() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in all().into_iter().filter(|route| route.path.starts_with("/api/v1/")) {
        let Some(said) = said(route.method.as_str(), route.path) else { continue };
        let entry = paths.entry(route.path.to_owned()).or_insert_with(|| json!({}));
        entry[route.method.as_str().to_lowercase()] =
            operation(route.method.as_str(), route.path, route.asks, &said);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "TenantPilot", "version": env!("CARGO_PKG_VERSION"),
            "description": "Errors are application/problem+json with a stable code and a request id. Times are RFC 3339 in UTC. Ids are opaque.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {"securitySchemes": security(), "schemas": schemas(), "responses": {
            "Problem": {"description": "What went wrong", "content": {"application/problem+json": {"schema": reference("Problem")}}},
        }},
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn operation(method: &str, path: &str, asks: Asks, said: &Said) -> Value {
    let mut parameters: Vec<Value> = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.extend(said.query.iter().map(|(name, text)| {
        json!({"name": name, "in": "query", "description": text, "schema": {"type": "string"}})
    }));
    let good = |description: &str| match said.answer {
        ARCHIVE => json!({"description": description, "content": {"application/zip": {}}}),
        schema => {
            json!({"description": description, "content": {"application/json": {"schema": reference(schema)}}})
        }
    };
    let problem = || json!({"$ref": "#/components/responses/Problem"});
    let mut responses = json!({"default": problem()});
    match (method, shape(method, path)) {
        (_, Shape::Starts) => {
            parameters.push(json!({"name": "Idempotency-Key", "in": "header", "description": "1 to 255 characters; the same key is answered once within 24 hours.", "schema": {"type": "string", "maxLength": 255}}));
            responses["202"] = good("A new run");
            responses["200"] = good("An equal run is active: this one, with deduplicated: true");
        }
        (_, Shape::Makes) => responses["201"] = good("Made"),
        (_, Shape::Cancels) => {
            responses["200"] = good("It has ended as canceled");
            responses["202"] = good("It stops at the next item");
        }
        (_, Shape::Marks) => responses["204"] = json!({"description": "Done"}),
        ("DELETE", _) => responses["204"] = json!({"description": "Gone"}),
        (_, Shape::Plain) => responses["200"] = good("Good"),
    }
    if path.ends_with("/runs/{id}") {
        parameters
            .push(json!({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}}));
        responses["304"] = json!({"description": "Unchanged"});
    }
    let needs = match asks {
        Asks::Nothing => "Nothing is needed.".to_owned(),
        Asks::SignIn => "Needs a token or a session.".to_owned(),
        Asks::Tenant(capability) => format!("Needs the capability {capability}."),
        Asks::Workspace(capability) => {
            format!("Needs the capability {capability} in the workspace.")
        }
        Asks::Kind(_) => "Needs the capability of the kind.".to_owned(),
    };
    let id = format!(
        "{}{}",
        method.to_lowercase(),
        path.replace("/api/v1", "").replace(['/', '{', '}', '.', '-'], "_")
    );
    let mut operation = json!({
        "operationId": id, "summary": said.summary, "description": needs,
        "parameters": parameters, "responses": responses,
    });
    if asks == Asks::Nothing {
        operation["security"] = json!([]);
    }
    if path.ends_with("/uploads") {
        operation["requestBody"] = json!({"required": true, "content": {"application/zip": {}}});
    }
    if let Some(schema) = body_of(method, path) {
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": reference(schema)}}});
    }
    operation
}

/// What kind of answer a change gives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Starts,
    Makes,
    Cancels,
    Marks,
}

fn shape(method: &str, path: &str) -> Shape {
    match path.rsplit('/').next() {
        Some("runs" | "retry" | "run") if method == "POST" => Shape::Starts,
        Some("tenants" | "schedules" | "gates" | "certificate" | "uploads") if method == "POST" => {
            Shape::Makes
        }
        Some("cancel") => Shape::Cancels,
        Some("read") if path.contains("{id}") => Shape::Marks,
        _ => Shape::Plain,
    }
}

/// The schema of what a change is sent; none where it takes no body.
fn body_of(method: &str, path: &str) -> Option<&'static str> {
    match (method, path.rsplit('/').next()?) {
        ("POST", "runs") => Some("Start"),
        ("POST", "retry") => Some("Retry"),
        ("POST", "tenants") => Some("NewTenant"),
        ("POST", "schedules") => Some("NewSchedule"),
        ("POST", "gates") => Some("NewGate"),
        ("POST", "open") => Some("OpenGate"),
        ("POST", "certificate") => Some("NewKeyPair"),
        ("PATCH", "{tenant}") => Some("NewCredential"),
        ("PATCH", "settings") => Some("Settings"),
        ("PATCH", _) => Some("NewSchedule"),
        _ => None,
    }
}

fn schedule_schemas() -> Value {
    let text = || json!({"type": "string"});
    let maybe_time = || json!({"type": ["string", "null"], "format": "date-time"});
    let number = |most: u32| json!({"type": "integer", "minimum": 0, "maximum": most});
    let kinds: Vec<&str> = OperationKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let catch_up: Vec<&str> = CatchUp::ALL.iter().map(|word| word.as_str()).collect();
    let when = json!({"type": "object", "required": ["every"], "properties": {
        "every": {"type": "string", "enum": ["hour", "day", "week", "month", "cron"]},
        "minute": number(59), "hour": number(23), "weekday": number(7), "day": number(28), "cron": text(),
    }});
    let written = json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 100},
        "kind": {"type": "string", "enum": kinds}, "inputs": {"type": "object"},
        "targets": {"description": "null, \"all\", or a list of tenant ids"}, "when": when, "zone": text(),
        "catch_up": {"type": "string", "enum": catch_up}, "spread_seconds": number(3_600),
        "enabled": {"type": "boolean"}, "revision": {"type": "integer"},
    });
    let mut read = written.clone();
    if let Value::Object(map) = &mut read {
        for (name, schema) in [
            ("id", text()),
            ("words", text()),
            ("next_at", maybe_time()),
            (
                "next_times",
                json!({"type": "array", "items": {"type": "string", "format": "date-time"}}),
            ),
            ("created_by", json!({"type": ["string", "null"]})),
            ("created_at", maybe_time()),
        ] {
            map.insert(name.to_owned(), schema);
        }
    }
    json!({
        "NewSchedule": {"type": "object", "additionalProperties": false, "properties": written},
        "Schedule": {"type": "object", "required": ["id", "name", "kind"], "properties": read},
        "Retry": {"type": "object", "additionalProperties": false, "properties": {"only": {"type": "string", "enum": ["failed", "all"]}}},
        "NewGate": {"type": "object", "additionalProperties": false, "required": ["kind", "note", "expires_at"], "properties": {
            "kind": text(), "note": {"type": "string", "minLength": 1},
            "expires_at": {"type": ["string", "null"], "format": "date-time", "description": "When it opens by itself; null for: until it is opened by hand"},
        }},
        "OpenGate": {"type": "object", "additionalProperties": false, "required": ["kind"], "properties": {"kind": text()}},
        "Gate": {"type": ["object", "null"], "properties": {
            "kind": text(), "label": text(), "reach": text(), "note": text(), "closed_by": text(), "closed_at": maybe_time(), "expires_at": maybe_time(),
        }},
        "Settings": {"type": "object", "additionalProperties": false, "properties": {
            "retention_days": {"type": "integer", "minimum": 7, "maximum": 3_650}, "max_running": {"type": "integer", "minimum": 1, "maximum": 1_000},
        }},
    })
}

fn security() -> Value {
    json!({
        "token": {"type": "http", "scheme": "bearer", "description": "An API token: tpat_…"},
        "session": {"type": "apiKey", "in": "cookie", "name": "__Host-tp", "description": "The browser's session; changes need X-CSRF-Token as well."},
    })
}

fn schemas() -> Value {
    let text = || json!({"type": "string"});
    let maybe = || json!({"type": ["string", "null"]});
    let count = || json!({"type": "integer", "minimum": 0});
    let words = |all: Vec<&str>| json!({"type": "string", "enum": all});
    let time = || json!({"type": "string", "format": "date-time"});
    let kinds: Vec<&str> = OperationKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let mut all = json!({
        "Object": {"type": "object"},
        "Problem": {"type": "object", "required": ["type", "title", "status", "detail", "code", "request_id", "errors"], "properties": {
            "type": text(), "title": text(), "status": count(), "detail": text(), "instance": text(), "code": text(), "request_id": text(),
            "errors": {"type": "array", "items": {"type": "object", "properties": {"pointer": text(), "detail": text()}}},
        }},
        "Page": {"type": "object", "required": ["data", "page"], "properties": {
            "data": {"type": "array", "items": {"type": "object"}}, "page": reference("PageInfo"),
        }},
        "PageInfo": {"type": "object", "required": ["next", "has_more"], "properties": {"next": maybe(), "has_more": {"type": "boolean"}}},
        "RunPage": {"type": "object", "required": ["data", "page"], "properties": {
            "data": {"type": "array", "items": reference("Run")}, "page": reference("PageInfo"),
        }},
        "NewTenant": {"type": "object", "additionalProperties": false, "required": ["name", "slug", "entra_tenant_id"], "properties": {
            "name": text(), "slug": text(), "entra_tenant_id": {"type": "string", "format": "uuid"}, "domain": maybe(), "cloud": text(),
            "client_id": maybe(), "client_secret": maybe(), "certificate_pem": maybe(), "credential_expires_at": maybe(),
        }},
        "Tenant": {"type": "object", "required": ["id", "slug", "name"], "properties": {
            "id": text(), "slug": text(), "name": text(), "entra_tenant_id": text(), "domain": maybe(), "cloud": text(), "client_id": maybe(),
            "status": text(), "role": text(), "created_at": time(),
        }},
        "Start": {"type": "object", "additionalProperties": false, "required": ["kind"], "properties": {
            "kind": words(kinds), "inputs": {"type": "object"},
        }},
        "Counts": {"type": "object", "properties": {
            "total": {"type": ["integer", "null"], "minimum": 0}, "processed": count(), "succeeded": count(), "failed": count(), "skipped": count(),
        }},
        "Run": run_schema(),
        "Item": {"type": "object", "properties": {
            "policy_type": text(), "state": words(StepState::ALL.iter().map(|word| word.as_str()).collect()), "listed": count(),
        }},
    });
    for more in [schedule_schemas(), connection_schemas(), super::openapi_backups::schemas()] {
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
    }
    all
}

fn connection_schemas() -> Value {
    let text = || json!({"type": "string"});
    let maybe = || json!({"type": ["string", "null"]});
    let object = || json!({"type": ["object", "null"]});
    json!({
        "NewCredential": {"type": "object", "additionalProperties": false, "properties": {
            "client_id": {"type": "string", "maxLength": 64}, "client_secret": {"type": "string", "maxLength": 1_024, "writeOnly": true},
            "credential_expires_at": {"type": "string", "format": "date-time", "description": "When the secret ends; Microsoft does not tell"},
            "certificate_pem": {"type": "string", "writeOnly": true, "description": "A certificate and its private key, RSA with at least 2048 bits"},
        }},
        "NewKeyPair": {"type": "object", "additionalProperties": false, "properties": {"client_id": {"type": "string", "maxLength": 64}}},
        "Connection": {"type": "object", "required": ["tenant", "permissions"], "properties": {
            "tenant": text(), "entra_tenant_id": text(), "cloud": text(), "client_id": maybe(), "credential": object(), "pending": object(),
            "report": object(), "granted": {"type": ["array", "null"], "items": {"type": "string"}}, "granted_at": maybe(),
            "permissions": {"type": "object"}, "consent_link": maybe(), "consent_callback": text(),
        }},
    })
}

fn run_schema() -> Value {
    let text = || json!({"type": "string"});
    let maybe = || json!({"type": ["string", "null"]});
    let count = || json!({"type": "integer", "minimum": 0});
    let words = |all: Vec<&str>| json!({"type": "string", "enum": all});
    let time = || json!({"type": "string", "format": "date-time"});
    let maybe_time = || json!({"type": ["string", "null"], "format": "date-time"});
    let object = || json!({"type": "object"});
    let objects = || json!({"type": "array", "items": {"type": "object"}});
    let progress = json!({
        "phase": maybe(), "known_total": {"type": "boolean"},
        "waiting_reason": {"type": ["string", "null"], "examples": [WaitingReason::Throttled.as_str()]},
        "waiting_until": maybe_time(),
    });
    let mut properties = json!({
        "id": text(), "tenant": maybe(), "kind": text(), "label": text(),
        "status": words(RunStatus::ALL.iter().map(|word| word.as_str()).collect()),
        "outcome": words(Outcome::ALL.iter().map(|word| word.as_str()).collect()),
        "reason_code": {"type": ["string", "null"], "examples": [ReasonCode::GraphThrottled.as_str()]},
        "message": maybe(), "trigger": object(), "initiator": object(), "inputs": object(),
        "counts": reference("Counts"), "progress": {"type": "object", "properties": progress},
    });
    let more = json!({
        "failures": objects(), "completeness": {"type": ["object", "null"]}, "context": object(),
        "attempt": count(), "max_attempts": count(), "parent": maybe(), "retry_of": maybe(),
        "created_at": time(), "started_at": maybe_time(), "heartbeat_at": maybe_time(),
        "completed_at": maybe_time(), "cancel_requested_at": maybe_time(),
        "freshness": words(Freshness::ALL.iter().map(|word| word.as_str()).collect()),
        "children": objects(), "related": objects(), "links": object(),
        "deduplicated": {"type": "boolean"},
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut properties, more) {
        all.extend(more);
    }
    let required = ["id", "kind", "status", "outcome", "counts", "created_at", "deduplicated"];
    json!({"type": "object", "required": required, "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_api_is_described() {
        for route in all().into_iter().filter(|route| route.path.starts_with("/api/")) {
            let described = said(route.method.as_str(), route.path).is_some();
            assert!(described, "{} {}", route.method, route.path);
        }
    }
}
