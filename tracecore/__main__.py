"""``python -m tracecore``: the command line, also where no ``tracecore`` script is on the path."""

from __future__ import annotations

import sys

from tracecore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
