-- What a restore is to be made of, and where its preview is kept.

ALTER TABLE restores ADD COLUMN draft TEXT NOT NULL DEFAULT '{}';
ALTER TABLE restores ADD COLUMN preview_address BLOB;
ALTER TABLE restores ADD COLUMN preview_run_id BLOB;
