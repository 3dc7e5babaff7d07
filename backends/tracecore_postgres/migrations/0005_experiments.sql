-- What is of an experiment: `extra` begins with a key then (tracecore_sql.experiments), which few observations have.
CREATE INDEX tc_observations_by_experiment ON tc_observations (project, substr(extra, 20, 32), start_ns)
WHERE substr(extra, 1, 19) = '{"experiment_key":"';
-- What stands for an item of one.
CREATE INDEX tc_observations_experiment_items ON tc_observations (project, start_ns)
WHERE substr(extra, 1, 19) = '{"experiment_key":"' AND substr(extra, 52, 1) = 'i';
