-- Fewer indexes to write for each run, and a wall for units of several scopes.

-- When it was last claimed: leased jobs are looked for from there, and a heartbeat, which moves only
-- lease_until, touches no index.
ALTER TABLE jobs ADD COLUMN leased_at BIGINT;
UPDATE jobs SET leased_at = 0 WHERE state = 'leased';
DROP INDEX jobs_leased;
DROP INDEX jobs_leased_workspace;
DROP INDEX jobs_owner;
CREATE INDEX jobs_leased ON jobs (leased_at) WHERE state = 'leased';

-- A job is written by the statement that writes its run and goes in the transaction that ends it; a claim
-- clears away one that has none. The check cost a sixth of every start: its plan, made while the table was
-- small, reads all runs of the scope until statistics are gathered.
ALTER TABLE jobs DROP CONSTRAINT jobs_scope_id_run_id_fkey;

-- Pruning finds old runs by when they were created.
DROP INDEX operation_runs_ended;

-- The reach is one scope, several scopes with commas between them, or everything. A UUID cannot be found
-- across a comma.
DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['operation_runs', 'run_attention', 'jobs', 'run_steps', 'policies',
    'inventory_types', 'directory_groups', 'notifications', 'audit_entries', 'idempotency_keys', 'run_items',
    'run_children', 'schedules', 'schedule_slots', 'gates'] LOOP
    EXECUTE format(
      'ALTER POLICY reach ON %I USING (CASE current_setting(''app.reach'', TRUE) WHEN ''*'' THEN TRUE '
      'ELSE strpos(current_setting(''app.reach'', TRUE), scope_id::text) > 0 END)',
      name);
  END LOOP;
END $$;
