-- Sign-in at an identity provider: who somebody is there, sign-ins under way, and who may come in.

-- The account of somebody at a provider. The key is what the provider never gives to another person:
-- tenant and object id of Microsoft Entra, issuer and subject elsewhere. Never an e-mail address.
CREATE TABLE user_identities (
  authority TEXT NOT NULL,
  subject TEXT NOT NULL,
  user_id BLOB NOT NULL REFERENCES users (id),
  label TEXT,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  last_used_at INTEGER,
  PRIMARY KEY (authority, subject)
) STRICT;
CREATE INDEX user_identities_user ON user_identities (user_id);

-- A sign-in that was begun. Its state works once, within minutes, in the browser that began it. Only
-- hashes are here: nonce and PKCE verifier are derived from what that browser holds.
CREATE TABLE sign_in_requests (
  state_hash BLOB NOT NULL PRIMARY KEY,
  browser_hash BLOB NOT NULL,
  return_to TEXT NOT NULL,
  -- Somebody who is signed in and wants to sign in this way, too.
  user_id BLOB,
  session_id BLOB,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  CHECK ((user_id IS NULL) = (session_id IS NULL))
) STRICT;
CREATE INDEX sign_in_requests_ends ON sign_in_requests (expires_at);

-- Whose people become members when they come for the first time, and as what. No rule gives a role that
-- can restore or manage.
CREATE TABLE sign_in_rules (
  scope_id BLOB NOT NULL,
  authority TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('operator', 'reader')),
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  PRIMARY KEY (scope_id, authority)
) STRICT;
CREATE INDEX sign_in_rules_authority ON sign_in_rules (authority);

-- By which way a session was opened: what ending it means depends on that.
ALTER TABLE sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'password'
  CHECK (method IN ('password', 'oidc'));
