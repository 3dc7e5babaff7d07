-- The views that people query; tracecore_sql.views says what each column means. A view only grows.

CREATE VIEW spans AS
SELECT
    o.project, o.trace_id, o.span_id, o.parent_id, o.type, o.name,
    strftime('%Y-%m-%dT%H:%M:%S', o.start_ns / 1000000000, 'unixepoch') || printf('.%06dZ', o.start_ns / 1000 % 1000000) AS start,
    o.start_ns, o.duration_ns / 1e6 AS duration_ms, o.duration_ns, o.status, coalesce(o.level, 'DEFAULT') AS level,
    o.status_message, o.status IN ('error', 'abandoned') OR o.level IS 'ERROR' AS is_error,
    json_extract(o.error, '$.type') AS error_type, json_extract(o.error, '$.message') AS error_message, o.user_id,
    o.session_id, o.trace_name, o.tags, o.release, o.environment, coalesce(o.version, o.trace_version) AS version,
    b.input, b.output, b.metadata, o.trace_metadata, b.error_stack,
    o.model, o.total_tokens, o.total_cost
FROM tc_observations o LEFT JOIN tc_bodies b ON b.id = o.id;

CREATE VIEW generations AS
SELECT
    o.project, o.trace_id, o.span_id, o.parent_id, o.type, o.name,
    strftime('%Y-%m-%dT%H:%M:%S', o.start_ns / 1000000000, 'unixepoch') || printf('.%06dZ', o.start_ns / 1000 % 1000000) AS start,
    o.start_ns, o.duration_ns / 1e6 AS duration_ms, o.duration_ns, o.status, coalesce(o.level, 'DEFAULT') AS level,
    o.status_message, o.status IN ('error', 'abandoned') OR o.level IS 'ERROR' AS is_error,
    json_extract(o.error, '$.type') AS error_type, json_extract(o.error, '$.message') AS error_message, o.user_id,
    o.session_id, o.trace_name, o.tags, o.release, o.environment, coalesce(o.version, o.trace_version) AS version,
    b.input, b.output, b.metadata, o.trace_metadata, b.error_stack,
    o.model, b.model_parameters, o.input_tokens, o.output_tokens, o.total_tokens, o.usage, o.total_cost, o.costs,
    (o.completion_start_ns - o.start_ns) / 1e6 AS time_to_first_token_ms, o.prompt_name, o.prompt_version
FROM tc_observations o LEFT JOIN tc_bodies b ON b.id = o.id
WHERE o.kind = 2;

CREATE VIEW traces AS
SELECT
    t.project, t.trace_id, t.name,
    strftime('%Y-%m-%dT%H:%M:%S', t.start_ns / 1000000000, 'unixepoch') || printf('.%06dZ', t.start_ns / 1000 % 1000000) AS start,
    t.start_ns, (t.end_ns - t.start_ns) / 1e6 AS duration_ms, t.end_ns - t.start_ns AS duration_ns, t.user_id,
    t.session_id, t.tags, t.release, t.version, t.environment, t.public, t.metadata, t.running, t.observation_count,
    t.error_count, t.input_tokens, t.output_tokens, t.total_tokens, t.total_cost, t.cost_known, t.root_id, b.input,
    b.output
FROM tc_traces t
LEFT JOIN tc_observations r ON r.project = t.project AND r.trace_id = t.trace_id AND r.span_id = t.root_id
LEFT JOIN tc_bodies b ON b.id = r.id;

CREATE VIEW sessions AS
SELECT
    t.project, t.session_id,
    strftime('%Y-%m-%dT%H:%M:%S', min(t.start_ns) / 1000000000, 'unixepoch') || printf('.%06dZ', min(t.start_ns) / 1000 % 1000000) AS start,
    min(t.start_ns) AS start_ns,
    strftime('%Y-%m-%dT%H:%M:%S', max(t.start_ns) / 1000000000, 'unixepoch') || printf('.%06dZ', max(t.start_ns) / 1000 % 1000000) AS last_start,
    (max(t.end_ns) - min(t.start_ns)) / 1e6 AS duration_ms, count(*) AS trace_count,
    json_group_array(DISTINCT CAST(t.user_id AS TEXT)) FILTER (WHERE t.user_id IS NOT NULL) AS user_ids,
    sum(t.observation_count) AS observation_count, sum(t.error_count) AS error_count,
    sum(t.input_tokens) AS input_tokens, sum(t.output_tokens) AS output_tokens, sum(t.total_tokens) AS total_tokens,
    sum(t.total_cost) AS total_cost, min(t.cost_known) AS cost_known, s.environment, s.public, s.bookmarked
FROM tc_traces t LEFT JOIN tc_sessions s ON s.project = t.project AND s.session_id = t.session_id
WHERE t.session_id IS NOT NULL
GROUP BY t.project, t.session_id
UNION ALL
SELECT
    s.project, s.session_id, NULL, NULL, NULL, NULL, 0, '[]', 0, 0, 0, 0, 0, NULL, 1, s.environment, s.public,
    s.bookmarked
FROM tc_sessions s
WHERE s.own
    AND NOT EXISTS (
        SELECT 1 FROM tc_traces t WHERE t.settled = 1 AND t.project = s.project AND t.session_id = s.session_id
    )
    AND NOT EXISTS (
        SELECT 1 FROM tc_traces t WHERE t.settled IS NULL AND t.project = s.project AND t.session_id = s.session_id
    );

CREATE VIEW scores AS
SELECT
    project, score_id, name,
    strftime('%Y-%m-%dT%H:%M:%S', timestamp_ns / 1000000000, 'unixepoch') || printf('.%06dZ', timestamp_ns / 1000 % 1000000) AS time,
    timestamp_ns, data_type, value, string_value, source, trace_id, observation_id, session_id, experiment_id, comment,
    metadata, environment, author_user_id
FROM tc_scores;
