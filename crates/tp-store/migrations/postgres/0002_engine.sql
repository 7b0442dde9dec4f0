-- What the run engine needs beside runs and jobs: items, umbrellas, schedules, gates, the Graph budget.

ALTER TABLE workspaces ADD COLUMN retention_days BIGINT NOT NULL DEFAULT 90
  CHECK (retention_days BETWEEN 7 AND 3650);
-- How many runs of a workspace are worked on at once, over all processes (PRODUCT R-12).
ALTER TABLE workspaces ADD COLUMN max_running BIGINT NOT NULL DEFAULT 64 CHECK (max_running > 0);
ALTER TABLE users ADD COLUMN notify_queued BOOLEAN NOT NULL DEFAULT TRUE;

CREATE INDEX operation_runs_parent ON operation_runs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX operation_runs_ended ON operation_runs (workspace_id, completed_at)
  WHERE outcome <> 'pending';
-- The rule against doing the same twice, over the same rows as before: a run is pending as long as it is
-- queued or running (a CHECK of the table says so). Asked by its outcome, the claim that moves a run from
-- queued to running touches no column of any index, and PostgreSQL writes no index entry for it.
DROP INDEX operation_runs_active;
CREATE UNIQUE INDEX operation_runs_active ON operation_runs (scope_id, kind, identity_hash)
  WHERE outcome = 'pending';
ALTER TABLE operation_runs SET (fillfactor = 80);

-- A parent's job stands here while its children run: no worker claims it.
ALTER TABLE jobs ADD COLUMN umbrella BOOLEAN NOT NULL DEFAULT FALSE;
-- Whether run_at is a moment to wait for (a retry, a told wait) or only the place in the line: work
-- that is due must not hang on a clock that was set back (TRUST F27).
ALTER TABLE jobs ADD COLUMN waits BOOLEAN NOT NULL DEFAULT FALSE;
DROP INDEX jobs_ready;
-- A claim looks for the jobs of one scope in one lane, from the low-water mark on.
CREATE INDEX jobs_lane ON jobs (priority, scope_id, run_at, run_id)
  WHERE state = 'ready' AND NOT umbrella;
CREATE INDEX jobs_umbrella ON jobs (scope_id, run_id) WHERE umbrella;
CREATE INDEX jobs_leased_workspace ON jobs (workspace_id, scope_id) WHERE state = 'leased';
CREATE INDEX jobs_owner ON jobs (lease_owner) WHERE state = 'leased';

-- What a step has counted: the run's own counts are the sum, refreshed now and then (ENGINE I5).
ALTER TABLE run_steps ADD COLUMN counted BIGINT NOT NULL DEFAULT 0;

CREATE TABLE run_items (
  scope_id UUID NOT NULL,
  run_id UUID NOT NULL,
  item_key TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  position BIGINT NOT NULL,
  policy_type TEXT,
  graph_id TEXT,
  name TEXT,
  state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'skipped')),
  reason TEXT,
  graph_request_id TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  started_at BIGINT,
  completed_at BIGINT,
  PRIMARY KEY (scope_id, run_id, item_key),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id),
  CHECK ((state IN ('succeeded', 'failed', 'skipped')) = (completed_at IS NOT NULL))
);
CREATE INDEX run_items_order ON run_items (scope_id, run_id, position);

-- The runs that an umbrella run starts, in waves. The scope is the umbrella's.
CREATE TABLE run_children (
  scope_id UUID NOT NULL,
  run_id UUID NOT NULL,
  position BIGINT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  wave BIGINT NOT NULL,
  child_scope UUID NOT NULL,
  child_tenant UUID,
  kind TEXT NOT NULL,
  inputs TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned', 'started', 'succeeded', 'failed', 'skipped')),
  reason TEXT,
  child_id UUID,
  PRIMARY KEY (scope_id, run_id, position),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id)
);

CREATE TABLE schedules (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  inputs TEXT NOT NULL,
  targets TEXT NOT NULL,
  cadence TEXT NOT NULL,
  zone TEXT NOT NULL,
  catch_up TEXT NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
  spread_seconds BIGINT NOT NULL CHECK (spread_seconds >= 0),
  enabled BOOLEAN NOT NULL,
  next_at BIGINT,
  created_by TEXT,
  created_at BIGINT NOT NULL,
  revision BIGINT NOT NULL DEFAULT 1,
  PRIMARY KEY (scope_id, id)
);
CREATE INDEX schedules_due ON schedules (next_at) WHERE enabled;

-- One row per slot, written with the run that it starts: a slot fires once (PRODUCT R-3).
CREATE TABLE schedule_slots (
  scope_id UUID NOT NULL,
  schedule_id UUID NOT NULL,
  slot_at BIGINT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID,
  state TEXT NOT NULL CHECK (state IN ('fired', 'skipped', 'missed', 'refused')),
  run_id UUID,
  at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, schedule_id, slot_at)
);

-- A closed gate. scope_id is the workspace, or zero for the whole installation.
CREATE TABLE gates (
  scope_id UUID NOT NULL,
  kind TEXT NOT NULL,
  workspace_id UUID,
  note TEXT NOT NULL,
  closed_by TEXT NOT NULL,
  closed_at BIGINT NOT NULL,
  expires_at BIGINT,
  PRIMARY KEY (scope_id, kind)
);

-- Token buckets in thousandths of a request, shared by all workers. No tenant data: no scope.
CREATE TABLE graph_budgets (
  entra_tenant_id UUID NOT NULL,
  app TEXT NOT NULL,
  service TEXT NOT NULL,
  uses TEXT NOT NULL CHECK (uses IN ('read', 'write')),
  tokens BIGINT NOT NULL,
  filled_at BIGINT NOT NULL,
  not_before BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (entra_tenant_id, app, service, uses)
);

-- The same wall as before, written so that the planner takes it for a coin toss: as two comparisons it
-- believed that one row in two hundred is within reach, and read whole indexes in place of keys.
DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['run_items', 'run_children', 'schedules', 'schedule_slots', 'gates'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY reach ON %I USING (FALSE)', name);
  END LOOP;
  FOREACH name IN ARRAY ARRAY['operation_runs', 'run_attention', 'jobs', 'run_steps', 'policies',
    'inventory_types', 'directory_groups', 'notifications', 'audit_entries', 'idempotency_keys', 'run_items',
    'run_children', 'schedules', 'schedule_slots', 'gates'] LOOP
    EXECUTE format(
      'ALTER POLICY reach ON %I USING (CASE current_setting(''app.reach'', TRUE) WHEN ''*'' THEN TRUE '
      'ELSE scope_id::text = current_setting(''app.reach'', TRUE) END)',
      name);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    EXECUTE format(
      'GRANT SELECT, INSERT, UPDATE, DELETE ON run_items, run_children, schedules, schedule_slots, gates, '
      'graph_budgets TO tenantpilot_app');
  END IF;
END $$;
