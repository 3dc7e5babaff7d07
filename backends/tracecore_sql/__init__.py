"""What SQL backends share; not a backend.

Records as rows and back (``columns``, ``to_rows``, ``from_rows``, ``scores``, ``ledger``), conditions from the query
Structs (``filters``), cursors (``cursors``), what is searched and its tokens (``searching``), named statements and
numbered migrations (``statements``), and the documentation of the views that people query (``views``).
"""

from __future__ import annotations
