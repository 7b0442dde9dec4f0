-- Versions of policies and the backup sets that hold them (PRODUCT S-1, S-2).

-- A version never changes. It holds what the payload store has under its address.
CREATE TABLE policy_versions (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  policy_type TEXT NOT NULL,
  graph_id TEXT NOT NULL,
  -- Counted per policy, from 1.
  number BIGINT NOT NULL CHECK (number > 0),
  address BYTEA NOT NULL,
  purpose TEXT NOT NULL CHECK (purpose IN ('backup', 'capture', 'safety', 'import')),
  run_id UUID NOT NULL,
  name TEXT,
  platform TEXT,
  odata_type TEXT,
  -- What Graph says of its last change, as Graph wrote it: compared, never counted with.
  modified_text TEXT,
  assignments BIGINT NOT NULL CHECK (assignments >= 0),
  redactions BIGINT NOT NULL CHECK (redactions >= 0),
  -- Names of what it refers to, at that time: {"group": {id: name}, …}.
  names TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, policy_type, graph_id, number),
  FOREIGN KEY (scope_id, address) REFERENCES payloads (scope_id, address)
);

CREATE TABLE backup_numbers (
  scope_id UUID NOT NULL PRIMARY KEY,
  workspace_id UUID NOT NULL,
  last BIGINT NOT NULL
);

CREATE TABLE backup_sets (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  number BIGINT NOT NULL CHECK (number > 0),
  run_id UUID NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('creating', 'complete', 'partial', 'failed')),
  -- What was asked for, as the run's inputs.
  selection TEXT NOT NULL,
  -- Whether every object was read in full, whatever its last change says.
  is_full_pass BOOLEAN NOT NULL,
  note TEXT,
  pinned BOOLEAN NOT NULL DEFAULT FALSE,
  created_at BIGINT NOT NULL,
  completed_at BIGINT,
  manifest BYTEA,
  items BIGINT NOT NULL DEFAULT 0,
  failed_items BIGINT NOT NULL DEFAULT 0,
  new_versions BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (scope_id, id),
  UNIQUE (scope_id, number),
  UNIQUE (scope_id, run_id),
  FOREIGN KEY (scope_id, manifest) REFERENCES payloads (scope_id, address),
  CHECK ((state = 'creating') = (completed_at IS NULL)),
  -- What says that it is whole has its list of contents.
  CHECK (state <> 'complete' OR (manifest IS NOT NULL AND failed_items = 0))
);

CREATE TABLE backup_types (
  scope_id UUID NOT NULL,
  set_id UUID NOT NULL,
  policy_type TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('complete', 'partial', 'failed', 'not_permitted', 'not_covered')),
  reason TEXT,
  permission TEXT,
  listed BIGINT NOT NULL,
  PRIMARY KEY (scope_id, set_id, policy_type),
  FOREIGN KEY (scope_id, set_id) REFERENCES backup_sets (scope_id, id)
);

CREATE TABLE backup_items (
  scope_id UUID NOT NULL,
  set_id UUID NOT NULL,
  policy_type TEXT NOT NULL,
  graph_id TEXT NOT NULL,
  name TEXT,
  name_key TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('captured', 'unchanged', 'failed')),
  version_id UUID,
  reason TEXT,
  graph_request_id TEXT,
  PRIMARY KEY (scope_id, set_id, policy_type, graph_id),
  FOREIGN KEY (scope_id, set_id) REFERENCES backup_sets (scope_id, id),
  FOREIGN KEY (scope_id, version_id) REFERENCES policy_versions (scope_id, id),
  CHECK ((state = 'failed') = (version_id IS NULL)),
  CHECK ((state = 'failed') = (reason IS NOT NULL))
);
CREATE INDEX backup_items_version ON backup_items (scope_id, version_id);
CREATE INDEX backup_items_name ON backup_items (scope_id, set_id, name_key, policy_type, graph_id);

-- A version is written once. It goes only when no set holds it any more.
CREATE TRIGGER policy_versions_once BEFORE UPDATE ON policy_versions
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER policy_versions_kept BEFORE TRUNCATE ON policy_versions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['policy_versions', 'backup_numbers', 'backup_sets', 'backup_types',
    'backup_items'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY reach ON %I USING (FALSE)', name);
  END LOOP;
  -- One text for all tables that a reach guards.
  FOREACH name IN ARRAY ARRAY['policy_versions', 'backup_numbers', 'backup_sets', 'backup_types',
    'backup_items', 'workspace_keys', 'tenant_keys', 'payloads', 'payload_refs'] LOOP
    EXECUTE format(
      'ALTER POLICY reach ON %I USING (CASE current_setting(''app.reach'', TRUE) WHEN ''*'' THEN TRUE '
      'ELSE strpos(current_setting(''app.reach'', TRUE), scope_id::text) > 0 END)',
      name);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    GRANT SELECT, INSERT, DELETE ON policy_versions TO tenantpilot_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON backup_numbers, backup_sets, backup_types, backup_items
      TO tenantpilot_app;
  END IF;
END $$;
