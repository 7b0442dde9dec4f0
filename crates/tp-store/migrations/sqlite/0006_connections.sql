-- How tenants are reached: credentials apart from the tenant, what a check found, consent, warnings.

-- At most one that is signed in with, and one that was made here and waits to be. What is sealed is a
-- client secret, or the private key of the certificate beside it.
CREATE TABLE tenant_credentials (
  scope_id BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'pending')),
  id BLOB NOT NULL UNIQUE,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('secret', 'certificate')),
  credential_sealed TEXT NOT NULL,
  certificate TEXT,
  thumbprint TEXT,
  expires_at INTEGER,
  set_at INTEGER NOT NULL,
  set_by TEXT NOT NULL,
  PRIMARY KEY (scope_id, state),
  CHECK ((kind = 'certificate') = (certificate IS NOT NULL)),
  CHECK ((kind = 'certificate') = (thumbprint IS NOT NULL))
) STRICT;
CREATE INDEX tenant_credentials_ends ON tenant_credentials (expires_at) WHERE state = 'active';

-- What was sealed to the tenant's own row keeps that place: such a credential has the tenant's id.
INSERT INTO tenant_credentials (scope_id, state, id, workspace_id, tenant_id, kind, credential_sealed, set_at, set_by)
SELECT id, 'active', id, workspace_id, id, 'secret', client_secret_sealed, created_at, ''
FROM tenants WHERE client_secret_sealed IS NOT NULL;
ALTER TABLE tenants DROP COLUMN client_secret_sealed;

-- What the latest check found, and the permissions of the latest token that could be read.
CREATE TABLE connection_reports (
  scope_id BLOB NOT NULL PRIMARY KEY,
  run_id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  checked_at INTEGER NOT NULL,
  report TEXT NOT NULL,
  granted TEXT,
  granted_at INTEGER
) STRICT;

-- A link to the admin-consent page that was given out. Its state works once, in the session that asked.
CREATE TABLE consent_requests (
  scope_id BLOB NOT NULL,
  state_hash BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  session_id BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, state_hash)
) STRICT;
CREATE INDEX consent_requests_state ON consent_requests (state_hash);

-- Exactly one per credential, warning and person (PRODUCT G-7).
CREATE TABLE credential_notices (
  scope_id BLOB NOT NULL,
  credential_id BLOB NOT NULL,
  warning TEXT NOT NULL CHECK (warning IN ('1_day', '7_days', '30_days')),
  user_id BLOB NOT NULL,
  id BLOB NOT NULL UNIQUE,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  kind TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  read_at INTEGER,
  PRIMARY KEY (scope_id, credential_id, warning, user_id)
) STRICT;
CREATE INDEX credential_notices_user ON credential_notices (user_id, created_at DESC, id DESC);
