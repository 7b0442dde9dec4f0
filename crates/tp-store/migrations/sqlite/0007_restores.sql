-- Restores: records, frozen plans, items, and each write before it is sent (PRODUCT §8, TRUST P4).

CREATE TABLE restores (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('draft', 'previewed', 'awaiting_second_approver', 'confirmed',
                                       'executing', 'done', 'expired', 'discarded')),
  second_approver INTEGER NOT NULL,
  reason TEXT,
  created_by BLOB NOT NULL,
  created_name TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  plan_hash TEXT,
  plan_expires_at INTEGER,
  confirmed_by BLOB,
  confirmed_name TEXT,
  confirmed_at INTEGER,
  approved_by BLOB,
  approved_name TEXT,
  approved_at INTEGER,
  run_id BLOB,
  revision INTEGER NOT NULL DEFAULT 1,
  PRIMARY KEY (scope_id, id),
  CHECK ((plan_hash IS NULL) = (plan_expires_at IS NULL)),
  CHECK (state NOT IN ('confirmed', 'executing', 'done')
         OR (plan_hash IS NOT NULL AND confirmed_by IS NOT NULL AND run_id IS NOT NULL)),
  -- The second person is another person.
  CHECK (approved_by IS NULL OR approved_by <> confirmed_by),
  CHECK (NOT second_approver OR state NOT IN ('confirmed', 'executing', 'done') OR approved_by IS NOT NULL)
) STRICT;
CREATE INDEX restores_newest ON restores (scope_id, created_at DESC, id DESC);

-- The bytes that were confirmed. Written once.
CREATE TABLE restore_plans (
  scope_id BLOB NOT NULL,
  restore_id BLOB NOT NULL,
  plan_hash TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  bytes BLOB NOT NULL,
  frozen_at INTEGER NOT NULL,
  PRIMARY KEY (scope_id, restore_id, plan_hash),
  FOREIGN KEY (scope_id, restore_id) REFERENCES restores (scope_id, id)
) STRICT;

-- What came of each object of the plan that is written.
CREATE TABLE restore_items (
  scope_id BLOB NOT NULL,
  restore_id BLOB NOT NULL,
  item_key TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  position INTEGER NOT NULL,
  policy_type TEXT NOT NULL,
  name TEXT,
  action TEXT NOT NULL CHECK (action IN ('create', 'update')),
  graph_id TEXT,
  outcome TEXT CHECK (outcome IN ('verified', 'written_but_differs', 'failed', 'refused', 'skipped',
                                  'awaiting_external_approval', 'unknown_outcome')),
  reason TEXT,
  cause TEXT,
  half_done INTEGER NOT NULL DEFAULT 0,
  step TEXT,
  differences TEXT NOT NULL DEFAULT '[]',
  graph_request_id TEXT,
  -- What the object was like when the run let go of it: a retry expects it so.
  left_fingerprint TEXT,
  safety_id TEXT,
  safety_sha256 TEXT,
  completed_at INTEGER,
  PRIMARY KEY (scope_id, restore_id, item_key),
  FOREIGN KEY (scope_id, restore_id) REFERENCES restores (scope_id, id),
  CHECK ((safety_id IS NULL) = (safety_sha256 IS NULL)),
  CHECK (outcome IS NULL OR outcome = 'verified' OR reason IS NOT NULL)
) STRICT;
CREATE INDEX restore_items_order ON restore_items (scope_id, restore_id, position);

-- Each write, committed before it is sent. The body is not here: it may hold what must not be stored.
CREATE TABLE write_intents (
  scope_id BLOB NOT NULL,
  id BLOB NOT NULL,
  restore_id BLOB NOT NULL,
  item_key TEXT NOT NULL,
  workspace_id BLOB NOT NULL,
  tenant_id BLOB NOT NULL,
  run_id BLOB NOT NULL,
  fence INTEGER NOT NULL,
  step TEXT NOT NULL,
  step_key TEXT NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  body_hash TEXT,
  adds INTEGER NOT NULL,
  before_fingerprint TEXT,
  object_id TEXT,
  listed TEXT NOT NULL DEFAULT '[]',
  state TEXT NOT NULL CHECK (state IN ('open', 'done', 'refused', 'unsent', 'lost', 'unknown', 'parked')),
  reply_lost INTEGER NOT NULL DEFAULT 0,
  sent INTEGER NOT NULL DEFAULT 1,
  approval_code TEXT,
  approval_asked_at INTEGER,
  graph_request_id TEXT,
  at INTEGER NOT NULL,
  settled_at INTEGER,
  PRIMARY KEY (scope_id, id),
  FOREIGN KEY (scope_id, restore_id, item_key)
    REFERENCES restore_items (scope_id, restore_id, item_key),
  CHECK ((state = 'open') = (settled_at IS NULL)),
  CHECK (state <> 'parked' OR (approval_code IS NOT NULL AND approval_asked_at IS NOT NULL))
) STRICT;
CREATE INDEX write_intents_item ON write_intents (scope_id, restore_id, item_key, at, id);
-- An object has one write in flight: the next is sent when it is known what came of the last.
CREATE UNIQUE INDEX write_intents_one ON write_intents (scope_id, restore_id, item_key)
  WHERE state IN ('open', 'parked');

CREATE TRIGGER restore_plans_no_update BEFORE UPDATE ON restore_plans
BEGIN SELECT RAISE(ABORT, 'rows of restore_plans are written once'); END;
