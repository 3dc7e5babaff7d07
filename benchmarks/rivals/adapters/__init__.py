"""One module a rival: what it is, and how to record with it."""
