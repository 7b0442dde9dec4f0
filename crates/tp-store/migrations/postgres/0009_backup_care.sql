-- What is done with backup sets after they are made: verified, kept, deleted (PRODUCT S-2, S-5).

-- Grows with each change of note and pin.
ALTER TABLE backup_sets ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
-- What set off the run that made it; none for sets that are older than this column.
ALTER TABLE backup_sets ADD COLUMN trigger_kind TEXT;
-- The last verification that came to its end.
ALTER TABLE backup_sets ADD COLUMN verified_at BIGINT;
ALTER TABLE backup_sets ADD COLUMN verified_run_id UUID;
ALTER TABLE backup_sets ADD COLUMN verified_checked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE backup_sets ADD COLUMN verified_faulty BIGINT NOT NULL DEFAULT 0;

-- Restores that need a set. One that has ended needs it no more.
CREATE TABLE backup_holds (
  scope_id UUID NOT NULL,
  set_id UUID NOT NULL,
  restore_id UUID NOT NULL,
  PRIMARY KEY (scope_id, set_id, restore_id),
  FOREIGN KEY (scope_id, set_id) REFERENCES backup_sets (scope_id, id),
  FOREIGN KEY (scope_id, restore_id) REFERENCES restores (scope_id, id)
);
ALTER TABLE backup_holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE backup_holds FORCE ROW LEVEL SECURITY;
CREATE POLICY reach ON backup_holds USING (
  CASE current_setting('app.reach', TRUE) WHEN '*' THEN TRUE
  ELSE strpos(current_setting('app.reach', TRUE), scope_id::text) > 0 END);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    GRANT SELECT, INSERT, DELETE ON backup_holds TO tenantpilot_app;
  END IF;
END $$;
