-- Fewer indexes to write for each run.

-- When it was last claimed: leased jobs are looked for from there, and a heartbeat, which moves only
-- lease_until, touches no index.
ALTER TABLE jobs ADD COLUMN leased_at INTEGER;
UPDATE jobs SET leased_at = 0 WHERE state = 'leased';
DROP INDEX jobs_leased;
DROP INDEX jobs_leased_workspace;
DROP INDEX jobs_owner;
CREATE INDEX jobs_leased ON jobs (leased_at) WHERE state = 'leased';

-- Pruning finds old runs by when they were created.
DROP INDEX operation_runs_ended;
