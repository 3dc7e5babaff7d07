-- The tables behind the views. People query the views (spans, generations, traces, sessions, scores, ledger, losses); the
-- tables may change with any version, the views only grow. Names stand without their schema: whoever runs this has set
-- search_path to it.
--
-- Texts that are compared, grouped or sorted have the collation "C": the order of code points, which is Python's, and the
-- fastest. What no text of PostgreSQL holds (NUL, lone surrogates) is escaped by tracecore_postgres.texts, in an order-keeping way.

-- Ids of observations: the writers take them in blocks, so they say nothing about order. They are never used again.
CREATE SEQUENCE tc_ids INCREMENT BY 4096 MINVALUE 0 START 0;

-- One row per observation, with what lists show and filters test. `week` is that of its trace (tc_traces.week), so that a
-- trace lies in one partition, and identity (project, trace_id, span_id) is unique although the key has to name the week.
-- `process` is the service instance it runs in while it runs, else NULL.
CREATE TABLE tc_observations (
    week integer NOT NULL,
    id bigint NOT NULL,
    project text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL,
    span_id text COLLATE "C" NOT NULL,
    parent_id text COLLATE "C",
    kind smallint,
    type text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    start_ns bigint NOT NULL,
    duration_ns bigint,
    status text COLLATE "C" NOT NULL,
    level text COLLATE "C",
    status_message text COLLATE "C",
    app_root smallint,
    version text COLLATE "C",
    completion_start_ns bigint,
    received_ns bigint,
    trace_name text COLLATE "C",
    user_id text COLLATE "C",
    session_id text COLLATE "C",
    tags text COLLATE "C",
    release text COLLATE "C",
    trace_version text COLLATE "C",
    environment text COLLATE "C",
    public smallint,
    trace_metadata text COLLATE "C",
    model text COLLATE "C",
    usage text COLLATE "C",
    input_tokens bigint,
    output_tokens bigint,
    total_tokens bigint,
    total_cost double precision,
    costs text COLLATE "C",
    prompt_name text COLLATE "C",
    prompt_version bigint,
    error text COLLATE "C",
    extra text COLLATE "C",
    process text COLLATE "C",
    PRIMARY KEY (project, trace_id, span_id, week)
) PARTITION BY RANGE (week);
CREATE INDEX tc_observations_by_start ON tc_observations (project, start_ns);
CREATE INDEX tc_observations_by_id ON tc_observations (id);
-- What runs, by the process it runs in: as good as empty, so that looking for what was abandoned costs nothing.
CREATE INDEX tc_observations_running ON tc_observations (process, project) WHERE process IS NOT NULL;

-- Payloads, under week and id of their observation: a list never reads this table. Text, because `json` would refuse some
-- of what was recorded and `jsonb` would spell it anew.
CREATE TABLE tc_bodies (
    week integer NOT NULL,
    id bigint NOT NULL,
    input text COLLATE "C",
    output text COLLATE "C",
    metadata text COLLATE "C",
    model_parameters text COLLATE "C",
    error_stack text COLLATE "C",
    extra text COLLATE "C",
    PRIMARY KEY (id, week)
) PARTITION BY RANGE (week);
-- Compressing 3 KB takes 5 µs by lz4 and 30 by pglz; the server may have been built without it.
DO $$
DECLARE named text;
BEGIN
    FOREACH named IN ARRAY ARRAY['input', 'output', 'metadata', 'error_stack', 'extra'] LOOP
        EXECUTE format('ALTER TABLE tc_bodies ALTER COLUMN %I SET COMPRESSION lz4', named);
    END LOOP;
EXCEPTION WHEN feature_not_supported OR syntax_error THEN NULL;
END $$;

-- Week 0 stands for every week that has no partition of its own: too long ago or in the future. There is no default
-- partition, because to make another beside it would lock it and read all of it.
CREATE TABLE tc_observations_rest PARTITION OF tc_observations FOR VALUES FROM (0) TO (1);
CREATE TABLE tc_bodies_rest PARTITION OF tc_bodies FOR VALUES FROM (0) TO (1);

-- One row per trace, recomputed from its observations in the transaction that writes them. `week` is that in which it was
-- first known to begin (weeks since 1970-01-01, or 0) and never changes. Whoever writes to a trace holds the lock of its
-- row, taken in the order of the key. `disagree` says that its observations carry different attributes, which only code
-- can unite.
CREATE TABLE tc_traces (
    project text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C" NOT NULL,
    week integer NOT NULL,
    name text COLLATE "C",
    root_id text COLLATE "C",
    start_ns bigint NOT NULL,
    end_ns bigint NOT NULL,
    observation_count bigint NOT NULL,
    running bigint NOT NULL,
    error_count bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    total_tokens bigint NOT NULL,
    total_cost double precision,
    cost_known smallint NOT NULL,
    trace_name text COLLATE "C",
    user_id text COLLATE "C",
    session_id text COLLATE "C",
    tags text COLLATE "C",
    release text COLLATE "C",
    version text COLLATE "C",
    environment text COLLATE "C",
    public smallint,
    metadata text COLLATE "C",
    disagree smallint NOT NULL,
    PRIMARY KEY (project, trace_id)
);
CREATE INDEX tc_traces_by_start ON tc_traces (project, start_ns);
CREATE INDEX tc_traces_by_user ON tc_traces (project, user_id, start_ns) WHERE user_id IS NOT NULL;
CREATE INDEX tc_traces_by_session ON tc_traces (project, session_id, start_ns) WHERE session_id IS NOT NULL;
CREATE INDEX tc_traces_by_week ON tc_traces (week, end_ns);

-- One row per session that a trace or a session record names. Totals are summed when read; only the key of the list is
-- kept: the start of the last trace, or the smallest integer when there is none.
CREATE TABLE tc_sessions (
    project text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    last_start_ns bigint NOT NULL DEFAULT (-9223372036854775808),
    own smallint NOT NULL DEFAULT 0,
    environment text COLLATE "C",
    public smallint,
    bookmarked smallint,
    PRIMARY KEY (project, session_id)
);
CREATE INDEX tc_sessions_by_last_start ON tc_sessions (project, last_start_ns, session_id);

CREATE TABLE tc_scores (
    project text COLLATE "C" NOT NULL,
    score_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    timestamp_ns bigint NOT NULL,
    data_type text COLLATE "C" NOT NULL,
    value double precision,
    string_value text COLLATE "C",
    source text COLLATE "C" NOT NULL,
    trace_id text COLLATE "C",
    observation_id text COLLATE "C",
    session_id text COLLATE "C",
    experiment_id text COLLATE "C",
    comment text COLLATE "C",
    metadata text COLLATE "C",
    config_id text COLLATE "C",
    environment text COLLATE "C",
    author_user_id text COLLATE "C",
    queue_id text COLLATE "C",
    execution_trace_id text COLLATE "C",
    PRIMARY KEY (project, score_id)
);
CREATE INDEX tc_scores_by_time ON tc_scores (project, timestamp_ns);
CREATE INDEX tc_scores_by_trace ON tc_scores (project, trace_id, timestamp_ns) WHERE trace_id IS NOT NULL;
CREATE INDEX tc_scores_by_session ON tc_scores (project, session_id, timestamp_ns) WHERE session_id IS NOT NULL;
CREATE INDEX tc_scores_by_name ON tc_scores (project, name, timestamp_ns);

-- One row per process and minute, replaced as a whole by what the process says later in that minute. Counts go on from
-- the beginning of the process; `lost` is a JSON object, reason by reason, and `lost_count` its sum.
CREATE TABLE tc_ledger (
    project text COLLATE "C" NOT NULL,
    process text COLLATE "C" NOT NULL,
    minute_ns bigint NOT NULL,
    seen_ns bigint NOT NULL,
    emitted bigint NOT NULL,
    delivered bigint NOT NULL,
    waiting bigint NOT NULL,
    sampled bigint NOT NULL,
    lost text COLLATE "C",
    lost_count bigint NOT NULL,
    recovered bigint NOT NULL,
    restarts bigint NOT NULL,
    host text COLLATE "C",
    pid bigint,
    service_name text COLLATE "C",
    started_ns bigint NOT NULL,
    ended smallint NOT NULL,
    PRIMARY KEY (project, process, minute_ns)
);
CREATE INDEX tc_ledger_by_minute ON tc_ledger (project, minute_ns, process);

-- The observations whose texts the search index has not seen, or that have changed since: whoever writes a text puts its
-- observation here, in the same transaction. Of one that is being indexed (its row is locked) a writer waits for the end,
-- so that the new text is in the queue again; whoever indexes skips what others have locked, so nobody waits in a circle.
CREATE TABLE tc_unindexed (
    week integer NOT NULL,
    id bigint NOT NULL,
    PRIMARY KEY (week, id)
);
