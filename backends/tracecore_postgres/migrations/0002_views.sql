-- The views that people query; tracecore_sql.views says what each column means. A view only grows. Flags are 0 and 1, times
-- ISO 8601, JSON is text: all as in SQLite, and so are -> and ->> on it, which are defined here for text.

CREATE FUNCTION tc_time(ns bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    to_char(timestamp 'epoch' + (ns / 1000) * interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- Text as JSON that PostgreSQL can look into: what it cannot put into a text (\u0000, half a surrogate pair) becomes the
-- replacement character, and what is no JSON is NULL. One bad row never breaks a query.
CREATE FUNCTION tc_json(source text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN source::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
    BEGIN
        RETURN regexp_replace(
            source, '(?<!\\)((?:\\\\)*)\\u(?:0000|[dD][89abABcdefCDEF][0-9a-fA-F]{2})', '\1\\ufffd', 'g'
        )::jsonb;
    EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
        RETURN NULL;
    END;
END $$;

-- A key, or as in SQLite a path: '$.messages[0].content'.
CREATE FUNCTION tc_pick(source text, key text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    CASE WHEN starts_with(key, '$') THEN jsonb_path_query_first(tc_json(source), key::jsonpath, silent => true)
    ELSE tc_json(source) -> key END;
CREATE FUNCTION tc_pick_text(source text, key text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
    tc_pick(source, key) #>> '{}';
CREATE FUNCTION tc_pick_text(source text, place integer) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN tc_json(source) ->> place;
CREATE FUNCTION tc_pick(source text, place integer) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN tc_json(source) -> place;
CREATE OPERATOR ->> (LEFTARG = text, RIGHTARG = text, FUNCTION = tc_pick_text);
CREATE OPERATOR ->> (LEFTARG = text, RIGHTARG = integer, FUNCTION = tc_pick_text);
CREATE OPERATOR -> (LEFTARG = text, RIGHTARG = text, FUNCTION = tc_pick);
CREATE OPERATOR -> (LEFTARG = text, RIGHTARG = integer, FUNCTION = tc_pick);

-- What was lost, reason by reason, of a JSON object of counts.
CREATE FUNCTION tc_counts(source text) RETURNS TABLE (reason text, count bigint) LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT key, least(value::numeric, 9223372036854775807)::bigint FROM jsonb_each_text(tc_json(source));
END;

CREATE VIEW spans AS
SELECT
    o.project, o.trace_id, o.span_id, o.parent_id, o.type, o.name, tc_time(o.start_ns) AS start, o.start_ns,
    o.duration_ns / 1e6::double precision AS duration_ms, o.duration_ns, o.status, coalesce(o.level, 'DEFAULT') AS level,
    o.status_message,
    CASE WHEN o.status IN ('error', 'abandoned') OR o.level IS NOT DISTINCT FROM 'ERROR' THEN 1 ELSE 0 END AS is_error,
    tc_pick_text(o.error, 'type') AS error_type, tc_pick_text(o.error, 'message') AS error_message, o.user_id,
    o.session_id, o.trace_name, o.tags, o.release, o.environment, coalesce(o.version, o.trace_version) AS version,
    b.input, b.output, b.metadata, o.trace_metadata, b.error_stack, o.model, o.total_tokens, o.total_cost
FROM tc_observations o LEFT JOIN tc_bodies b ON b.week = o.week AND b.id = o.id;

CREATE VIEW generations AS
SELECT
    o.project, o.trace_id, o.span_id, o.parent_id, o.type, o.name, tc_time(o.start_ns) AS start, o.start_ns,
    o.duration_ns / 1e6::double precision AS duration_ms, o.duration_ns, o.status, coalesce(o.level, 'DEFAULT') AS level,
    o.status_message,
    CASE WHEN o.status IN ('error', 'abandoned') OR o.level IS NOT DISTINCT FROM 'ERROR' THEN 1 ELSE 0 END AS is_error,
    tc_pick_text(o.error, 'type') AS error_type, tc_pick_text(o.error, 'message') AS error_message, o.user_id,
    o.session_id, o.trace_name, o.tags, o.release, o.environment, coalesce(o.version, o.trace_version) AS version,
    b.input, b.output, b.metadata, o.trace_metadata, b.error_stack, o.model, b.model_parameters, o.input_tokens,
    o.output_tokens, o.total_tokens, o.usage, o.total_cost, o.costs,
    (o.completion_start_ns::numeric - o.start_ns)::double precision / 1e6::double precision AS time_to_first_token_ms, o.prompt_name,
    o.prompt_version
FROM tc_observations o LEFT JOIN tc_bodies b ON b.week = o.week AND b.id = o.id
WHERE o.kind = 2;

CREATE VIEW traces AS
SELECT
    t.project, t.trace_id, t.name, tc_time(t.start_ns) AS start, t.start_ns,
    (t.end_ns::numeric - t.start_ns)::double precision / 1e6::double precision AS duration_ms,
    least(t.end_ns::numeric - t.start_ns, 9223372036854775807)::bigint AS duration_ns, t.user_id,
    t.session_id, t.tags, t.release, t.version, t.environment, t.public, t.metadata, t.running, t.observation_count,
    t.error_count, t.input_tokens, t.output_tokens, t.total_tokens, t.total_cost, t.cost_known, t.root_id, b.input,
    b.output
FROM tc_traces t
LEFT JOIN tc_observations r
    ON r.week = t.week AND r.project = t.project AND r.trace_id = t.trace_id AND r.span_id = t.root_id
LEFT JOIN tc_bodies b ON b.week = r.week AND b.id = r.id;

CREATE VIEW sessions AS
SELECT
    t.project, t.session_id, tc_time(min(t.start_ns)) AS start, min(t.start_ns) AS start_ns,
    tc_time(max(t.start_ns)) AS last_start,
    (max(t.end_ns)::numeric - min(t.start_ns))::double precision / 1e6::double precision AS duration_ms, count(*) AS trace_count,
    coalesce(array_to_json(array_agg(DISTINCT t.user_id) FILTER (WHERE t.user_id IS NOT NULL)), '[]')::text AS user_ids,
    least(sum(t.observation_count), 9223372036854775807)::bigint AS observation_count,
    least(sum(t.error_count), 9223372036854775807)::bigint AS error_count,
    least(sum(t.input_tokens), 9223372036854775807)::bigint AS input_tokens,
    least(sum(t.output_tokens), 9223372036854775807)::bigint AS output_tokens,
    least(sum(t.total_tokens), 9223372036854775807)::bigint AS total_tokens,
    sum(t.total_cost) AS total_cost, min(t.cost_known) AS cost_known, s.environment, s.public, s.bookmarked
FROM tc_traces t LEFT JOIN tc_sessions s ON s.project = t.project AND s.session_id = t.session_id
WHERE t.session_id IS NOT NULL
GROUP BY t.project, t.session_id, s.environment, s.public, s.bookmarked
UNION ALL
SELECT
    s.project, s.session_id, NULL, NULL, NULL, NULL, 0, '[]', 0, 0, 0, 0, 0, NULL, 1, s.environment, s.public,
    s.bookmarked
FROM tc_sessions s
WHERE s.own = 1
    AND NOT EXISTS (SELECT 1 FROM tc_traces t WHERE t.project = s.project AND t.session_id = s.session_id);

CREATE VIEW scores AS
SELECT
    project, score_id, name, tc_time(timestamp_ns) AS time, timestamp_ns, data_type, value, string_value, source,
    trace_id, observation_id, session_id, experiment_id, comment, metadata, environment, author_user_id
FROM tc_scores;

CREATE VIEW ledger AS
SELECT
    project, process, tc_time(minute_ns) AS minute, minute_ns, tc_time(seen_ns) AS seen, seen_ns, emitted, delivered,
    waiting, sampled, lost_count, coalesce(lost, '{}') AS lost,
    (emitted::numeric - delivered - waiting - lost_count)::bigint AS unaccounted, recovered, restarts, host, pid,
    service_name, tc_time(nullif(started_ns, 0)) AS started, nullif(started_ns, 0) AS started_ns, ended
FROM tc_ledger;

-- What was lost in each minute, reason by reason: what an entry says beyond the one before it.
CREATE VIEW losses AS
SELECT
    project, process, tc_time(minute_ns) AS minute, minute_ns, reason, upto - coalesce(before, 0) AS lost, host,
    service_name
FROM (
    SELECT
        l.project, l.process, l.minute_ns, l.host, l.service_name, r.reason, r.count AS upto,
        (
            SELECT b.count FROM tc_ledger p CROSS JOIN LATERAL tc_counts(p.lost) b
            WHERE p.project = l.project AND p.process = l.process AND b.reason = r.reason AND p.minute_ns = (
                SELECT max(q.minute_ns) FROM tc_ledger q
                WHERE q.project = l.project AND q.process = l.process AND q.minute_ns < l.minute_ns
            )
        ) AS before
    FROM tc_ledger l CROSS JOIN LATERAL tc_counts(l.lost) r
    WHERE l.lost_count > 0
) AS counted
WHERE upto > coalesce(before, 0);
