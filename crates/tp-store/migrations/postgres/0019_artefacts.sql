-- Files that are kept for a while, and backup sets that were imported (PRODUCT S-2).

-- An exported archive, or one that somebody has uploaded. Its pieces are sealed payloads.
CREATE TABLE artefacts (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('backup_export', 'upload')),
  state TEXT NOT NULL CHECK (state IN ('open', 'ready')),
  -- The backup set that it is an archive of.
  set_number BIGINT,
  run_id UUID,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  bytes BIGINT NOT NULL DEFAULT 0,
  sha256 TEXT,
  root TEXT,
  PRIMARY KEY (scope_id, id),
  CHECK ((kind = 'backup_export') = (set_number IS NOT NULL)),
  CHECK ((state = 'ready') = (sha256 IS NOT NULL))
);
CREATE INDEX artefacts_set ON artefacts (scope_id, set_number);

CREATE TABLE artefact_pieces (
  scope_id UUID NOT NULL,
  artefact_id UUID NOT NULL,
  position BIGINT NOT NULL,
  address BYTEA NOT NULL,
  bytes BIGINT NOT NULL CHECK (bytes > 0),
  PRIMARY KEY (scope_id, artefact_id, position),
  FOREIGN KEY (scope_id, artefact_id) REFERENCES artefacts (scope_id, id),
  FOREIGN KEY (scope_id, address) REFERENCES payloads (scope_id, address)
);

-- What an imported set says of where it comes from, as JSON; none for a set that was captured.
ALTER TABLE backup_sets ADD COLUMN imported_from TEXT;

DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['artefacts', 'artefact_pieces'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY reach ON %I USING (CASE current_setting(''app.reach'', TRUE) WHEN ''*'' THEN TRUE '
      'ELSE strpos(current_setting(''app.reach'', TRUE), scope_id::text) > 0 END)',
      name);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON artefacts TO tenantpilot_app;
    GRANT SELECT, INSERT, DELETE ON artefact_pieces TO tenantpilot_app;
  END IF;
END $$;
