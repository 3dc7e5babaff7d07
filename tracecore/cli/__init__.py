"""The command line: what was recorded, read through the same stores as everything else.

Commands know no SQL (but ``sql``, whose user writes it) and no backend by name. Everything a command prints for people
passes :func:`tracecore.cli.escaping.visible`, because what was recorded may be hostile to a terminal.
"""
