-- Sign-in at an identity provider: who somebody is there, sign-ins under way, and who may come in.

-- The account of somebody at a provider. The key is what the provider never gives to another person:
-- tenant and object id of Microsoft Entra, issuer and subject elsewhere. Never an e-mail address.
CREATE TABLE user_identities (
  authority TEXT NOT NULL,
  subject TEXT NOT NULL,
  user_id UUID NOT NULL REFERENCES users (id),
  label TEXT,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  last_used_at BIGINT,
  PRIMARY KEY (authority, subject)
);
CREATE INDEX user_identities_user ON user_identities (user_id);

-- A sign-in that was begun. Its state works once, within minutes, in the browser that began it. Only
-- hashes are here: nonce and PKCE verifier are derived from what that browser holds.
CREATE TABLE sign_in_requests (
  state_hash BYTEA NOT NULL PRIMARY KEY,
  browser_hash BYTEA NOT NULL,
  return_to TEXT NOT NULL,
  -- Somebody who is signed in and wants to sign in this way, too.
  user_id UUID,
  session_id UUID,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  CHECK ((user_id IS NULL) = (session_id IS NULL))
);
CREATE INDEX sign_in_requests_ends ON sign_in_requests (expires_at);

-- Whose people become members when they come for the first time, and as what. No rule gives a role that
-- can restore or manage.
CREATE TABLE sign_in_rules (
  scope_id UUID NOT NULL,
  authority TEXT NOT NULL,
  workspace_id UUID NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('operator', 'reader')),
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  PRIMARY KEY (scope_id, authority)
);
CREATE INDEX sign_in_rules_authority ON sign_in_rules (authority);

-- By which way a session was opened: what ending it means depends on that.
ALTER TABLE sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'password'
  CHECK (method IN ('password', 'oidc'));

DO $$
BEGIN
  ALTER TABLE sign_in_rules ENABLE ROW LEVEL SECURITY;
  ALTER TABLE sign_in_rules FORCE ROW LEVEL SECURITY;
  CREATE POLICY reach ON sign_in_rules USING (CASE current_setting('app.reach', TRUE) WHEN '*' THEN TRUE
    ELSE scope_id::text = current_setting('app.reach', TRUE) END);
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON user_identities, sign_in_requests, sign_in_rules TO tenantpilot_app;
  END IF;
END $$;
