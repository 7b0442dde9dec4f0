-- What is done with backup sets after they are made: verified, kept, deleted (PRODUCT S-2, S-5).

-- Grows with each change of note and pin.
ALTER TABLE backup_sets ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
-- What set off the run that made it; none for sets that are older than this column.
ALTER TABLE backup_sets ADD COLUMN trigger_kind TEXT;
-- The last verification that came to its end.
ALTER TABLE backup_sets ADD COLUMN verified_at INTEGER;
ALTER TABLE backup_sets ADD COLUMN verified_run_id BLOB;
ALTER TABLE backup_sets ADD COLUMN verified_checked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE backup_sets ADD COLUMN verified_faulty INTEGER NOT NULL DEFAULT 0;

-- Restores that need a set. One that has ended needs it no more.
CREATE TABLE backup_holds (
  scope_id BLOB NOT NULL,
  set_id BLOB NOT NULL,
  restore_id BLOB NOT NULL,
  PRIMARY KEY (scope_id, set_id, restore_id),
  FOREIGN KEY (scope_id, set_id) REFERENCES backup_sets (scope_id, id),
  FOREIGN KEY (scope_id, restore_id) REFERENCES restores (scope_id, id)
) STRICT;
