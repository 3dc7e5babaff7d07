"""The suites, one a file: each has ``run(settings, step)`` and returns its table."""
