-- What something of one tenant is in another, as somebody has said (X-7).
CREATE TABLE restore_mappings (
  scope_id UUID NOT NULL,
  source_tenant_id UUID NOT NULL,
  kind TEXT NOT NULL,
  source_id TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  target_id TEXT NOT NULL,
  set_by UUID NOT NULL,
  set_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, source_tenant_id, kind, source_id)
);
ALTER TABLE restore_mappings ENABLE ROW LEVEL SECURITY;
ALTER TABLE restore_mappings FORCE ROW LEVEL SECURITY;
CREATE POLICY reach ON restore_mappings USING (
  CASE current_setting('app.reach', TRUE) WHEN '*' THEN TRUE
  ELSE strpos(current_setting('app.reach', TRUE), scope_id::text) > 0 END);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON restore_mappings TO tenantpilot_app;
  END IF;
END $$;
