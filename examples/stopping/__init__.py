"""How programs of every kind end without losing a span: nothing to do, or one line in the right place."""
