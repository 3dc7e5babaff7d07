"""The door to the snapshot encoder: what the rest of the house and the backends import of it.

* :func:`snapshot` writes any object as JSON, :func:`binder` the arguments of a call by parameter name,
  :func:`metadata` what several updates said together, :func:`error_info` an exception: at the call site, once.
* :func:`mask_record` masks a record, as the last thing before it leaves the process.
* ``unencodables`` and ``masking_failures`` count what could not be written or masked.
"""

from __future__ import annotations

from tracecore.binding import Binder, binder
from tracecore.error_info import error_info
from tracecore.limits import DEFAULT_LIMITS, Limits
from tracecore.markers import unencodables, without_surrogates
from tracecore.masking import Mask, mask_record, masking_failures
from tracecore.metadata import metadata
from tracecore.snapshots import encoded, snapshot

__all__ = [
    "DEFAULT_LIMITS",
    "Binder",
    "Limits",
    "Mask",
    "binder",
    "encoded",
    "error_info",
    "mask_record",
    "masking_failures",
    "metadata",
    "snapshot",
    "unencodables",
    "without_surrogates",
]
