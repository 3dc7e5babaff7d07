"""Runnable examples; start with ``quickstart.py``, then read ``rag_service``."""
