"""OTLP in, records out: the bytes of an ``ExportTraceServiceRequest``, and what is answered to them.

``decoding`` reads a request through ``protobuf`` or ``json_encoding`` into ``received`` spans and makes a record of
each (``spans``), field by field from the table in ``mapping``. ``limits`` says what a request may cost.
"""

from __future__ import annotations

from tracecore.server.otlp.answers import answer, error_body
from tracecore.server.otlp.decoding import decode
from tracecore.server.otlp.received import Decoded, Destination, Encoding
from tracecore.wire import Malformed

__all__ = ["Decoded", "Destination", "Encoding", "Malformed", "answer", "decode", "error_body"]
