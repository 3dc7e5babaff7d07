"""Prompts, their versions, moves and differences as lines for people; every stored text is made visible."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import click
import msgspec

from tracecore.cli.escaping import visible, visible_lines
from tracecore.cli.figures import count, moment
from tracecore.cli.output import print_lines
from tracecore.cli.payloads import full_lines
from tracecore.cli.plain_table import pad, width
from tracecore.prompts import Held, Move, Prompt, Share, Variable
from tracecore.services.prompt_diffs import PromptDiff
from tracecore.services.prompt_outcomes import Action, Outcome

__all__ = [
    "held_in_words", "lines_of_diff", "lines_of_outcomes", "lines_of_prompt", "move_in_words", "print_text",
    "shares_in_words",
]  # fmt: skip

_INDENT: Final = "  "
_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan", "=": "yellow"}
_ACTIONS: Final[dict[Action, str]] = {
    "published": "green", "new": "green", "updated": "green", "merged": "green", "noted": "green", "conflict": "red",
    "refused": "red",
}  # fmt: skip


def lines_of_prompt(prompt: Prompt) -> list[str]:
    """Return everything that is known of a version, and then its text."""
    by = f" by {prompt.created_by}" if prompt.created_by else ""
    because = f": {prompt.commit_message}" if prompt.commit_message else ""
    about = [
        ("labels", ", ".join(prompt.labels)),
        ("split", shares_in_words(prompt.shares)),
        ("tags", ", ".join(prompt.tags)),
        ("published", f"{moment(prompt.created_ns)}{by}{because}"),
        ("inserts", ", ".join(_inserted(prompt))),
    ]
    lines = [_bold(f"{visible(prompt.name)}  version {prompt.version}  {prompt.type}")]
    lines += [f"{_INDENT}{pad(title, 11)}{visible(said)}" for title, said in about if said]
    for name, variable in (prompt.variables or {}).items():
        lines.append(f"{_INDENT}{pad('variable', 11)}{visible(_variable(name, variable))}")
    if bytes(prompt.config) != b"{}":
        lines += ["", _bold("config"), *(_INDENT + line for line in full_lines(prompt.config))]
    return [*lines, "", *_content(prompt)]


def held_in_words(labels: Mapping[str, Held]) -> str:
    """Return on which versions labels are."""
    return ", ".join(f"{label} {held.version}{', split' if held.shares else ''}" for label, held in labels.items())


def shares_in_words(shares: Sequence[Share]) -> str:
    """Return between which versions a label is split."""
    whole = sum(share.weight for share in shares)
    return ", ".join(f"version {share.version} {100 * share.weight / whole:.3g} %" for share in shares)


def move_in_words(move: Move) -> str:
    """Return what somebody did to a name."""
    now, before, label = move.version, move.before, move.label
    match move.action:
        case "publish":
            said = f"published version {now}"
        case "delete":
            said = "deleted all versions" if now is None else f"deleted version {now}"
        case "unlabel":
            said = f"took {label} off version {before or now}"
        case "split":
            said = f"split {label}: {shares_in_words(move.shares)}" if move.shares else f"made {label} whole"
        case "rollback":
            said = f"rolled {label} back from version {before} to {now}"
        case _:
            said = f"moved {label} from version {before} to {now}" if before else f"put {label} on version {now}"
    return said


def lines_of_diff(diff: PromptDiff) -> list[str]:
    """Return what differs as lines, in colour where stdout is a terminal."""
    if not diff.sections:
        return [visible(f"{diff.before} and version {diff.after.version} are the same")]
    return [_coloured(visible(line.replace("\t", "    ")), _COLOURS.get(line[:1])) for line in diff.lines()]


def lines_of_outcomes(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what became of files: a line for each to which something happened, with the reason below it."""
    told = [one for one in outcomes if one.action != "unchanged"]
    widest = max((width(visible(one.path)) for one in told), default=0)
    lines: list[str] = []
    for one in told:
        said = f"{pad(one.action, 12)}  {pad(visible(one.path), widest)}  {_versions(one)}".rstrip()
        lines.append(_coloured(said, _ACTIONS.get(one.action)))
        lines += [_INDENT * 2 + line for line in visible_lines(one.reason)] if one.reason else []
    unchanged = len(outcomes) - len(told)
    return [*lines, f"{count(unchanged, 'file')} unchanged"] if unchanged or not told else lines


def print_text(text: str) -> None:
    """Print a text as it is, unless somebody looks: a terminal would act on what is hidden in it."""
    if sys.stdout.isatty():
        print_lines(visible_lines(text))
    else:
        sys.stdout.write(text)


def _versions(outcome: Outcome) -> str:
    if outcome.version is None:
        return ""
    if outcome.before is None or outcome.before == outcome.version:
        return f"version {outcome.version}"
    return f"version {outcome.before} to {outcome.version}"


def _inserted(prompt: Prompt) -> Iterator[str]:
    """Yield what was inserted into a text, at whatever depth."""
    parts = [] if prompt.graph is None else [part for inner in prompt.graph.dependencies.values() for part in inner]
    yield from dict.fromkeys(f"{part.name} version {part.version}" for part in parts)


def _variable(name: str, variable: Variable) -> str:
    kind = " | ".join(variable.enum) or variable.type
    about = f": {variable.description}" if variable.description else ""
    return f"{name} ({kind}{', optional' if variable.optional else ''}){about}"


def _content(prompt: Prompt) -> Iterable[str]:
    content: Any = msgspec.json.decode(prompt.prompt)
    if isinstance(content, str):
        return visible_lines(content)
    return [line for message in content for line in _message(message)]


def _message(message: dict[str, Any]) -> list[str]:
    """Return a message under its role, and whatever else it has as JSON."""
    if message.get("type") == "placeholder":
        return [_bold(visible(f"[{message.get('name')}: messages that are given]")), ""]
    others = {key: value for key, value in message.items() if key not in {"role", "content", "type"}}
    more = full_lines(msgspec.Raw(msgspec.json.encode(others))) if others else []
    return [_bold(visible(f"[{message.get('role')}]")), *visible_lines(str(message.get("content", ""))), *more, ""]


def _bold(line: str) -> str:
    return click.style(line, bold=True) if _in_colour() else line


def _coloured(line: str, colour: str | None) -> str:
    return click.style(line, fg=colour) if colour is not None and _in_colour() else line


def _in_colour() -> bool:
    """Return whether stdout shows colours; see https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
