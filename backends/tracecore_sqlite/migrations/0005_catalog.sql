-- What people manage: one row per entry, whatever its kind. `key` is the entry's id; `refs` its references as a JSON
-- array, which tc_catalog_refs holds one by one. Attachments lie apart, so that a list never walks over them.
CREATE TABLE tc_catalog (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    name TEXT,
    parent TEXT,
    refs TEXT,
    position INTEGER NOT NULL,
    since_ns INTEGER NOT NULL,
    until_ns INTEGER,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (project, kind, key)
);
CREATE UNIQUE INDEX tc_catalog_by_name ON tc_catalog (project, kind, name) WHERE name IS NOT NULL;
CREATE INDEX tc_catalog_by_position ON tc_catalog (project, kind, position, key);
CREATE INDEX tc_catalog_by_parent ON tc_catalog (project, kind, parent, position, key) WHERE parent IS NOT NULL;

CREATE TABLE tc_catalog_refs (
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (project, kind, ref, key)
) WITHOUT ROWID;

CREATE TABLE tc_catalog_attachments (
    project TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    attachment BLOB NOT NULL,
    PRIMARY KEY (project, kind, key)
);
