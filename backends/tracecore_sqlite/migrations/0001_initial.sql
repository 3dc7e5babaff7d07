-- The tables behind the views. People query the views (spans, generations, traces, sessions, scores); the tables may
-- change with any version, the views only grow.

-- What is in this file, and how far the search index has come.
CREATE TABLE tc_state (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

-- One row per observation, with what lists show and filters test. Its identity is (project, trace_id, span_id); trace
-- ids are time-ordered, so inserts are local and one trace is one range. `id` counts up in the order of writing
-- and is never used again: the search index remembers how far it came.
CREATE TABLE tc_observations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    kind INTEGER,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    duration_ns INTEGER,
    status TEXT NOT NULL,
    level TEXT,
    status_message TEXT,
    app_root INTEGER,
    version TEXT,
    completion_start_ns INTEGER,
    received_ns INTEGER,
    trace_name TEXT,
    user_id TEXT,
    session_id TEXT,
    tags TEXT,
    release TEXT,
    trace_version TEXT,
    environment TEXT,
    public INTEGER,
    trace_metadata TEXT,
    model TEXT,
    usage TEXT,
    input_tokens INTEGER,
    output_tokens INTEGER,
    total_tokens INTEGER,
    total_cost REAL,
    costs TEXT,
    prompt_name TEXT,
    prompt_version INTEGER,
    error TEXT,
    extra TEXT,
    UNIQUE (project, trace_id, span_id)
);
CREATE INDEX tc_observations_by_start ON tc_observations (project, start_ns);

-- Payloads, under the id of their observation: a list never reads this table.
CREATE TABLE tc_bodies (
    id INTEGER PRIMARY KEY,
    input TEXT,
    output TEXT,
    metadata TEXT,
    model_parameters TEXT,
    error_stack TEXT,
    extra TEXT
);

-- One row per trace, recomputed from its observations in the transaction that writes them. `disagree` says that its
-- observations carry different attributes, which only code can unite.
-- A trace begins as recent (`settled` is NULL) and is settled later, many at once: users and session ids arrive in random
-- order, and three random index pages per trace cost more than everything else of a batch together (44 µs a span against
-- 19 beside 600,000 traces). Whoever looks for a user or a session looks in the index and through the recent traces.
CREATE TABLE tc_traces (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    name TEXT,
    root_id TEXT,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    observation_count INTEGER NOT NULL,
    running INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    total_tokens INTEGER NOT NULL,
    total_cost REAL,
    cost_known INTEGER NOT NULL,
    trace_name TEXT,
    user_id TEXT,
    session_id TEXT,
    tags TEXT,
    release TEXT,
    version TEXT,
    environment TEXT,
    public INTEGER,
    metadata TEXT,
    disagree INTEGER NOT NULL,
    settled INTEGER,
    UNIQUE (project, trace_id)
);
CREATE INDEX tc_traces_by_start ON tc_traces (project, start_ns);
CREATE INDEX tc_traces_recent ON tc_traces (project, start_ns) WHERE settled IS NULL;
CREATE INDEX tc_traces_by_user ON tc_traces (project, user_id, start_ns) WHERE settled = 1 AND user_id IS NOT NULL;
CREATE INDEX tc_traces_by_session ON tc_traces (project, session_id, start_ns)
WHERE settled = 1 AND session_id IS NOT NULL;

-- One row per session that a settled trace or a session record names. Totals are summed when read; only the key of the
-- list is kept: the start of the last settled trace, or the smallest integer when there is none.
CREATE TABLE tc_sessions (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    session_id TEXT NOT NULL,
    last_start_ns INTEGER NOT NULL DEFAULT (-9223372036854775808),
    own INTEGER NOT NULL DEFAULT 0,
    environment TEXT,
    public INTEGER,
    bookmarked INTEGER,
    UNIQUE (project, session_id)
);
CREATE INDEX tc_sessions_by_last_start ON tc_sessions (project, last_start_ns);

-- A session follows its settled traces, whoever changes them.
CREATE TRIGGER tc_trace_settled AFTER UPDATE OF settled, session_id, start_ns ON tc_traces
WHEN new.settled = 1 AND (
    old.settled IS NULL OR new.session_id IS NOT old.session_id OR new.start_ns <> old.start_ns
)
BEGIN
    INSERT INTO tc_sessions (project, session_id, last_start_ns)
    SELECT new.project, new.session_id, new.start_ns WHERE new.session_id IS NOT NULL
    ON CONFLICT (project, session_id) DO UPDATE SET last_start_ns = max(last_start_ns, excluded.last_start_ns);
    UPDATE tc_sessions SET last_start_ns = ifnull((
        SELECT max(t.start_ns) FROM tc_traces t
        WHERE t.settled = 1 AND t.project = tc_sessions.project AND t.session_id = tc_sessions.session_id
    ), -9223372036854775808)
    WHERE old.settled = 1 AND project = new.project AND session_id IN (old.session_id, new.session_id);
    DELETE FROM tc_sessions
    WHERE old.settled = 1 AND project = new.project AND session_id = old.session_id
        AND last_start_ns = -9223372036854775808 AND NOT own;
END;

CREATE TABLE tc_scores (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL,
    score_id TEXT NOT NULL,
    name TEXT NOT NULL,
    timestamp_ns INTEGER NOT NULL,
    data_type TEXT NOT NULL,
    value REAL,
    string_value TEXT,
    source TEXT NOT NULL,
    trace_id TEXT,
    observation_id TEXT,
    session_id TEXT,
    experiment_id TEXT,
    comment TEXT,
    metadata TEXT,
    config_id TEXT,
    environment TEXT,
    author_user_id TEXT,
    queue_id TEXT,
    execution_trace_id TEXT,
    UNIQUE (project, score_id)
);
CREATE INDEX tc_scores_by_trace ON tc_scores (project, trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX tc_scores_by_session ON tc_scores (project, session_id) WHERE session_id IS NOT NULL;

-- The search index is built later than the rows (see search.py): `indexed` in tc_state is the last id it has seen, and
-- tc_stale holds the ids below it whose text has changed since. A changed text is indexed again under a new document
-- number, which tc_redocs leads back to its observation.
INSERT INTO tc_state VALUES ('indexed', 0);

CREATE TABLE tc_stale (
    id INTEGER PRIMARY KEY
);

CREATE TABLE tc_redocs (
    doc INTEGER PRIMARY KEY,
    id INTEGER NOT NULL
);
CREATE INDEX tc_redocs_by_id ON tc_redocs (id);

CREATE VIRTUAL TABLE tc_search USING fts5 (words, content = '', columnsize = 0, detail = none, tokenize = 'ascii');
