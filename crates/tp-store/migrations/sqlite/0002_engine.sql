-- What the run engine needs beside runs and jobs: items, umbrellas, schedules, gates, the Graph budget.

ALTER TABLE workspaces ADD COLUMN retention_days INTEGER NOT NULL DEFAULT 90
  CHECK (retention_days BETWEEN 7 AND 3650);
-- How many runs of a workspace are worked on at once, over all processes (PRODUCT R-12).
ALTER TABLE workspaces ADD COLUMN max_running INTEGER NOT NULL DEFAULT 64 CHECK (max_running > 0);
ALTER TABLE users ADD COLUMN notify_queued INTEGER NOT NULL DEFAULT 1;

CREATE INDEX operation_runs_parent ON operation_runs (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX operation_runs_ended ON operation_runs (workspace_id, completed_at)
  WHERE outcome <> 'pending';
-- The rule against doing the same twice, over the same rows as before: a run is pending as long as it is
-- queued or running (a CHECK of the table says so). Asked by its outcome, the claim that moves a run from
-- queued to running touches no column of any index, and PostgreSQL writes no index entry for it.
DROP INDEX operation_runs_active;
CREATE UNIQUE INDEX operation_runs_active ON operation_runs (scope_id, kind, identity_hash)
  WHERE outcome = 'pending';

-- A parent's job stands here while its children run: no worker claims it.
ALTER TABLE jobs ADD COLUMN umbrella INTEGER NOT NULL DEFAULT 0;
-- Whether run_at is a moment to wait for (a retry, a told wait) or only the place in the line: work
-- that is due must not hang on a clock that was set back (TRUST F27).
ALTER TABLE jobs ADD COLUMN waits INTEGER NOT NULL DEFAULT 0;
DROP INDEX jobs_ready;
-- A claim looks for the jobs of one scope in one lane, from the low-water mark on.
CREATE INDEX jobs_lane ON jobs (priority, scope_id, run_at, run_id)
  WHERE state = 'ready' AND NOT umbrella;
CREATE INDEX jobs_umbrella ON jobs (scope_id, run_id) WHERE umbrella;
CREATE INDEX jobs_leased_workspace ON jobs (workspace_id, scope_id) WHERE state = 'leased';
CREATE INDEX jobs_owner ON jobs (lease_owner) WHERE state = 'leased';

-- What a step has counted: the run's own counts are the sum, refreshed now and then (ENGINE I5).
ALTER TABLE run_steps ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;

CREATE TABLE run_items (
  scope_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  item_key TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  position INTEGER NOT NULL,
  policy_type TEXT,
  graph_id TEXT,
  name TEXT,
  state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'skipped')),
  reason TEXT,
  graph_request_id TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  started_at INTEGER,
  completed_at INTEGER,
  PRIMARY KEY (scope_id, run_id, item_key),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id),
  CHECK ((state IN ('succeeded', 'failed', 'skipped')) = (completed_at IS NOT NULL))
) STRICT;
CREATE INDEX run_items_order ON run_items (scope_id, run_id, position);

-- The runs that an umbrella run starts, in waves. The scope is the umbrella's.
CREATE TABLE run_children (
  scope_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  position INTEGER NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  wave INTEGER NOT NULL,
  child_scope BLOB NOT NULL,
  child_tenant BLOB,
  kind TEXT NOT NULL,
  inputs TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned', 'started', 'succeeded', 'failed', 'skipped')),
  reason TEXT,
  child_id BLOB,
  PRIMARY KEY (scope_id, run_id, position),
  FOREIGN KEY (scope_id, run_id) REFERENCES operation_runs (scope_id, id)
) STRICT;

CREATE TABLE schedules (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  inputs TEXT NOT NULL,
  targets TEXT NOT NULL,
  cadence TEXT NOT NULL,
  zone TEXT NOT NULL,
  catch_up TEXT NOT NULL CHECK (catch_up IN ('skip', 'once', 'all')),
  spread_seconds INTEGER NOT NULL CHECK (spread_seconds >= 0),
  enabled INTEGER NOT NULL,
  next_at INTEGER,
  created_by TEXT,
  created_at INTEGER NOT NULL,
  revision INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (scope_id, id)
) STRICT;
CREATE INDEX schedules_due ON schedules (next_at) WHERE enabled;

-- One row per slot, written with the run that it starts: a slot fires once (PRODUCT R-3).
CREATE TABLE schedule_slots (
  scope_id BLOB NOT NULL,
  schedule_id BLOB NOT NULL,
  slot_at INTEGER NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB,
  state TEXT NOT NULL CHECK (state IN ('fired', 'skipped', 'missed', 'refused')),
  run_id BLOB,
  at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, schedule_id, slot_at)
) STRICT;

-- A closed gate. scope_id is the workspace, or zero for the whole installation.
CREATE TABLE gates (
  scope_id BLOB NOT NULL,
  kind TEXT NOT NULL,
  workspace_id BLOB,
  note TEXT NOT NULL,
  closed_by TEXT NOT NULL,
  closed_at INTEGER NOT NULL,
  expires_at INTEGER,
  PRIMARY KEY (scope_id, kind)
) STRICT;

-- Token buckets in thousandths of a request, shared by all workers. No tenant data: no scope.
CREATE TABLE graph_budgets (
  entra_tenant_id BLOB NOT NULL,
  app TEXT NOT NULL,
  service TEXT NOT NULL,
  uses TEXT NOT NULL CHECK (uses IN ('read', 'write')),
  tokens INTEGER NOT NULL,
  filled_at INTEGER NOT NULL,
  not_before INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (entra_tenant_id, app, service, uses)
) STRICT;
