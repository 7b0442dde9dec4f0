-- What a run is a repeat of, in whose right it runs, and whether its items were chosen before it began.

-- The identity of the first of a line of retries, or of a schedule's slots: a success of any of them makes
-- good what failed before (PRODUCT R-17). NULL where it is the run's own identity.
ALTER TABLE operation_runs ADD COLUMN origin_hash TEXT;
-- The person whose right a child of an umbrella run is in; nobody is told of it (PRODUCT A-6).
ALTER TABLE operation_runs ADD COLUMN authority_id BLOB;
-- "Retry failed items only": the items are those that were copied, and no others (PRODUCT R-8).
ALTER TABLE operation_runs ADD COLUMN items_preset INTEGER NOT NULL DEFAULT 0;
CREATE INDEX operation_runs_origin ON operation_runs (scope_id, kind, origin_hash, created_at DESC)
  WHERE origin_hash IS NOT NULL;
