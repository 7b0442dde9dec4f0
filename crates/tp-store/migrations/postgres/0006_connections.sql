-- How tenants are reached: credentials apart from the tenant, what a check found, consent, warnings.

-- At most one that is signed in with, and one that was made here and waits to be. What is sealed is a
-- client secret, or the private key of the certificate beside it.
CREATE TABLE tenant_credentials (
  scope_id UUID NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('active', 'pending')),
  id UUID NOT NULL UNIQUE,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('secret', 'certificate')),
  credential_sealed TEXT NOT NULL,
  certificate TEXT,
  thumbprint TEXT,
  expires_at BIGINT,
  set_at BIGINT NOT NULL,
  set_by TEXT NOT NULL,
  PRIMARY KEY (scope_id, state),
  CHECK ((kind = 'certificate') = (certificate IS NOT NULL)),
  CHECK ((kind = 'certificate') = (thumbprint IS NOT NULL))
);
CREATE INDEX tenant_credentials_ends ON tenant_credentials (expires_at) WHERE state = 'active';

-- What was sealed to the tenant's own row keeps that place: such a credential has the tenant's id.
INSERT INTO tenant_credentials (scope_id, state, id, workspace_id, tenant_id, kind, credential_sealed, set_at, set_by)
SELECT id, 'active', id, workspace_id, id, 'secret', client_secret_sealed, created_at, ''
FROM tenants WHERE client_secret_sealed IS NOT NULL;
ALTER TABLE tenants DROP COLUMN client_secret_sealed;

-- What the latest check found, and the permissions of the latest token that could be read.
CREATE TABLE connection_reports (
  scope_id UUID NOT NULL PRIMARY KEY,
  run_id UUID NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  checked_at BIGINT NOT NULL,
  report TEXT NOT NULL,
  granted TEXT,
  granted_at BIGINT
);

-- A link to the admin-consent page that was given out. Its state works once, in the session that asked.
CREATE TABLE consent_requests (
  scope_id UUID NOT NULL,
  state_hash BYTEA NOT NULL,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  session_id UUID NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, state_hash)
);
CREATE INDEX consent_requests_state ON consent_requests (state_hash);

-- Exactly one per credential, warning and person (PRODUCT G-7).
CREATE TABLE credential_notices (
  scope_id UUID NOT NULL,
  credential_id UUID NOT NULL,
  warning TEXT NOT NULL CHECK (warning IN ('1_day', '7_days', '30_days')),
  user_id UUID NOT NULL,
  id UUID NOT NULL UNIQUE,
  workspace_id UUID NOT NULL,
  tenant_id UUID NOT NULL,
  kind TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  read_at BIGINT,
  PRIMARY KEY (scope_id, credential_id, warning, user_id)
);
CREATE INDEX credential_notices_user ON credential_notices (user_id, created_at DESC, id DESC);

DO $$
DECLARE
  name TEXT;
BEGIN
  FOREACH name IN ARRAY ARRAY['tenant_credentials', 'connection_reports', 'consent_requests',
    'credential_notices'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format(
      'CREATE POLICY reach ON %I USING (CASE current_setting(''app.reach'', TRUE) WHEN ''*'' THEN TRUE '
      'ELSE scope_id::text = current_setting(''app.reach'', TRUE) END)',
      name);
  END LOOP;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    EXECUTE format(
      'GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_credentials, connection_reports, consent_requests, '
      'credential_notices TO tenantpilot_app');
  END IF;
END $$;
