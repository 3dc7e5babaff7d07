-- The statements of the writer, all but those whose columns come from tracecore_sql.columns. {trace_ids} is filled with
-- as many ? as there are values, {rows} with a query of as many rows of them (see bulk.py); neither ever with a value.

-- name: roll_up_traces
-- One row per trace out of its observations. An attribute on which they agree (or that some leave unset) is taken as it
-- is; where they differ, `disagree` asks for tracecore.rollup.unite_attributes. One project per statement, so that both
-- the search and the grouping follow the unique index; with (project, trace_id) IN (...) SQLite scans the whole table.
INSERT INTO tc_traces (
    project, trace_id, name, root_id, start_ns, end_ns, observation_count, running, error_count, input_tokens,
    output_tokens, total_tokens, total_cost, cost_known, trace_name, user_id, session_id, tags, release, version,
    environment, public, metadata, disagree
)
SELECT
    project, trace_id,
    coalesce(trace_name, (
        SELECT r.name FROM tc_observations r
        WHERE r.project = g.project AND r.trace_id = g.trace_id AND r.span_id = substr(g.root, 21)
    )),
    substr(root, 21), start_ns, end_ns, observation_count, running, error_count, input_tokens, output_tokens,
    total_tokens, total_cost, cost_known, trace_name, user_id, session_id, tags, release, version, environment, public,
    metadata,
    ifnull(trace_name <> max_trace_name, 0) OR ifnull(user_id <> max_user_id, 0)
        OR ifnull(session_id <> max_session_id, 0) OR ifnull(tags <> max_tags, 0) OR ifnull(release <> max_release, 0)
        OR ifnull(version <> max_version, 0) OR ifnull(environment <> max_environment, 0)
        OR ifnull(public <> max_public, 0) OR ifnull(metadata <> max_metadata, 0)
FROM (
    SELECT
        project, trace_id,
        min(CASE WHEN parent_id IS NULL OR app_root THEN printf('%020d', start_ns) || span_id END) AS root,
        min(start_ns) AS start_ns, max(start_ns + ifnull(duration_ns, 0)) AS end_ns, count(*) AS observation_count,
        sum(status = 'running') AS running,
        sum(status IN ('error', 'abandoned') OR level IS 'ERROR') AS error_count,
        ifnull(sum(input_tokens), 0) AS input_tokens, ifnull(sum(output_tokens), 0) AS output_tokens,
        ifnull(sum(total_tokens), 0) AS total_tokens, sum(total_cost) AS total_cost,
        NOT ifnull(max(total_tokens > 0 AND total_cost IS NULL), 0) AS cost_known,
        min(trace_name) AS trace_name, max(trace_name) AS max_trace_name, min(user_id) AS user_id,
        max(user_id) AS max_user_id, min(session_id) AS session_id, max(session_id) AS max_session_id,
        min(tags) AS tags, max(tags) AS max_tags, min(release) AS release, max(release) AS max_release,
        min(trace_version) AS version, max(trace_version) AS max_version, min(environment) AS environment,
        max(environment) AS max_environment, min(public) AS public, max(public) AS max_public,
        min(trace_metadata) AS metadata, max(trace_metadata) AS max_metadata
    FROM tc_observations
    WHERE project = ? AND trace_id IN ({trace_ids})
    GROUP BY trace_id
) g
WHERE true
ON CONFLICT (project, trace_id) DO UPDATE SET
    name = excluded.name, root_id = excluded.root_id, start_ns = excluded.start_ns, end_ns = excluded.end_ns,
    observation_count = excluded.observation_count, running = excluded.running, error_count = excluded.error_count,
    input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, total_tokens = excluded.total_tokens,
    total_cost = excluded.total_cost, cost_known = excluded.cost_known, trace_name = excluded.trace_name,
    user_id = excluded.user_id, session_id = excluded.session_id, tags = excluded.tags, release = excluded.release,
    version = excluded.version, environment = excluded.environment, public = excluded.public,
    metadata = excluded.metadata, disagree = excluded.disagree;

-- name: disagreeing_traces
SELECT trace_id FROM tc_traces WHERE project = ? AND trace_id IN ({trace_ids}) AND disagree;

-- name: sayings
-- Every set of attributes that the observations of a trace carry, with the end and span id of the last that carries it.
SELECT
    trace_id, max(printf('%020d', start_ns + ifnull(duration_ns, 0)) || span_id), trace_name, user_id, session_id, tags,
    release, trace_version, environment, public, trace_metadata
FROM tc_observations
WHERE project = ? AND trace_id IN ({trace_ids})
GROUP BY
    trace_id, trace_name, user_id, session_id, tags, release, trace_version, environment, public, trace_metadata;

-- name: unite_traces
-- What code has made of them. The rows are nine attributes, project and trace id.
UPDATE tc_traces SET
    trace_name = u.column1, name = coalesce(u.column1, (
        SELECT r.name FROM tc_observations r
        WHERE r.project = tc_traces.project AND r.trace_id = tc_traces.trace_id AND r.span_id = tc_traces.root_id
    )),
    user_id = u.column2, session_id = u.column3, tags = u.column4, release = u.column5, version = u.column6,
    environment = u.column7, public = u.column8, metadata = u.column9
FROM ({rows}) u
WHERE tc_traces.project = u.column10 AND tc_traces.trace_id = u.column11;

-- name: last_observations
SELECT id, project, trace_id, span_id FROM tc_observations ORDER BY id DESC LIMIT ?;

-- name: mark_stale
INSERT OR IGNORE INTO tc_stale (id) VALUES (?);

-- name: upsert_sessions
-- Roll-up fields follow from the traces; a session record only carries its own.
INSERT INTO tc_sessions (project, session_id, own, environment, public, bookmarked) {rows}
ON CONFLICT (project, session_id) DO UPDATE SET
    own = 1, environment = coalesce(excluded.environment, environment), public = coalesce(excluded.public, public),
    bookmarked = coalesce(excluded.bookmarked, bookmarked);

-- name: upsert_scores
-- NUMERIC and API are the defaults of their fields: a later record with them does not set them.
INSERT INTO tc_scores (
    project, score_id, name, timestamp_ns, data_type, value, string_value, source, trace_id, observation_id, session_id,
    experiment_id, comment, metadata, config_id, environment, author_user_id, queue_id, execution_trace_id
) {rows}
ON CONFLICT (project, score_id) DO UPDATE SET
    name = excluded.name, timestamp_ns = excluded.timestamp_ns,
    data_type = coalesce(nullif(excluded.data_type, 'NUMERIC'), data_type), value = coalesce(excluded.value, value),
    string_value = coalesce(excluded.string_value, string_value),
    source = coalesce(nullif(excluded.source, 'API'), source), trace_id = coalesce(excluded.trace_id, trace_id),
    observation_id = coalesce(excluded.observation_id, observation_id),
    session_id = coalesce(excluded.session_id, session_id),
    experiment_id = coalesce(excluded.experiment_id, experiment_id), comment = coalesce(excluded.comment, comment),
    metadata = coalesce(excluded.metadata, metadata), config_id = coalesce(excluded.config_id, config_id),
    environment = coalesce(excluded.environment, environment),
    author_user_id = coalesce(excluded.author_user_id, author_user_id),
    queue_id = coalesce(excluded.queue_id, queue_id),
    execution_trace_id = coalesce(excluded.execution_trace_id, execution_trace_id);

-- name: upsert_ledger
-- The entry that was seen later stands for both; that a process has ended stays true, whichever says so.
INSERT INTO tc_ledger (
    project, process, minute_ns, seen_ns, emitted, delivered, waiting, sampled, lost, lost_count, recovered, restarts,
    host, pid, service_name, started_ns, ended
) {rows}
ON CONFLICT (project, process, minute_ns) DO UPDATE SET
    seen_ns = excluded.seen_ns, emitted = excluded.emitted, delivered = excluded.delivered, waiting = excluded.waiting,
    sampled = excluded.sampled, lost = excluded.lost, lost_count = excluded.lost_count,
    recovered = excluded.recovered, restarts = excluded.restarts, host = excluded.host, pid = excluded.pid,
    service_name = excluded.service_name, started_ns = excluded.started_ns, ended = max(ended, excluded.ended)
WHERE excluded.seen_ns >= seen_ns;

-- name: end_process
UPDATE tc_ledger SET ended = 1 WHERE project = ? AND process = ? AND minute_ns = ?;

-- name: abandoned
-- The first of the observations that run in a process whose last entry says that it has ended, or was seen before some
-- time; and when it was seen. `>= ''` is IS NOT NULL to the index, too.
SELECT o.project, o.trace_id, o.span_id, o.name, o.start_ns, g.seen_ns
FROM (
    SELECT r.process, r.project, l.seen_ns
    FROM (
        SELECT DISTINCT json_extract(extra, '$.provenance.service_instance_id') AS process, project
        FROM tc_observations
        WHERE status = 'running' AND json_extract(extra, '$.provenance.service_instance_id') >= ''
    ) r CROSS JOIN tc_ledger l ON l.project = r.project AND l.process = r.process AND l.minute_ns = (
        SELECT max(m.minute_ns) FROM tc_ledger m WHERE m.project = r.project AND m.process = r.process
    )
    WHERE l.ended OR l.seen_ns < ?
) g CROSS JOIN tc_observations o
ON o.status = 'running' AND json_extract(o.extra, '$.provenance.service_instance_id') = g.process
    AND o.project = g.project
LIMIT ?;
