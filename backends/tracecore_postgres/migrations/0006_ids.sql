-- The search index leads to observations by their id, their user and their session, too: all of them are sorted into it
-- anew. Until then each is looked at.
INSERT INTO tc_unindexed (week, id) SELECT week, id FROM tc_observations ON CONFLICT DO NOTHING;
