-- The first schema. Rows of tenants carry (scope_id, workspace_id, tenant_id): scope_id is the
-- tenant's id, or the workspace's for rows of the workspace itself, and leads every key.
-- Times are microseconds since 1970 in UTC. Statements are written for both databases alike.

CREATE TABLE workspaces (
  id BLOB NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
  id BLOB NOT NULL PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  password_hash TEXT,
  status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
  failed_sign_ins INTEGER NOT NULL DEFAULT 0,
  locked_until INTEGER,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
  scope_id BLOB NOT NULL,
  user_id BLOB NOT NULL REFERENCES users (id),
  workspace_id BLOB NOT NULL REFERENCES workspaces (id),
  tenant_id BLOB,
  role TEXT NOT NULL CHECK (role IN ('owner', 'manager', 'operator', 'reader', 'auditor')),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, user_id)
) STRICT;
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE sessions (
  token_hash BLOB NOT NULL PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  user_id BLOB NOT NULL REFERENCES users (id),
  workspace_id BLOB NOT NULL REFERENCES workspaces (id),
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_tokens (
  token_hash BLOB NOT NULL PRIMARY KEY,
  id BLOB NOT NULL UNIQUE,
  user_id BLOB NOT NULL REFERENCES users (id),
  workspace_id BLOB NOT NULL REFERENCES workspaces (id),
  name TEXT NOT NULL,
  capabilities TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at INTEGER
) STRICT;

CREATE TABLE tenants (
  id BLOB NOT NULL PRIMARY KEY,
  workspace_id BLOB NOT NULL REFERENCES workspaces (id),
  slug TEXT NOT NULL,
  name TEXT NOT NULL,
  entra_tenant_id BLOB NOT NULL,
  domain TEXT,
  cloud TEXT NOT NULL,
  client_id TEXT,
  client_secret_sealed TEXT,
  status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
  created_at INTEGER NOT NULL,
  UNIQUE (workspace_id, slug),
  UNIQUE (workspace_id, entra_tenant_id)
) STRICT;

CREATE TABLE operation_runs (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  kind TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed')),
  outcome TEXT NOT NULL
    CHECK (outcome IN ('pending', 'succeeded', 'partially_succeeded', 'failed', 'blocked', 'canceled')),
  identity_hash TEXT NOT NULL,
  initiator_id BLOB,
  initiator_name TEXT NOT NULL,
  trigger_kind TEXT NOT NULL,
  inputs TEXT NOT NULL,
  total INTEGER,
  processed INTEGER NOT NULL DEFAULT 0,
  succeeded INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0,
  phase TEXT,
  waiting_reason TEXT,
  waiting_until INTEGER,
  reason TEXT,
  message TEXT,
  failures TEXT NOT NULL DEFAULT '[]',
  context TEXT NOT NULL DEFAULT '{}',
  attempt INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL,
  parent_id BLOB,
  retry_of BLOB,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  heartbeat_at INTEGER,
  completed_at INTEGER,
  cancel_requested_at INTEGER,
  revision INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (scope_id, id),
  CHECK (succeeded >= 0 AND failed >= 0 AND skipped >= 0),
  CHECK (processed = succeeded + failed + skipped),
  CHECK (total IS NULL OR processed <= total),
  CHECK ((status = 'completed') = (outcome <> 'pending')),
  CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
  CHECK (status <> 'queued' OR started_at IS NULL),
  CHECK (status <> 'running' OR started_at IS NOT NULL)
) STRICT;
-- The one rule against doing the same thing twice at once (PRODUCT R-3).
CREATE UNIQUE INDEX operation_runs_active ON operation_runs (scope_id, kind, identity_hash)
  WHERE status IN ('queued', 'running');
CREATE INDEX operation_runs_newest ON operation_runs (scope_id, created_at DESC, id DESC);
CREATE INDEX operation_runs_outcome ON operation_runs (scope_id, outcome, created_at DESC, id DESC);
CREATE INDEX operation_runs_same ON operation_runs (scope_id, kind, identity_hash, created_at DESC);

-- Ended runs that somebody should look at: not voided by a later success of the same identity. Kept
-- apart, because a run that has ended never changes.
CREATE TABLE run_attention (
  scope_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  kind TEXT NOT NULL,
  identity_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, run_id),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id)
) STRICT;
CREATE INDEX run_attention_same ON run_attention (scope_id, kind, identity_hash);
CREATE INDEX run_attention_newest ON run_attention (scope_id, created_at DESC);

CREATE TABLE jobs (
  scope_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  kind TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ready', 'leased')),
  priority INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  attempt INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  lease_owner BLOB,
  lease_until INTEGER,
  holds TEXT,
  PRIMARY KEY (scope_id, run_id),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id),
  CHECK ((state = 'leased') = (lease_owner IS NOT NULL AND lease_until IS NOT NULL))
) STRICT;
CREATE INDEX jobs_ready ON jobs (priority, run_at, run_id) WHERE state = 'ready';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'leased';

CREATE TABLE run_steps (
  scope_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  policy_type TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  position INTEGER NOT NULL,
  state TEXT NOT NULL,
  completeness TEXT,
  reason TEXT,
  permission TEXT,
  listed INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER,
  completed_at INTEGER,
  PRIMARY KEY (scope_id, run_id, policy_type),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id)
) STRICT;

CREATE TABLE policies (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  policy_type TEXT NOT NULL,
  graph_id TEXT NOT NULL,
  name TEXT,
  name_key TEXT NOT NULL,
  platform TEXT,
  odata_type TEXT,
  created_at INTEGER,
  modified_at INTEGER,
  scope_tags TEXT NOT NULL,
  assigned INTEGER,
  metadata TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  first_seen_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  last_seen_run BLOB NOT NULL,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, policy_type, graph_id)
) STRICT;
CREATE INDEX policies_name ON policies (scope_id, name_key, id);

CREATE TABLE inventory_types (
  scope_id BLOB NOT NULL,
  policy_type TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  permission TEXT,
  listed INTEGER NOT NULL,
  synced_at INTEGER NOT NULL,
  synced_run BLOB NOT NULL,
  complete_at INTEGER,
  complete_run BLOB,
  complete_listed INTEGER,
  shrunk_digest TEXT,
  PRIMARY KEY (scope_id, policy_type)
) STRICT;

CREATE TABLE directory_groups (
  scope_id BLOB NOT NULL,
  graph_id TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  name TEXT,
  name_key TEXT NOT NULL,
  group_type TEXT NOT NULL,
  first_seen_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  last_seen_run BLOB NOT NULL,
  PRIMARY KEY (scope_id, graph_id)
) STRICT;

CREATE TABLE notifications (
  scope_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  moment TEXT NOT NULL CHECK (moment IN ('queued', 'ended')),
  id BLOB NOT NULL UNIQUE,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  user_id BLOB NOT NULL,
  kind TEXT NOT NULL,
  outcome TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  read_at INTEGER,
  -- Exactly one queued and one terminal notification per run (PRODUCT R-13).
  PRIMARY KEY (scope_id, run_id, moment)
) STRICT;
CREATE INDEX notifications_user ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;

CREATE TABLE audit_entries (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  at INTEGER NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id BLOB,
  actor_name TEXT NOT NULL,
  action TEXT NOT NULL,
  target_kind TEXT NOT NULL,
  target_id TEXT NOT NULL,
  run_id BLOB,
  request_id TEXT,
  details TEXT NOT NULL,
  PRIMARY KEY (scope_id, id)
) STRICT;

CREATE TABLE idempotency_keys (
  scope_id BLOB NOT NULL,
  caller BLOB NOT NULL,
  key_text TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  body_hash TEXT NOT NULL,
  run_id BLOB NOT NULL,
  created INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, caller, key_text)
) STRICT;

CREATE TABLE workers (
  id BLOB NOT NULL PRIMARY KEY,
  started_at INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  concurrency INTEGER NOT NULL
) STRICT;

-- Audit rows are written once.
CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'rows of audit_entries are written once'); END;
CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'rows of audit_entries are written once'); END;
