-- The statements of the search index. Those that read texts answer one row with one BLOB of JSON, because every row that
-- is stepped to gives the GIL up once; BLOBs in it (text that is not UTF-8) are taken for the text they nearly are.

-- name: waiting
-- Whether a slice of so many is left to index.
SELECT (SELECT ifnull(max(id), 0) FROM tc_observations) - (SELECT value FROM tc_state WHERE name = 'indexed') >= ?1
    OR (SELECT count(*) FROM (SELECT 1 FROM tc_stale LIMIT ?1)) >= ?1;

-- name: end_of_slice
-- The last of the next rows, at most so many and of so many characters, but at least one.
SELECT max(id) FROM (
    SELECT id, row_number() OVER (ORDER BY id) AS place, sum(size) OVER (ORDER BY id) AS upto FROM (
        SELECT o.id, ifnull(length(b.input), 0) + ifnull(length(b.output), 0) + ifnull(length(b.metadata), 0)
            + ifnull(length(b.error_stack), 0) AS size
        FROM tc_observations o LEFT JOIN tc_bodies b ON b.id = o.id
        WHERE o.id > (SELECT value FROM tc_state WHERE name = 'indexed') ORDER BY o.id LIMIT ?
    )
) WHERE place = 1 OR upto <= ?;

-- name: texts_up_to
SELECT CAST(json_group_array(json_array(o.id, {names}, {texts})) AS BLOB)
FROM tc_observations o LEFT JOIN tc_bodies b ON b.id = o.id
WHERE o.id > (SELECT value FROM tc_state WHERE name = 'indexed') AND o.id <= ?;

-- name: set_indexed
UPDATE tc_state SET value = ? WHERE name = 'indexed';

-- name: changed
SELECT json_group_array(id) FROM (SELECT id FROM tc_stale LIMIT ?);

-- name: texts_of
-- Only those that the index has seen: the others are indexed when their turn comes.
SELECT CAST(json_group_array(json_array(o.id, {names}, {texts})) AS BLOB)
FROM json_each(?) j CROSS JOIN tc_observations o ON o.id = j.value LEFT JOIN tc_bodies b ON b.id = o.id
WHERE o.id <= (SELECT value FROM tc_state WHERE name = 'indexed');

-- name: next_redoc
SELECT ifnull(max(doc) + 1, ?) FROM tc_redocs;

-- name: settle_changed
DELETE FROM tc_stale WHERE id IN (SELECT value FROM json_each(?));

-- name: note_orphans
INSERT INTO tc_state (name, value)
SELECT 'orphans',
    (SELECT count(*) FROM json_each(?) WHERE value <= (SELECT value FROM tc_state WHERE name = 'indexed'))
    + (SELECT count(*) FROM json_each(?) j JOIN tc_redocs r ON r.id = j.value)
WHERE true
ON CONFLICT (name) DO UPDATE SET value = value + excluded.value;

-- name: orphans
SELECT ifnull(max(value), 0) FROM tc_state WHERE name = 'orphans';

-- name: count_indexed
-- The observations that the index has seen, up to so many.
SELECT count(*) FROM (
    SELECT 1 FROM tc_observations WHERE id <= (SELECT value FROM tc_state WHERE name = 'indexed') LIMIT ?
);

-- name: forget_documents
INSERT INTO tc_search (tc_search) VALUES ('delete-all');

-- name: forget_redocs
DELETE FROM tc_redocs;

-- name: forget_stale
DELETE FROM tc_stale;

-- name: forget_orphans
UPDATE tc_state SET value = 0 WHERE name = 'orphans';

-- name: count_candidates
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM tc_search WHERE tc_search MATCH ?1 LIMIT ?2))
    + (SELECT count(*) FROM (
        SELECT 1 FROM tc_observations WHERE id > (SELECT value FROM tc_state WHERE name = 'indexed') LIMIT ?2
    ));

-- name: candidates
-- The observations that may hold the phrase. `sure` says that the index alone proves it: one token, and the text has not
-- changed since.
SELECT
    coalesce(r.id, s.rowid) AS id,
    ? AND r.id IS NULL AND NOT EXISTS (SELECT 1 FROM tc_stale c WHERE c.id = s.rowid)
        AND NOT EXISTS (SELECT 1 FROM tc_redocs d WHERE d.id = s.rowid) AS sure
FROM tc_search s LEFT JOIN tc_redocs r ON r.doc = s.rowid WHERE s.tc_search MATCH ?
UNION
SELECT id, 0 FROM tc_observations WHERE id > (SELECT value FROM tc_state WHERE name = 'indexed')
UNION
SELECT id, 0 FROM tc_stale
