-- Versions of policies and the backup sets that hold them (PRODUCT S-1, S-2).

-- A version never changes. It holds what the payload store has under its address.
CREATE TABLE policy_versions (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  policy_type TEXT NOT NULL,
  graph_id TEXT NOT NULL,
  -- Counted per policy, from 1.
  number INTEGER NOT NULL CHECK (number > 0),
  address BLOB NOT NULL,
  purpose TEXT NOT NULL CHECK (purpose IN ('backup', 'capture', 'safety', 'import')),
  run_id BLOB NOT NULL,
  name TEXT,
  platform TEXT,
  odata_type TEXT,
  -- What Graph says of its last change, as Graph wrote it: compared, never counted with.
  modified_text TEXT,
  assignments INTEGER NOT NULL CHECK (assignments >= 0),
  redactions INTEGER NOT NULL CHECK (redactions >= 0),
  -- Names of what it refers to, at that time: {"group": {id: name}, …}.
  names TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, policy_type, graph_id, number),
  FOREIGN KEY (scope_id, address) REFERENCES payloads (scope_id, address)
) STRICT;

CREATE TABLE backup_numbers (
  scope_id BLOB NOT NULL PRIMARY KEY,
  workspace_id BLOB NOT NULL,
  last INTEGER NOT NULL
) STRICT;

CREATE TABLE backup_sets (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  number INTEGER NOT NULL CHECK (number > 0),
  run_id BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('creating', 'complete', 'partial', 'failed')),
  -- What was asked for, as the run's inputs.
  selection TEXT NOT NULL,
  -- Whether every object was read in full, whatever its last change says.
  is_full_pass INTEGER NOT NULL,
  note TEXT,
  pinned INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  completed_at INTEGER,
  manifest BLOB,
  items INTEGER NOT NULL DEFAULT 0,
  failed_items INTEGER NOT NULL DEFAULT 0,
  new_versions INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, number),
  UNIQUE (scope_id, run_id),
  FOREIGN KEY (scope_id, manifest) REFERENCES payloads (scope_id, address),
  CHECK ((state = 'creating') = (completed_at IS NULL)),
  -- What says that it is whole has its list of contents.
  CHECK (state <> 'complete' OR (manifest IS NOT NULL AND failed_items = 0))
) STRICT;

CREATE TABLE backup_types (
  scope_id BLOB NOT NULL,
  set_id BLOB NOT NULL,
  policy_type TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('complete', 'partial', 'failed', 'not_permitted', 'not_covered')),
  reason TEXT,
  permission TEXT,
  listed INTEGER NOT NULL,
  PRIMARY KEY (scope_id, set_id, policy_type),
  FOREIGN KEY (scope_id, set_id) REFERENCES backup_sets (scope_id, id)
) STRICT;

CREATE TABLE backup_items (
  scope_id BLOB NOT NULL,
  set_id BLOB NOT NULL,
  policy_type TEXT NOT NULL,
  graph_id TEXT NOT NULL,
  name TEXT,
  name_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('captured', 'unchanged', 'failed')),
  version_id BLOB,
  reason TEXT,
  graph_request_id TEXT,
  PRIMARY KEY (scope_id, set_id, policy_type, graph_id),
  FOREIGN KEY (scope_id, set_id) REFERENCES backup_sets (scope_id, id),
  FOREIGN KEY (scope_id, version_id) REFERENCES policy_versions (scope_id, id),
  CHECK ((state = 'failed') = (version_id IS NULL)),
  CHECK ((state = 'failed') = (reason IS NOT NULL))
) STRICT;
CREATE INDEX backup_items_version ON backup_items (scope_id, version_id);
CREATE INDEX backup_items_name ON backup_items (scope_id, set_id, name_key, policy_type, graph_id);

-- A version is written once. It goes only when no set holds it any more.
CREATE TRIGGER policy_versions_once BEFORE UPDATE ON policy_versions
  BEGIN SELECT RAISE(ABORT, 'rows of policy_versions are written once'); END;
