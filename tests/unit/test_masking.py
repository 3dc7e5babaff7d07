"""Masking records: every string, fail closed, nothing but strings changed, and JSON stays JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tests.drawn_records import RECORD_CLASSES, drawn, json_values, records
from tracecore.masking import FAILED, IDS, NOT_MASKED, mask_record, masking_failures
from tracecore.records import (
    ErrorInfo,
    Experiment,
    Generation,
    LedgerEntry,
    Provenance,
    Score,
    Span,
    TraceAttributes,
    encode_record,
)

CANARY = "kanarienvogel"
COUNTED: dict[str, Any] = {"project": "p", "process": "a" * 32, "lost": None}
"""What of a ledger entry is made by the pump."""
IDENTITY = {"trace_id": "a" * 32, "span_id": "b" * 16}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
singing = st.builds("{}{}{}".format, texts, st.just(CANARY), texts)


def masked(text: str) -> str:
    """Return a text without canaries."""
    return text.replace(CANARY, "***")


def span(**fields: Any) -> Span:
    """Return a span."""
    return Generation(**{"project": "p", **IDENTITY, "name": "n", "start_ns": 1, **fields})


def in_payload(payload: bytes, mask: Callable[[str], str] = masked) -> bytes:
    """Return a payload as it is after masking."""
    return bytes(mask_record(span(input=Raw(payload)), mask).input)


@given(st.one_of(records(singing, but=LedgerEntry, project="p"), drawn(LedgerEntry, singing, **COUNTED)))
def test_no_canary_survives(record: Any) -> None:
    """Whatever a record holds in whatever field, name, key or id, nothing of what the mask takes out is left."""
    assert CANARY.encode() in encode_record(record) or not any(_strings(record))
    assert CANARY.encode() not in encode_record(mask_record(record, masked))


def _strings(record: Any) -> list[str]:
    names = {name for cls, name in NOT_MASKED}
    return [
        value
        for name in record.__struct_fields__
        if name not in names and isinstance(value := getattr(record, name), str)
    ]


@given(records(texts))
def test_a_mask_that_changes_nothing_changes_nothing(record: Any) -> None:
    """Where every string comes back as it was, the record is equal, to the byte."""
    again = mask_record(record, lambda text: text)
    assert again == record
    assert encode_record(again) == encode_record(record)


@given(records(singing, project="p"))
def test_nothing_but_strings_changes(record: Any) -> None:
    """Masking leaves every number, flag and name of a fixed set as it was, and the record given to it alone."""
    before = encode_record(record)
    after = mask_record(record, lambda _: "x")
    assert encode_record(record) == before
    assert type(after) is type(record)
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, int | float) or name in {"project", "type", "status", "level", "data_type", "source"}:
            assert getattr(after, name) == value


@given(drawn(LedgerEntry, texts, host="h", service_name="s"))
def test_of_a_ledger_entry_only_names_are_masked(entry: LedgerEntry) -> None:
    """Host and service may say something; what was counted, why and in which process stays, whatever the mask does."""
    assert mask_record(entry, lambda _: "x") == msgspec.structs.replace(entry, host="x", service_name="x")


SAYING = [cls for cls in RECORD_CLASSES if cls is not LedgerEntry]


@pytest.mark.parametrize("cls", [*SAYING, TraceAttributes, ErrorInfo, Experiment, Provenance])
def test_what_is_not_masked_are_names_of_fixed_sets(cls: type[msgspec.Struct]) -> None:
    """Only the project, and fields that hold one of a few names, are kept from the mask: a new field never is."""
    seen: list[str] = []

    def spy(text: str) -> str:
        seen.append(text)
        return text

    values = {f.name: f"<{f.name}>" for f in msgspec.structs.fields(cls) if "str" in str(f.type)}
    mask_record(cls(**{f.name: 0 for f in msgspec.structs.fields(cls) if f.required} | values), spy)
    kept = {name for name in values if f"<{name}>" not in seen}
    assert kept <= {"project"}


class Panic(BaseException):
    """What a library in another language raises when it breaks."""


class Text(str):
    """A text that may do anything when it is used."""

    __slots__ = ()


def recursing(text: str) -> str:
    """Never come back."""
    return recursing(text)


def raising(error: BaseException) -> Callable[[str], str]:
    """Return a mask that raises."""

    def mask(_: str) -> str:
        raise error

    return mask


BROKEN: list[Any] = [
    *(raising(error) for error in (ValueError(CANARY), MemoryError(), asyncio.CancelledError(), Panic(CANARY))),
    *(recursing, lambda _: None, lambda _: 7, str.encode, Text, lambda text: [text]),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_it_fails_closed_one_string_at_a_time(broken: Any) -> None:
    """A string for which the mask raises, or returns anything but text, is replaced and counted; the others stay."""

    def mask(text: str) -> Any:
        return broken(text) if CANARY in text else text

    before = masking_failures.total()
    record = span(
        name=CANARY, status_message="fine", input=Raw(b'{"a":"%b","%b":[1,"b"]}' % ((CANARY.encode(),) * 2)),
        trace=TraceAttributes(tags=("t", CANARY), user_id="u"), usage_details={CANARY: 3, "input": 4},
    )  # fmt: skip
    after = mask_record(record, mask)
    assert (after.name, after.status_message, after.trace.user_id) == (FAILED, "fine", "u")
    assert json.loads(bytes(after.input)) == {"a": FAILED, FAILED: [1, "b"]}
    assert after.trace.tags == ("t", FAILED)
    assert after.usage_details == {FAILED: 3, "input": 4}
    assert masking_failures.total() == before + 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_is_no_failure(error: type[BaseException]) -> None:
    """Ctrl-C and a signal handler that exits while the mask runs do what they mean."""
    with pytest.raises(error):
        mask_record(span(), raising(error()))


@pytest.mark.parametrize(
    "payload", [b"not json %b", b'"%b', b'{"a":%b}', b'{"a":"b"} "%b"', b'["\\ud800%b"]', b'"%b\xff"']
)
def test_a_payload_that_is_no_json_fails_closed(payload: bytes) -> None:
    """Where strings cannot be told from the rest, because the program encoded the payload itself, nothing is kept."""
    before = masking_failures.total()
    assert in_payload(payload % CANARY.encode()) == msgspec.json.encode(FAILED)
    assert masking_failures.total() == before + 1


def test_escapes_hide_nothing() -> None:
    """A payload may spell its characters as it likes: the mask sees the text."""
    spelled = "".join(f"\\u{ord(letter):04x}" for letter in CANARY)
    assert in_payload(b'{"%b":"%b\\/"}' % ((spelled.encode(),) * 2)) == b'{"***":"***/"}'


def wrapped(text: str) -> str:
    """Return another text for every text, with everything in it that JSON must escape."""
    return f'"\\}}{{\n\x00,:{text}é'


def wrapped_throughout(value: Any) -> Any:
    """Return a JSON value with every string and name wrapped."""
    if isinstance(value, dict):
        return {wrapped(name): wrapped_throughout(item) for name, item in value.items()}
    if isinstance(value, list):
        return [wrapped_throughout(item) for item in value]
    return wrapped(value) if isinstance(value, str) else value


@given(json_values(texts))
def test_masked_json_says_what_was_masked(value: Any) -> None:
    """Payloads stay valid JSON of the same shape, whatever is in them and whatever the mask returns."""
    found = in_payload(msgspec.json.encode(value), wrapped)
    assert json.loads(found) == json.loads(msgspec.json.encode(wrapped_throughout(value)))


def test_numbers_keep_every_digit() -> None:
    """Numbers that no float holds, and the spaces between, are as the program wrote them."""
    payload = b'[1.10, 123456789012345678901234567890,\n1e-400, -0, "%b"]'
    assert in_payload(payload % CANARY.encode()) == payload % b"***"


def test_names_that_become_the_same_are_numbered() -> None:
    """Entries whose names the mask makes one are all kept, per object; units of such buckets are added up."""
    payload = b'{"1@x":1,"2@x":{"3@x":2,"n":3},"n":[{"4@x":4},{"4@x":5}],"5@x":6}'
    found = in_payload(payload, lambda text: "*" if "@" in text else text)
    assert found == b'{"*":1,"* (2)":{"*":2,"n":3},"n":[{"*":4},{"*":5}],"* (3)":6}'
    units = mask_record(span(usage_details={"a": 1, "b": 2}, cost_details={"a": 0.5, "b": 0.25}), lambda _: "*")
    assert (units.usage_details, units.cost_details) == ({"*": 3}, {"*": 0.75})


def test_what_no_wire_can_hold_becomes_visible() -> None:
    """A mask that cuts a character in two costs nobody the record."""
    after = mask_record(span(input=Raw(b'"a"'), trace=TraceAttributes(user_id="u")), lambda _: "\ud83d")
    assert json.loads(encode_record(after))["trace"]["user_id"] == json.loads(bytes(after.input)) == "\\ud83d"


@pytest.mark.parametrize("broken", [lambda _: "***", raising(ValueError())])
def test_ids_go_on_telling_things_apart(broken: Callable[[str], str]) -> None:
    """Ids stay, whatever the mask does to digits; text in the place of one becomes a fingerprint, not a secret."""

    def ids(score_id: str) -> Score:
        score = Score("p", score_id, "n", 1, trace_id="a" * 32, observation_id="0" * 16, config_id=score_id)
        return mask_record(score, broken)

    uuid = "01234567-89AB-cdef-0123-456789abcdef"
    assert (ids(uuid).score_id, ids(uuid).trace_id, ids(uuid).observation_id) == (uuid, "a" * 32, "0" * 16)
    one, again, other = (ids(f"of {who}").score_id for who in ("alice", "alice", "bob"))
    assert one == again != other
    assert "alice" not in one + str(ids("of alice").config_id)
    assert set(IDENTITY) <= IDS


@given(drawn(Span, texts))
def test_masking_twice_is_masking_once(record: Span) -> None:
    """What has been masked may be masked again, as after a retry."""
    once = mask_record(record, masked)
    assert mask_record(once, masked) == once
