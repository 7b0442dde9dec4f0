-- Invitations, what sessions tell of themselves, tokens of single tenants.

ALTER TABLE memberships ADD COLUMN added_by TEXT NOT NULL DEFAULT '';

-- A fresh sign-in is asked for before acts that weigh much; the agent helps a person to know a session.
ALTER TABLE sessions ADD COLUMN authenticated_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
UPDATE sessions SET authenticated_at = created_at;

-- Ids of tenants, or ["all"].
ALTER TABLE api_tokens ADD COLUMN tenants TEXT NOT NULL DEFAULT '["all"]';
CREATE INDEX api_tokens_workspace ON api_tokens (workspace_id, created_at DESC);

-- A link that makes somebody a member, once. The database holds the SHA-256 of its secret.
CREATE TABLE invitations (
  scope_id UUID NOT NULL,
  id UUID NOT NULL,
  workspace_id UUID NOT NULL REFERENCES workspaces (id),
  tenant_id UUID,
  token_hash BYTEA NOT NULL UNIQUE,
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'manager', 'operator', 'reader', 'auditor')),
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, id)
);
CREATE INDEX invitations_workspace ON invitations (workspace_id);

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY reach ON invitations USING (CASE current_setting('app.reach', TRUE) WHEN '*' THEN TRUE
  ELSE scope_id::text = current_setting('app.reach', TRUE) END);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    EXECUTE format(
      'GRANT SELECT, INSERT, UPDATE, DELETE ON invitations TO tenantpilot_app');
  END IF;
END $$;
