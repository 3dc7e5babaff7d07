-- The search index leads to observations by their id, too: it is made anew, with their ids among their words.
INSERT INTO tc_search (tc_search) VALUES ('delete-all');
DELETE FROM tc_redocs;
DELETE FROM tc_stale;
DELETE FROM tc_state WHERE name = 'orphans';
UPDATE tc_state SET value = 0 WHERE name = 'indexed';
