"""Adapters of other tracers for the async conformance cases, and a command that runs them side by side."""
