"""Charts show what was measured, can be told from those of other figures, and can be read wherever they are shown."""

from __future__ import annotations

import re
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.charts.files import FORMATS, charts_of, outdated, write_charts
from benchmarks.charts.shapes import Bars, Curves, alt_text, digest
from benchmarks.figures import FORMAT, Results, Row, Settings, Table

FACTS = {"CPU": "a processor", "cores": "2 of 2", "Python": "CPython 3.11"}
SVG = "{http://www.w3.org/2000/svg}"
LADDER = {"bare": 83.0, "off": 170.0, "nested": 2_740.0, "root": 4_180.0, "otel": 20_000.0, "otel_captured": 33_226.0}
RIVALS = {
    "tracecore_sqlite": 2_900.0,
    "langfuse": 142_000.0,
    "opentelemetry": 35_400.0,
    "structlog": 9_300.0,
    "opik": None,
}
READS = {"newest": 0.6, "next": 0.61, "user": 2.08, "session": 2.1, "generations": 0.62, "trace": 0.59, "rare": 3.5}
MOST_BYTES = 60 * 1_024


def results_of(figures: dict[str, tuple[str, float | None]]) -> Results:
    """Return a run with figures, by key: unit and value; a row's label is its key."""
    rows = [
        Row(key=key, label=f"the {key.split('.')[-1]}", unit=unit, value=value)
        for key, (unit, value) in figures.items()
    ]
    tables = [Table(suite="any", title="Any", method="As it is.", rows=rows)]
    return Results(format=FORMAT, when="2026-01-01 00:00 UTC", facts=FACTS, settings=Settings(), tables=tables)


def everything() -> Results:
    """Return a run that took the figures of every chart."""
    figures: dict[str, tuple[str, float | None]] = {f"call.{name}": ("ns", value) for name, value in LADDER.items()}
    for name, value in RIVALS.items():
        figures[f"rivals.call.{name}"] = ("ns", value)
        figures[f"rivals.load.cpu.{name}"] = ("µs", value and value / 500)
        figures[f"rivals.load.rate.{name}"] = ("spans/s", value and 1e9 / value)
        figures[f"rivals.lag.{name}"] = ("ms", value and value / 1e3 - 5)
    for number in (10_000, 100_000, 1_000_000):
        figures[f"scaling.database.cpu.{number}"] = ("µs", 25 + number / 1e5)
        figures[f"scaling.database.rate.{number}"] = ("spans/s", 28_000 - number / 1e3)
        figures |= {f"scaling.database.{name}.{number}": ("ms", ms * number / 1e6) for name, ms in READS.items()}
    for number in (102, 10_240):
        figures[f"scaling.payload.caller.{number}"] = ("µs", number / 10)
        figures[f"scaling.payload.cpu.{number}"] = ("µs", number / 5)
        figures[f"scaling.payload.disk.{number}"] = ("bytes", number * 2.0)
    for pace in ("paced", "crowd"):
        figures |= {f"lag.{pace}{kind}": ("ms", 0.5) for kind in (".bare", "", ".otel")}
    return results_of(figures)


CHARTS = {chart.name: chart for chart in charts_of(everything())}


def bars(name: str) -> Bars:
    """Return a chart that is one of bars."""
    chart = CHARTS[name]
    assert isinstance(chart, Bars)
    return chart


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every chart."""
    folder = tmp_path_factory.mktemp("charts") / "new" / "folder"
    assert write_charts(CHARTS.values(), folder) == [folder / f"{name}.svg" for name in CHARTS]
    return folder


def texts_in(path: Path) -> list[ET.Element]:
    """Return what a picture says, piece by piece."""
    return list(ET.parse(path).iter(f"{SVG}text"))  # noqa: S314 - a file that we wrote


def box_of(text: ET.Element) -> tuple[float, float, float, float]:
    """Return about where a text is, in points: left, right, top and bottom."""
    style = text.attrib["style"]
    size = float(re.findall(r"([\d.]+)px", style)[0])
    length = len("".join(text.itertext())) * size * 0.56
    x, y = float(text.attrib["x"]), float(text.attrib["y"])
    left = x - length * {"end": 1.0, "middle": 0.5}.get("".join(re.findall(r"anchor: (\w+)", style)), 0.0)
    return left, left + length, y - size * 0.7, y


def test_there_is_a_chart_for_what_was_measured_and_for_nothing_else() -> None:
    """Each kind of figure has its chart; a run without them, or no run, has none."""
    assert list(CHARTS) == ["call", "rivals", "scaling_payload", "scaling_database", "lag"]
    assert charts_of(None, results_of({"ring.push": ("ns", 1.0)}), results_of({})) == []
    without = results_of({"call.nested": ("ns", None), "rivals.call.langfuse": ("ns", None), "lag.paced": ("ms", None)})
    assert [chart.name for chart in charts_of(without)] == ["lag"]


def test_the_ladder_goes_up_and_tells_whose_each_rung_is() -> None:
    """The cheapest call is first, and OpenTelemetry's have another colour."""
    ladder = bars("call")
    assert [bar.value for bar in ladder.columns[0].bars] == sorted(LADDER.values())
    assert ladder.columns[0].bars[2].text == "2,740 ns"
    assert ladder.names[2] == ladder.strong
    assert ladder.roles == ["plain", "ours", "ours", "ours", "opentelemetry", "opentelemetry"]


def test_rivals_stand_by_cost_with_their_ratio_to_ours() -> None:
    """µs of the caller and of all threads, each with how many times ours; one that could not be run has no bar."""
    chart = bars("rivals")
    assert chart.names == ["the tracecore_sqlite", "the structlog", "the opentelemetry", "the langfuse"]
    assert chart.strong == chart.names[0]
    assert chart.roles == ["ours", "plain", "opentelemetry", "other"]
    caller, threads, loop = ([bar.text for bar in column.bars] for column in chart.columns)
    assert caller == ["2.90", "9.30 (3.2×)", "35.4 (12×)", "142 (49×)"]  # noqa: RUF001 - the sign for times
    assert threads == ["5.80", "18.6 (3.2×)", "70.8 (12×)", "284 (49×)"]  # noqa: RUF001 - as above
    assert loop == ["-2.10", "4.30", "30.4", "137"]
    assert [column.logarithmic for column in chart.columns] == [True, True, False]


def test_rivals_without_ours_have_no_ratio() -> None:
    """Nothing is compared with a figure that is not there, and a figure that is missing is said to be."""
    [chart] = charts_of(results_of({"rivals.call.a": ("ns", 5.0), "rivals.load.cpu.b": ("µs", 5.0)}))
    assert isinstance(chart, Bars)
    assert [[bar.text for bar in column.bars] for column in chart.columns] == [["0.01"], ["not measured"]]


def test_curves_have_a_panel_for_each_unit_and_a_mark_for_each_number() -> None:
    """The last part of a key is the number, the one before it the series; what has one point is no curve."""
    payload, database = CHARTS["scaling_payload"], CHARTS["scaling_database"]
    assert isinstance(payload, Curves)
    assert isinstance(database, Curves)
    assert payload.marks == {102: "0.1 KB", 10_240: "10 KB"}
    assert database.marks == {10_000: "10 k", 100_000: "100 k", 1_000_000: "1 M"}
    assert [(panel.unit, len(panel.curves)) for panel in payload.panels] == [("µs", 2)]
    assert [(panel.unit, len(panel.curves)) for panel in database.panels] == [("µs", 1), ("spans/s", 1), ("ms", 7)]
    assert payload.panels[0].curves[1].points == [(102, 20.4), (10_240, 2_048.0)]
    assert charts_of(results_of({"scaling.payload.cpu.100": ("µs", 1.0), "scaling.payload.cpu": ("µs", 1.0)})) == []


@pytest.mark.parametrize("name", CHARTS)
def test_the_words_for_a_chart_hold_its_figures(name: str) -> None:
    """Who cannot see a picture is told the same, in text that does not end a link's brackets."""
    said = alt_text(CHARTS[name])
    assert said.startswith(f"{CHARTS[name].title}. ")
    assert not set(said) & set("[]\n")
    for figures in {"call": ["2,740"], "rivals": ["142", "2.90"], "scaling_payload": ["2,048 at 10 KB"]}.get(name, []):
        assert figures in said


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_is_small_dated_by_nothing_and_says_its_names_as_text(name: str, drawn: Path) -> None:
    """Text can be searched and copied, the ground is white whatever is around it, and a file is soon loaded."""
    path, chart = drawn / f"{name}.svg", CHARTS[name]
    source = path.read_text()
    assert len(source.encode()) < MOST_BYTES
    assert "<dc:date>" not in source
    assert re.search(r'id="patch_1">\s*<path [^>]*style="fill: #ffffff', source)
    said = {" ".join(text.itertext()) for text in texts_in(path)}
    names = chart.names if isinstance(chart, Bars) else [panel.title for panel in chart.panels]
    assert {chart.title, chart.subtitle, chart.source, *names} <= said


@pytest.mark.parametrize("name", CHARTS)
def test_texts_are_inside_the_picture_and_beside_each_other(name: str, drawn: Path) -> None:
    """No text is cut off or written over another, however long the longest bar is."""
    path = drawn / f"{name}.svg"
    wide = float(re.findall(r'viewBox="0 0 ([\d.]+) ', path.read_text())[0])
    boxes = {text: box_of(text) for text in texts_in(path)}
    for text, (left, right, _, _) in boxes.items():
        assert 0 < left < right < wide, "".join(text.itertext())
    for (one, first), (other, second) in combinations(boxes.items(), 2):
        apart = first[1] <= second[0] or second[1] <= first[0] or first[3] <= second[2] or second[3] <= first[2]
        assert apart, ("".join(one.itertext()), "".join(other.itertext()))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_chart_gives_the_same_file(kind: str, tmp_path: Path) -> None:
    """Nothing of the moment or the process is in a picture, so that a tree does not change without a reason."""
    first, second = (write_charts([CHARTS["lag"]], tmp_path / name, kind)[0] for name in "ab")
    assert first.suffix == f".{kind}"
    assert first.read_bytes() == second.read_bytes()
    assert (first.read_bytes()[:4] == b"\x89PNG") == (kind == "png")


def test_a_picture_of_other_figures_is_found_without_drawing(drawn: Path, tmp_path: Path) -> None:
    """A picture belongs to the figures whose digest is in it; one that is missing, changed or left over is named."""
    for path in drawn.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    charts = list(CHARTS.values())
    assert outdated(charts, tmp_path) == ([], [])
    (tmp_path / "call.svg").unlink()
    (tmp_path / "lag.svg").write_text((tmp_path / "lag.svg").read_text().replace(digest(CHARTS["lag"]), ""))
    (tmp_path / "old.svg").write_text("<svg/>")
    assert outdated(charts, tmp_path) == ([CHARTS["call"], CHARTS["lag"]], [tmp_path / "old.svg"])


def test_another_figure_makes_another_digest() -> None:
    """No two charts are taken for each other."""
    changed = charts_of(results_of({"call.nested": ("ns", 2_741.0)}))
    digests = [digest(chart) for chart in (*CHARTS.values(), *changed)]
    assert len(set(digests)) == len(digests)


def test_drawing_leaves_no_trace_in_this_process(drawn: Path) -> None:
    """matplotlib, the fonts that it keeps open and its settings live and end in another process."""
    assert drawn.exists()
    assert [module for module in sys.modules if module.partition(".")[0] == "matplotlib"] == []


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever wants charts and cannot draw them learns what to do; who wants none needs nothing."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"pip install 'tracecore\[bench\]'"):
        write_charts([CHARTS["lag"]], tmp_path)
    assert write_charts([], tmp_path) == []


def test_drawing_that_fails_says_why(tmp_path: Path) -> None:
    """A kind of picture that nobody can draw, and a folder that is a file, are errors in one sentence."""
    with pytest.raises(ValueError, match=r"charts could not be drawn: .*Format 'bmp2' is not supported"):
        write_charts([CHARTS["lag"]], tmp_path, "bmp2")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        write_charts([CHARTS["lag"]], tmp_path / "file")
