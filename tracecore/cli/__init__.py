"""The command line: what was recorded, read through the same stores as everything else.

Commands know no backend by name, and of SQL only the documented views: ``sql``, whose user writes it, and ``stats``,
where a backend can be asked. Everything a command prints for people passes :func:`tracecore.cli.escaping.visible`,
because what was recorded may be hostile to a terminal.
"""
