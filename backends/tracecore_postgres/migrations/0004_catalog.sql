-- What people manage: one row per entry, whatever its kind. `key` is the entry's id; `refs` its references as a JSON
-- array, which tc_catalog_refs holds one by one. Attachments lie apart, so that a list never walks over them, and as they
-- are: images do not compress. Commits happen one after the other, under a lock of their own (see catalog.py).
CREATE TABLE tc_catalog (
    project text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    name text COLLATE "C",
    parent text COLLATE "C",
    refs text COLLATE "C",
    position bigint NOT NULL,
    since_ns bigint NOT NULL,
    until_ns bigint,
    revision bigint NOT NULL,
    body text COLLATE "C" NOT NULL,
    PRIMARY KEY (project, kind, key)
);
CREATE UNIQUE INDEX tc_catalog_by_name ON tc_catalog (project, kind, name) WHERE name IS NOT NULL;
CREATE INDEX tc_catalog_by_position ON tc_catalog (project, kind, position, key);
CREATE INDEX tc_catalog_by_parent ON tc_catalog (project, kind, parent, position, key) WHERE parent IS NOT NULL;

CREATE TABLE tc_catalog_refs (
    project text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    ref text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (project, kind, ref, key)
);

CREATE TABLE tc_catalog_attachments (
    project text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    attachment bytea NOT NULL,
    PRIMARY KEY (project, kind, key)
);
ALTER TABLE tc_catalog_attachments ALTER COLUMN attachment SET STORAGE external;
