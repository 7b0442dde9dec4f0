-- Files that are kept for a while, and backup sets that were imported (PRODUCT S-2).

-- An exported archive, or one that somebody has uploaded. Its pieces are sealed payloads.
CREATE TABLE artefacts (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('backup_export', 'upload')),
  state TEXT NOT NULL CHECK (state IN ('open', 'ready')),
  -- The backup set that it is an archive of.
  set_number INTEGER,
  run_id BLOB,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  bytes INTEGER NOT NULL DEFAULT 0,
  sha256 TEXT,
  root TEXT,
  PRIMARY KEY (scope_id, id),
  CHECK ((kind = 'backup_export') = (set_number IS NOT NULL)),
  CHECK ((state = 'ready') = (sha256 IS NOT NULL))
) STRICT;
CREATE INDEX artefacts_set ON artefacts (scope_id, set_number);

CREATE TABLE artefact_pieces (
  scope_id BLOB NOT NULL,
  artefact_id BLOB NOT NULL,
  position INTEGER NOT NULL,
  address BLOB NOT NULL,
  bytes INTEGER NOT NULL CHECK (bytes > 0),
  PRIMARY KEY (scope_id, artefact_id, position),
  FOREIGN KEY (scope_id, artefact_id) REFERENCES artefacts (scope_id, id),
  FOREIGN KEY (scope_id, address) REFERENCES payloads (scope_id, address)
) STRICT;

-- What an imported set says of where it comes from, as JSON; none for a set that was captured.
ALTER TABLE backup_sets ADD COLUMN imported_from TEXT;
