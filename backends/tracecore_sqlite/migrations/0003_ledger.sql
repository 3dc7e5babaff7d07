-- The ledger: what became of everything that was recorded, and finding what was abandoned.

-- One row per process and minute, replaced as a whole by what the process says later in that minute. Counts go on from
-- the beginning of the process; `lost` is a JSON object, reason by reason, and `lost_count` its sum.
CREATE TABLE tc_ledger (
    project TEXT NOT NULL,
    process TEXT NOT NULL,
    minute_ns INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL,
    emitted INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    sampled INTEGER NOT NULL,
    lost TEXT,
    lost_count INTEGER NOT NULL,
    recovered INTEGER NOT NULL,
    restarts INTEGER NOT NULL,
    host TEXT,
    pid INTEGER,
    service_name TEXT,
    started_ns INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    PRIMARY KEY (project, process, minute_ns)
) WITHOUT ROWID;
CREATE INDEX tc_ledger_by_minute ON tc_ledger (project, minute_ns, process);

-- What runs, by the process it runs in: as good as empty, so that looking for what was abandoned costs nothing.
CREATE INDEX tc_observations_running
ON tc_observations (json_extract(extra, '$.provenance.service_instance_id'), project) WHERE status = 'running';

CREATE VIEW ledger AS
SELECT
    project, process,
    strftime('%Y-%m-%dT%H:%M:%S', minute_ns / 1000000000, 'unixepoch') || printf('.%06dZ', minute_ns / 1000 % 1000000) AS minute,
    minute_ns,
    strftime('%Y-%m-%dT%H:%M:%S', seen_ns / 1000000000, 'unixepoch') || printf('.%06dZ', seen_ns / 1000 % 1000000) AS seen,
    seen_ns, emitted, delivered, waiting, sampled, lost_count, coalesce(lost, '{}') AS lost,
    emitted - delivered - waiting - lost_count AS unaccounted, recovered, restarts, host, pid, service_name,
    strftime('%Y-%m-%dT%H:%M:%S', nullif(started_ns, 0) / 1000000000, 'unixepoch') || printf('.%06dZ', started_ns / 1000 % 1000000) AS started,
    nullif(started_ns, 0) AS started_ns, ended
FROM tc_ledger;

-- What was lost in each minute, reason by reason: what an entry says beyond the one before it.
CREATE VIEW losses AS
SELECT
    project, process,
    strftime('%Y-%m-%dT%H:%M:%S', minute_ns / 1000000000, 'unixepoch') || printf('.%06dZ', minute_ns / 1000 % 1000000) AS minute,
    minute_ns, reason, upto - ifnull(before, 0) AS lost, host, service_name
FROM (
    SELECT
        l.project, l.process, l.minute_ns, l.host, l.service_name, r.key AS reason, r.value AS upto,
        (
            SELECT b.value FROM tc_ledger p, json_each(p.lost) b
            WHERE p.project = l.project AND p.process = l.process AND b.key = r.key AND p.minute_ns = (
                SELECT max(q.minute_ns) FROM tc_ledger q
                WHERE q.project = l.project AND q.process = l.process AND q.minute_ns < l.minute_ns
            )
        ) AS before
    FROM tc_ledger l, json_each(l.lost) r
    WHERE l.lost_count > 0
)
WHERE upto > ifnull(before, 0);
