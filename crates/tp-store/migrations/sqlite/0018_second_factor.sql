-- The second factor of local accounts, and sessions of local accounts where a provider is the rule.

-- The secret of an authenticator app (TOTP), sealed. Not confirmed: it was shown, and no code came back yet.
CREATE TABLE user_factors (
  user_id BLOB NOT NULL PRIMARY KEY REFERENCES users (id),
  secret_sealed TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  confirmed_at INTEGER,
  -- The step of 30 seconds of the last code that was taken: no code of it or before works again.
  last_step INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Codes for whoever has lost the app, each for once: SHA-256 of 80 random bits.
CREATE TABLE user_recovery_codes (
  user_id BLOB NOT NULL REFERENCES users (id),
  code_hash BLOB NOT NULL,
  PRIMARY KEY (user_id, code_hash)
) STRICT;

-- A sign-in whose password was right and whose code has not come. The database holds the SHA-256 of what
-- the browser has.
CREATE TABLE second_steps (
  token_hash BLOB NOT NULL PRIMARY KEY,
  user_id BLOB NOT NULL REFERENCES users (id),
  return_to TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX second_steps_ends ON second_steps (expires_at);

-- A local account that is used although there is a provider: it ends soon, and everybody sees it.
ALTER TABLE sessions ADD COLUMN break_glass INTEGER NOT NULL DEFAULT 0 CHECK (break_glass IN (0, 1));
