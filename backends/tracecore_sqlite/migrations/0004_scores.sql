-- What lists of scores follow. Scores of one trace, observation or session are few and are sorted when they are read;
-- those of one name or one experiment are many, and lie in the order in which they are listed.
CREATE INDEX tc_scores_by_time ON tc_scores (project, timestamp_ns);
CREATE INDEX tc_scores_by_name ON tc_scores (project, name, timestamp_ns);
CREATE INDEX tc_scores_by_experiment ON tc_scores (project, experiment_id, timestamp_ns)
WHERE experiment_id IS NOT NULL;
CREATE INDEX tc_scores_by_observation ON tc_scores (project, observation_id) WHERE observation_id IS NOT NULL;
