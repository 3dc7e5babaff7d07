-- What reading follows besides: the search index, and lists of scores by the rarer of what they judge.

-- Which words occur in which observation, as numbers (see search.py): its bodies are read only to prove what this proposes.
-- It is written later than the observations, from the queue tc_unindexed; one that has no row here, or stands in the
-- queue, may hold any word.
CREATE TABLE tc_search (
    week integer NOT NULL,
    id bigint NOT NULL,
    words integer[] NOT NULL,
    PRIMARY KEY (id, week)
) PARTITION BY RANGE (week);
-- Numbers do not compress, and trying takes longer than everything else.
ALTER TABLE tc_search ALTER COLUMN words SET STORAGE external;
-- What waits to be sorted into the index is read by every search, and sorted in by whoever finds that it is too much: a
-- megabyte takes some tens of milliseconds.
CREATE INDEX tc_search_by_words ON tc_search USING gin (words) WITH (gin_pending_list_limit = 1024);
CREATE TABLE tc_search_rest PARTITION OF tc_search FOR VALUES FROM (0) TO (1);

CREATE INDEX tc_scores_by_experiment ON tc_scores (project, experiment_id, timestamp_ns)
WHERE experiment_id IS NOT NULL;
CREATE INDEX tc_scores_by_observation ON tc_scores (project, observation_id, timestamp_ns)
WHERE observation_id IS NOT NULL;
