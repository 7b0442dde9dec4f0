-- The second factor of local accounts, and sessions of local accounts where a provider is the rule.

-- The secret of an authenticator app (TOTP), sealed. Not confirmed: it was shown, and no code came back yet.
CREATE TABLE user_factors (
  user_id UUID NOT NULL PRIMARY KEY REFERENCES users (id),
  secret_sealed TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  confirmed_at BIGINT,
  -- The step of 30 seconds of the last code that was taken: no code of it or before works again.
  last_step BIGINT NOT NULL DEFAULT 0
);

-- Codes for whoever has lost the app, each for once: SHA-256 of 80 random bits.
CREATE TABLE user_recovery_codes (
  user_id UUID NOT NULL REFERENCES users (id),
  code_hash BYTEA NOT NULL,
  PRIMARY KEY (user_id, code_hash)
);

-- A sign-in whose password was right and whose code has not come. The database holds the SHA-256 of what
-- the browser has.
CREATE TABLE second_steps (
  token_hash BYTEA NOT NULL PRIMARY KEY,
  user_id UUID NOT NULL REFERENCES users (id),
  return_to TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX second_steps_ends ON second_steps (expires_at);

-- A local account that is used although there is a provider: it ends soon, and everybody sees it.
ALTER TABLE sessions ADD COLUMN break_glass BIGINT NOT NULL DEFAULT 0 CHECK (break_glass IN (0, 1));

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenantpilot_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON user_factors, user_recovery_codes, second_steps TO tenantpilot_app;
  END IF;
END $$;
