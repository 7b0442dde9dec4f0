-- The first schema. Rows of tenants carry (scope_id, workspace_id, tenant_id): scope_id is the
-- tenant's id, or the workspace's for rows of the workspace itself, and leads every key.
-- Times are microseconds since 1970 in UTC. Statements are written for both databases alike.

CREATE TABLE workspaces (
  id UUID NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE users (
  id UUID NOT NULL PRIMARY KEY,
  email TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  password_hash TEXT,
  status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
  failed_sign_ins BIGINT NOT NULL DEFAULT 0,
  locked_until BIGINT,
  created_at BIGINT NOT NULL
);

CREATE TABLE memberships (
  scope_id UUID NOT NULL,
  user_id UUID NOT NULL REFERENCES users (id),
  workspace_id UUID NOT NULL REFERENCES workspaces (id),
  tenant_id UUID,
  role TEXT NOT NULL CHECK (role IN ('owner', 'manager', 'operator', 'reader', 'auditor')),
  created_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, user_id)
);
CREATE INDEX memberships_user ON memberships (user_id);

CREATE TABLE sessions (
  token_hash BYTEA NOT NULL PRIMARY KEY,
  id UUID NOT NULL UNIQUE,
  user_id UUID NOT NULL REFERENCES users (id),
  workspace_id UUID NOT NULL REFERENCES workspaces (id),
  created_at BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE api_tokens (
  token_hash BYTEA NOT NULL PRIMARY KEY,
  id UUID NOT NULL UNIQUE,
  user_id UUID NOT NULL REFERENCES users (id),
  workspace_id UUID NOT NULL REFERENCES workspaces (id),
  name TEXT NOT NULL,
  capabilities TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  last_used_at BIGINT,
  revoked_at BIGINT
);

CREATE TABLE tenants (
  id UUID NOT NULL PRIMARY KEY,
  workspace_id UUID NOT NULL REFERENCES workspaces (id),
  slug TEXT NOT NULL,
  name TEXT NOT NULL,
  entra_tenant_id UUID NOT NULL,
  domain TEXT,
  cloud TEXT NOT NULL,
  client_id TEXT,
  client_secret_sealed TEXT,
  status TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
  created_at BIGINT NOT NULL,
  UNIQUE (workspace_id, slug),
  UNIQUE (workspace_id, entra_tenant_id)
);

CREATE TABLE operation_runs (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  kind TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'completed')),
  outcome TEXT NOT NULL
    CHECK (outcome IN ('pending', 'succeeded', 'partially_succeeded', 'failed', 'blocked', 'canceled')),
  identity_hash TEXT NOT NULL,
  initiator_id UUID,
  initiator_name TEXT NOT NULL,
  trigger_kind TEXT NOT NULL,
  inputs TEXT NOT NULL,
  total BIGINT,
  processed BIGINT NOT NULL DEFAULT 0,
  succeeded BIGINT NOT NULL DEFAULT 0,
  failed BIGINT NOT NULL DEFAULT 0,
  skipped BIGINT NOT NULL DEFAULT 0,
  phase TEXT,
  waiting_reason TEXT,
  waiting_until BIGINT,
  reason TEXT,
  message TEXT,
  failures TEXT NOT NULL DEFAULT '[]',
  context TEXT NOT NULL DEFAULT '{}',
  attempt BIGINT NOT NULL DEFAULT 0,
  max_attempts BIGINT NOT NULL,
  parent_id UUID,
  retry_of UUID,
  created_at BIGINT NOT NULL,
  started_at BIGINT,
  heartbeat_at BIGINT,
  completed_at BIGINT,
  cancel_requested_at BIGINT,
  revision BIGINT NOT NULL DEFAULT 1,
  PRIMARY KEY (scope_id, id),
  CHECK (succeeded >= 0 AND failed >= 0 AND skipped >= 0),
  CHECK (processed = succeeded + failed + skipped),
  CHECK (total IS NULL OR processed <= total),
  CHECK ((status = 'completed') = (outcome <> 'pending')),
  CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
  CHECK (status <> 'queued' OR started_at IS NULL),
  CHECK (status <> 'running' OR started_at IS NOT NULL)
);
-- The one rule against doing the same thing twice at once (PRODUCT R-3).
CREATE UNIQUE INDEX operation_runs_active ON operation_runs (scope_id, kind, identity_hash)
  WHERE status IN ('queued', 'running');
CREATE INDEX operation_runs_newest ON operation_runs (scope_id, created_at DESC, id DESC);
CREATE INDEX operation_runs_outcome ON operation_runs (scope_id, outcome, created_at DESC, id DESC);
CREATE INDEX operation_runs_same ON operation_runs (scope_id, kind, identity_hash, created_at DESC);

-- Ended runs that somebody should look at: not voided by a later success of the same identity. Kept
-- apart, because a run that has ended never changes.
CREATE TABLE run_attention (
  scope_id UUID NOT NULL,
  run_id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  kind TEXT NOT NULL,
  identity_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, run_id),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id)
);
CREATE INDEX run_attention_same ON run_attention (scope_id, kind, identity_hash);
CREATE INDEX run_attention_newest ON run_attention (scope_id, created_at DESC);

CREATE TABLE jobs (
  scope_id UUID NOT NULL,
  run_id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  kind TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('ready', 'leased')),
  priority BIGINT NOT NULL,
  run_at BIGINT NOT NULL,
  attempt BIGINT NOT NULL DEFAULT 0,
  fence BIGINT NOT NULL DEFAULT 0,
  lease_owner UUID,
  lease_until BIGINT,
  holds TEXT,
  PRIMARY KEY (scope_id, run_id),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id),
  CHECK ((state = 'leased') = (lease_owner IS NOT NULL AND lease_until IS NOT NULL))
);
CREATE INDEX jobs_ready ON jobs (priority, run_at, run_id) WHERE state = 'ready';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'leased';

CREATE TABLE run_steps (
  scope_id UUID NOT NULL,
  run_id UUID NOT NULL,
  policy_type TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  position BIGINT NOT NULL,
  state TEXT NOT NULL,
  completeness TEXT,
  reason TEXT,
  permission TEXT,
  listed BIGINT NOT NULL DEFAULT 0,
  started_at BIGINT,
  completed_at BIGINT,
  PRIMARY KEY (scope_id, run_id, policy_type),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id)
);

CREATE TABLE policies (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  policy_type TEXT NOT NULL,
  graph_id TEXT NOT NULL,
  name TEXT,
  name_key TEXT NOT NULL,
  platform TEXT,
  odata_type TEXT,
  created_at BIGINT,
  modified_at BIGINT,
  scope_tags TEXT NOT NULL,
  assigned BOOLEAN,
  metadata TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  first_seen_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL,
  last_seen_run UUID NOT NULL,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, policy_type, graph_id)
);
CREATE INDEX policies_name ON policies (scope_id, name_key, id);

CREATE TABLE inventory_types (
  scope_id UUID NOT NULL,
  policy_type TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  permission TEXT,
  listed BIGINT NOT NULL,
  synced_at BIGINT NOT NULL,
  synced_run UUID NOT NULL,
  complete_at BIGINT,
  complete_run UUID,
  complete_listed BIGINT,
  shrunk_digest TEXT,
  PRIMARY KEY (scope_id, policy_type)
);

CREATE TABLE directory_groups (
  scope_id UUID NOT NULL,
  graph_id TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  name TEXT,
  name_key TEXT NOT NULL,
  group_type TEXT NOT NULL,
  first_seen_at BIGINT NOT NULL,
  last_seen_at BIGINT NOT NULL,
  last_seen_run UUID NOT NULL,
  PRIMARY KEY (scope_id, graph_id)
);

CREATE TABLE notifications (
  scope_id UUID NOT NULL,
  run_id UUID NOT NULL,
  moment TEXT NOT NULL CHECK (moment IN ('queued', 'ended')),
  id UUID NOT NULL UNIQUE,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  user_id UUID NOT NULL,
  kind TEXT NOT NULL,
  outcome TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  read_at BIGINT,
  -- Exactly one queued and one terminal notification per run (PRODUCT R-13).
  PRIMARY KEY (scope_id, run_id, moment)
);
CREATE INDEX notifications_user ON notifications (user_id, created_at DESC, id DESC);
CREATE INDEX notifications_unread ON notifications (user_id) WHERE read_at IS NULL;

CREATE TABLE audit_entries (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  at BIGINT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id UUID,
  actor_name TEXT NOT NULL,
  action TEXT NOT NULL,
  target_kind TEXT NOT NULL,
  target_id TEXT NOT NULL,
  run_id UUID,
  request_id TEXT,
  details TEXT NOT NULL,
  PRIMARY KEY (scope_id, id)
);

CREATE TABLE idempotency_keys (
  scope_id UUID NOT NULL,
  caller UUID NOT NULL,
  key_text TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  body_hash TEXT NOT NULL,
  run_id UUID NOT NULL,
  created BOOLEAN NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, caller, key_text)
);

CREATE TABLE workers (
  id UUID NOT NULL PRIMARY KEY,
  started_at BIGINT NOT NULL,
  heartbeat_at BIGINT NOT NULL,
  concurrency BIGINT NOT NULL
);

-- Audit rows are written once.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'rows of % are written once', TG_TABLE_NAME; END $$;
CREATE TRIGGER audit_entries_once BEFORE UPDATE OR DELETE ON audit_entries
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entries_kept BEFORE TRUNCATE ON audit_entries
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The second wall behind the doors: a transaction sees the rows of its reach and no others.
-- The setting is local to each transaction; without it nothing is seen.
DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['operation_runs', 'run_attention', 'jobs', 'run_steps', 'policies', 'inventory_types',
    'directory_groups', 'notifications', 'audit_entries', 'idempotency_keys'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY reach ON %I USING (current_setting(''app.reach'', TRUE) IN (''*'', scope_id::text))',
      name);
  END LOOP;
END $$;

-- The application runs as a role that owns nothing. Where the role cannot be made (no CREATEROLE),
-- row security still holds for the owner (FORCE), and `tenantpilot doctor` says so.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    CREATE ROLE tenantpilot_app NOLOGIN;
  END IF;
  IF NOT pg_has_role(current_user, 'tenantpilot_app', 'MEMBER') THEN
    EXECUTE format('GRANT tenantpilot_app TO %I', current_user);
  END IF;
EXCEPTION
  WHEN insufficient_privilege THEN NULL;
  WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO tenantpilot_app', current_schema());
    EXECUTE format(
      'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO tenantpilot_app',
      current_schema());
    REVOKE UPDATE, DELETE, TRUNCATE ON audit_entries FROM tenantpilot_app;
  END IF;
END $$;
