-- Invitations, what sessions tell of themselves, tokens of single tenants.

ALTER TABLE memberships ADD COLUMN added_by TEXT NOT NULL DEFAULT '';

-- A fresh sign-in is asked for before acts that weigh much; the agent helps a person to know a session.
ALTER TABLE sessions ADD COLUMN authenticated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN agent TEXT NOT NULL DEFAULT '';
UPDATE sessions SET authenticated_at = created_at;

-- Ids of tenants, or ["all"].
ALTER TABLE api_tokens ADD COLUMN tenants TEXT NOT NULL DEFAULT '["all"]';
CREATE INDEX api_tokens_workspace ON api_tokens (workspace_id, created_at DESC);

-- A link that makes somebody a member, once. The database holds the SHA-256 of its secret.
CREATE TABLE invitations (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL REFERENCES workspaces (id),
  tenant_id BLOB,
  token_hash BLOB NOT NULL UNIQUE,
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'manager', 'operator', 'reader', 'auditor')),
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, id)
) STRICT;
CREATE INDEX invitations_workspace ON invitations (workspace_id);
