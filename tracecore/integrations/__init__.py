"""Integrations: what joins tracecore to other libraries. Each is switched on and off by a call, none by importing.

They stand on the public API alone (what ``import tracecore`` exports) and prove that it suffices.
"""
