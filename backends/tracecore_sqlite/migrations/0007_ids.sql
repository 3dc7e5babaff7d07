-- The search index leads to observations by their id, their user and their session, too: it is made anew, with those among
-- their words.
INSERT INTO tc_search (tc_search) VALUES ('delete-all');
DELETE FROM tc_redocs;
DELETE FROM tc_stale;
DELETE FROM tc_state WHERE name = 'orphans';
UPDATE tc_state SET value = 0 WHERE name = 'indexed';
