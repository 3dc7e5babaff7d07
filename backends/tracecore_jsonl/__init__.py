"""Records as lines of JSON: in a file that several processes append to, or on stdout for whatever reads it there.

Found through the entry points ``jsonl`` and ``stdout``: ``jsonl:traces.jsonl``, ``jsonl:/var/log/traces.jsonl``,
``stdout:``. A line is a record as :mod:`tracecore.json_lines` writes it. What is written again is another line: readers
merge lines of one identity, a later one winning in what it sets (:func:`merged_records` does that).
"""

from __future__ import annotations

from tracecore_jsonl.backend import JsonlBackend, open_backend
from tracecore_jsonl.reading import merged_records, records_in

__all__ = ["JsonlBackend", "merged_records", "open_backend", "records_in"]
