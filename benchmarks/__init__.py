"""What tracecore costs, measured on your machine: ``python -m benchmarks list|run|report``. See README.md here."""
