"""``tracecore doctor``: is everything as it should be, and if not, what to do."""

from __future__ import annotations

import os
from typing import Any

import anyio
import click

from tracecore.cli import health
from tracecore.cli.backend_findings import backend_findings
from tracecore.cli.escaping import visible
from tracecore.cli.findings import Finding
from tracecore.cli.journal_findings import as_json, journal_findings, look_at_journal
from tracecore.cli.options import with_settings
from tracecore.cli.output import Column, print_json, print_lines, print_table
from tracecore.cli.reading import Settings
from tracecore.clock import wall_ns

__all__ = ["doctor"]


@click.command(short_help="Check settings and backend; say what to do.")
@click.option("--write", is_flag=True, help="Also write one record (in a project of its own).")
@with_settings
def doctor(settings: Settings, *, write: bool) -> int:
    """Check settings, backend, versions, the journal and the delivery of the last day; say what to do about problems.

    Exit code 1 if there is one.
    """
    journal = look_at_journal(settings.config)
    findings = [
        *health.settings_findings(os.environ, settings.config.backend),
        health.mask_finding(),
        *anyio.run(lambda: backend_findings(settings.config, write=write)),
        *journal_findings(settings.config, journal, wall_ns()),
    ]
    healthy = all(finding.ok for finding in findings)
    if settings.as_json:
        print_json(
            {
                "ok": healthy,
                "versions": health.versions(),
                "settings": health.settings(settings.config),
                "journal": as_json(journal),
                "findings": findings,
            }
        )
    else:
        _print(settings, findings)
    return 0 if healthy else 1


def _print(settings: Settings, findings: list[Finding]) -> None:
    installed = [[name, version or "not installed"] for name, version in health.versions().items()]
    print_table((Column("package"), Column("version")), installed)
    print_lines([""])
    rows = [[key, _value(entry["value"]), _source(entry)] for key, entry in health.settings(settings.config).items()]
    print_table((Column("setting"), Column("value", limit=60), Column("from", limit=160)), rows)
    print_lines([""])
    for finding in findings:
        # What is well as it is, but asks for attention, is no problem: the exit code stays 0.
        mark = "PROBLEM" if not finding.ok else "note   " if finding.remedy else "ok     "
        print_lines([f"{mark}  {visible(finding.what)}"])
        if finding.remedy:
            lead = "to mind" if finding.ok else "what to do"
            print_lines([f"         {lead}: {visible(finding.remedy)}"])


def _source(entry: dict[str, Any]) -> str:
    """Return where a setting comes from, and what would have counted otherwise."""
    others = ", then ".join(entry["overrode"])
    return f"{entry['source']}, over {others}" if others else str(entry["source"])


def _value(value: Any) -> str:
    """Return a setting as the configuration files write it."""
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)
