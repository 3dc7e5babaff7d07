-- The statements of the writer. {…} is filled with pieces of SQL made of constants (columns, and the rows that packing.py
-- packs), never with a value. Every statement takes row locks in the order of the keys: traces first, then sessions,
-- scores, ledger entries, so that writers wait for each other and never in a circle.

-- name: rolled_up
-- One row per trace out of observations. An attribute on which they agree (or that some leave unset) is taken as it is;
-- where they differ, `disagree` asks for tracecore.rollup.unite_attributes. Sums stop at the largest integer.
SELECT
    project, trace_id, coalesce(trace_name, root_name) AS name, root_id, start_ns, end_ns, observation_count, running,
    error_count, input_tokens, output_tokens, total_tokens, total_cost, cost_known, trace_name, user_id, session_id,
    tags, release, version, environment, public, metadata,
    CASE
        WHEN trace_name <> max_trace_name OR user_id <> max_user_id OR session_id <> max_session_id OR tags <> max_tags
            OR release <> max_release OR version <> max_version OR environment <> max_environment
            OR public <> max_public OR metadata <> max_metadata
        THEN 1 ELSE 0
    END::smallint AS disagree
FROM (
    SELECT
        project, trace_id,
        (array_agg(span_id ORDER BY start_ns, span_id) FILTER (WHERE parent_id IS NULL OR app_root = 1))[1] AS root_id,
        (array_agg(name ORDER BY start_ns, span_id) FILTER (WHERE parent_id IS NULL OR app_root = 1))[1] AS root_name,
        min(start_ns) AS start_ns,
        max(CASE
            WHEN start_ns > 0 AND duration_ns > 9223372036854775807 - start_ns THEN 9223372036854775807
            ELSE start_ns + coalesce(duration_ns, 0)
        END) AS end_ns,
        count(*) AS observation_count, count(*) FILTER (WHERE status = 'running') AS running,
        count(*) FILTER (WHERE status IN ('error', 'abandoned') OR level = 'ERROR') AS error_count,
        least(coalesce(sum(input_tokens), 0), 9223372036854775807)::bigint AS input_tokens,
        least(coalesce(sum(output_tokens), 0), 9223372036854775807)::bigint AS output_tokens,
        least(coalesce(sum(total_tokens), 0), 9223372036854775807)::bigint AS total_tokens,
        sum(total_cost) AS total_cost,
        CASE WHEN bool_or(total_tokens > 0 AND total_cost IS NULL) THEN 0 ELSE 1 END::smallint AS cost_known,
        min(trace_name) AS trace_name, max(trace_name) AS max_trace_name, min(user_id) AS user_id,
        max(user_id) AS max_user_id, min(session_id) AS session_id, max(session_id) AS max_session_id,
        min(tags) AS tags, max(tags) AS max_tags, min(release) AS release, max(release) AS max_release,
        min(trace_version) AS version, max(trace_version) AS max_version, min(environment) AS environment,
        max(environment) AS max_environment, min(public) AS public, max(public) AS max_public,
        min(trace_metadata) AS metadata, max(trace_metadata) AS max_metadata
    FROM {observations}
    GROUP BY project, trace_id
) AS summed

-- name: write
-- Write observations of new traces, with their traces ($2 and $3: the weeks that have a partition), or of known ones that
-- are locked. An observation that is there already stays as it is (of new traces none is, nearly always: to insert
-- without looking is tried first, and costs a seventh less). The answer: how many were turned away, and by
-- kind: `known` traces, of which nothing was written; `differ`, new ones whose attributes have to be united; the
-- sessions of the other new ones with their last start; of known traces the observations that were kept.
WITH staged AS MATERIALIZED (SELECT * FROM {staged} AS cut),
{owners},
kept AS (
    INSERT INTO tc_observations (week, id, {listed}, process)
    SELECT w.week, s.id, {s_listed}, s.process
    FROM staged s JOIN owners w ON w.project = s.project AND w.trace_id = s.trace_id
    {if_there}
    RETURNING week, id
),
bodies AS (
    INSERT INTO tc_bodies (week, id, {body})
    SELECT k.week, k.id, {b_body} FROM {bodies} b JOIN kept k ON k.id = b.id
),
queued AS (
    INSERT INTO tc_unindexed (week, id) SELECT week, id FROM kept
    {if_queued}
)
{answer}

-- name: new_owners
owners AS (
    INSERT INTO tc_traces (project, trace_id, week, {rolled})
    SELECT
        project, trace_id,
        CASE WHEN start_ns / 604800000000000 BETWEEN $2 AND $3 THEN start_ns / 604800000000000 ELSE 0 END, {rolled}
    FROM ({rolled_up}) AS r
    ORDER BY project, trace_id
    ON CONFLICT (project, trace_id) DO NOTHING
    RETURNING project, trace_id, week, session_id, start_ns, disagree
)

-- name: new_answer
SELECT 'turned away'::text AS kind, NULL::text AS project, NULL::text AS name,
    (SELECT count(*) FROM staged s JOIN owners w ON w.project = s.project AND w.trace_id = s.trace_id)
    - (SELECT count(*) FROM kept) AS number
UNION ALL
SELECT DISTINCT 'known'::text, s.project, s.trace_id, NULL::bigint FROM staged s
WHERE NOT EXISTS (SELECT FROM owners w WHERE w.project = s.project AND w.trace_id = s.trace_id)
UNION ALL
SELECT 'differ'::text, project, trace_id, week FROM owners WHERE disagree = 1
UNION ALL
SELECT 'session'::text, project, session_id, max(start_ns) FROM owners WHERE disagree = 0 AND session_id IS NOT NULL
GROUP BY project, session_id

-- name: known_owners
owners AS (SELECT * FROM unnest($2::text[], $3::text[], $4::integer[]) AS w (project, trace_id, week))

-- name: known_answer
SELECT id FROM kept

-- name: lock_traces
-- Traces and what of them a session follows, locked until the end of the transaction.
SELECT project, trace_id, week, session_id, start_ns FROM tc_traces
WHERE (project, trace_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY project, trace_id FOR UPDATE

-- name: find_observations
SELECT o.week, o.id, {listed}, {body}
FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[]) AS k (project, trace_id, span_id, week)
JOIN tc_observations o
    ON o.week = k.week AND o.project = k.project AND o.trace_id = k.trace_id AND o.span_id = k.span_id
LEFT JOIN tc_bodies b ON b.week = o.week AND b.id = o.id
WHERE o.week = ANY($4::integer[])

-- name: remove_observations
-- What is about to be written anew, under the same ids.
WITH bodies AS (DELETE FROM tc_bodies WHERE week = ANY($1::integer[]) AND id = ANY($2::bigint[]))
DELETE FROM tc_observations WHERE week = ANY($1::integer[]) AND id = ANY($2::bigint[])

-- name: roll_up
-- Recompute known traces from all that is stored of them; return those of the given ones with what a session follows.
UPDATE tc_traces t SET ({rolled}) = ROW({r_rolled})
FROM ({rolled_up}) AS r
WHERE t.project = r.project AND t.trace_id = r.trace_id
RETURNING t.project, t.trace_id, t.week, t.session_id, t.start_ns, t.disagree

-- name: of_traces
-- The observations of known traces, as {{observations}} of a roll-up.
(
    SELECT o.* FROM unnest($1::text[], $2::text[], $3::integer[]) AS w (project, trace_id, week)
    JOIN tc_observations o ON o.week = w.week AND o.project = w.project AND o.trace_id = w.trace_id
    WHERE o.week = ANY($3::integer[])
) AS o

-- name: sayings
-- Every set of attributes that the observations of a trace carry, with the end and span id of the last that carries it.
SELECT DISTINCT ON (
    project, trace_id, trace_name, user_id, session_id, tags, release, trace_version, environment, public, trace_metadata
)
    project, trace_id,
    CASE
        WHEN start_ns > 0 AND duration_ns > 9223372036854775807 - start_ns THEN 9223372036854775807
        ELSE start_ns + coalesce(duration_ns, 0)
    END AS ended,
    span_id, trace_name, user_id, session_id, tags, release, trace_version, environment, public, trace_metadata
FROM {observations}
ORDER BY
    project, trace_id, trace_name, user_id, session_id, tags, release, trace_version, environment, public,
    trace_metadata, ended DESC, span_id DESC

-- name: unite_traces
-- What code has made of them.
UPDATE tc_traces t SET
    trace_name = u.trace_name, name = coalesce(u.trace_name, (
        SELECT r.name FROM tc_observations r
        WHERE r.week = t.week AND r.project = t.project AND r.trace_id = t.trace_id AND r.span_id = t.root_id
    )),
    user_id = u.user_id, session_id = u.session_id, tags = u.tags, release = u.release, version = u.version,
    environment = u.environment, public = u.public, metadata = u.metadata
FROM {united} AS u
WHERE t.project = u.project AND t.trace_id = u.trace_id
RETURNING t.project, t.trace_id, t.session_id, t.start_ns

-- name: upsert_sessions
-- All sessions that a batch touches, locked, whether or not it changes them.
INSERT INTO tc_sessions (project, session_id, last_start_ns, own, environment, public, bookmarked)
SELECT project, session_id, last_start_ns, own, environment, public, bookmarked FROM {sessions} AS s
ORDER BY project, session_id
ON CONFLICT (project, session_id) DO UPDATE SET
    last_start_ns = greatest(tc_sessions.last_start_ns, excluded.last_start_ns),
    own = greatest(tc_sessions.own, excluded.own), environment = coalesce(excluded.environment, tc_sessions.environment),
    public = coalesce(excluded.public, tc_sessions.public),
    bookmarked = coalesce(excluded.bookmarked, tc_sessions.bookmarked)
WHERE tc_sessions.last_start_ns < excluded.last_start_ns OR tc_sessions.own < excluded.own
    OR excluded.environment IS NOT NULL OR excluded.public IS NOT NULL OR excluded.bookmarked IS NOT NULL

-- name: follow_traces
-- Sessions that a trace has left, or whose trace begins at another time, and that are locked: their last start anew.
WITH moved AS (
    SELECT k.project, k.session_id, (
        SELECT max(t.start_ns) FROM tc_traces t WHERE t.project = k.project AND t.session_id = k.session_id
    ) AS last_start_ns
    FROM unnest($1::text[], $2::text[]) AS k (project, session_id)
),
gone AS (
    DELETE FROM tc_sessions s USING moved m
    WHERE s.project = m.project AND s.session_id = m.session_id AND m.last_start_ns IS NULL AND s.own = 0
)
UPDATE tc_sessions s SET last_start_ns = coalesce(m.last_start_ns, -9223372036854775808) FROM moved m
WHERE s.project = m.project AND s.session_id = m.session_id AND (m.last_start_ns IS NOT NULL OR s.own = 1)

-- name: upsert_scores
-- NUMERIC and API are the defaults of their fields: a later record with them does not set them.
INSERT INTO tc_scores AS t ({scored}) SELECT {scored} FROM {scores} AS s ORDER BY project, score_id
ON CONFLICT (project, score_id) DO UPDATE SET
    name = excluded.name, timestamp_ns = excluded.timestamp_ns,
    data_type = coalesce(nullif(excluded.data_type, 'NUMERIC'), t.data_type), value = coalesce(excluded.value, t.value),
    string_value = coalesce(excluded.string_value, t.string_value),
    source = coalesce(nullif(excluded.source, 'API'), t.source), trace_id = coalesce(excluded.trace_id, t.trace_id),
    observation_id = coalesce(excluded.observation_id, t.observation_id),
    session_id = coalesce(excluded.session_id, t.session_id),
    experiment_id = coalesce(excluded.experiment_id, t.experiment_id), comment = coalesce(excluded.comment, t.comment),
    metadata = coalesce(excluded.metadata, t.metadata), config_id = coalesce(excluded.config_id, t.config_id),
    environment = coalesce(excluded.environment, t.environment),
    author_user_id = coalesce(excluded.author_user_id, t.author_user_id),
    queue_id = coalesce(excluded.queue_id, t.queue_id),
    execution_trace_id = coalesce(excluded.execution_trace_id, t.execution_trace_id)

-- name: upsert_ledger
-- The entry that was seen later stands for both; that a process has ended stays true, whichever says so.
INSERT INTO tc_ledger AS t ({entry}) SELECT {entry} FROM {entries} AS s ORDER BY project, process, minute_ns
ON CONFLICT (project, process, minute_ns) DO UPDATE SET
    ({entry_rest}) = ROW({excluded_rest}), ended = greatest(t.ended, excluded.ended)
WHERE excluded.seen_ns >= t.seen_ns

-- name: end_processes
UPDATE tc_ledger t SET ended = 1 FROM unnest($1::text[], $2::text[], $3::bigint[]) AS k (project, process, minute_ns)
WHERE t.project = k.project AND t.process = k.process AND t.minute_ns = k.minute_ns AND t.ended = 0

-- name: abandoned
-- The first of the observations that run in a process whose last entry says that it has ended, or was seen before some
-- time; and when it was seen.
SELECT o.project, o.trace_id, o.span_id, o.name, o.start_ns, l.seen_ns
FROM (SELECT DISTINCT process, project FROM tc_observations WHERE process IS NOT NULL) r
CROSS JOIN LATERAL (
    SELECT seen_ns, ended FROM tc_ledger e WHERE e.project = r.project AND e.process = r.process
    ORDER BY minute_ns DESC LIMIT 1
) l
JOIN tc_observations o ON o.process = r.process AND o.project = r.project
WHERE l.ended = 1 OR l.seen_ns < $1
LIMIT $2
