"""Pages of stored and made-up results: what they say, that nothing in them is markup, and what is refused."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import edgebench
from edgebench.errors import UsageError
from edgebench.measurement import Measurement
from edgebench.reporting.html import charts, chosen_results
from edgebench.reporting.html.charts.thin import binned, quantile_points
from edgebench.reporting.html.pictures import KINDS
from edgebench.reporting.html.results import MOST_RUNS, groups_of
from edgebench.store import Selection, Store
from tests.needed import need
from tests.reporting.sample_results import (
    HOSTILE,
    by_language,
    compared,
    everything,
    front,
    gated,
    history,
    measured,
    studied,
)
from tests.sample_runs import run, subject, trace

need("altair", "vl_convert")

STORED = Path(__file__).parents[1] / "contract" / "store-v1"


class Tags(HTMLParser):
    """The elements of a page, and the text outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._is_script = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        self._is_script = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False

    def handle_data(self, data: str) -> None:
        if not self._is_script:
            self.text.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return edgebench.report(*everything(), command="edgebench report")  # type: ignore[arg-type]


def data_of(page: str) -> dict:  # type: ignore[type-arg]
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def downloads_of(page: str) -> dict[str, list[list[str]]]:
    found = re.findall(r'download="([\w.]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page)
    return {name: list(csv.reader(io.StringIO(base64.b64decode(text).decode()))) for name, text in found}


@pytest.mark.slow
def test_stored_runs_become_a_page(tmp_path: Path) -> None:
    text = edgebench.report(*chosen_results(Store(STORED)), out=tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text
    assert "xnli-multi onnx-int8 on pi4" in text
    assert "edgebench runs extend 20250102T030405-abcdef-000 --runs 2" in text


@pytest.mark.slow
def test_a_report_of_invalid_measurements_says_so_in_its_first_line(page: str) -> None:
    words = [text.strip() for text in Tags(page).text if text.strip()]
    assert words[1].startswith("NOT VALID: 1 of 6 measurements: ")
    markdown = edgebench.report(measured(reasons=("under-voltage during the run",)), markdown=True)
    assert markdown.startswith("**NOT VALID: 1 of 1 measurement: ")


def test_the_answer_is_the_librarys_own_sentence() -> None:
    found = compared()
    assert found.verdict in edgebench.report(found, markdown=True).replace("\\", "")
    plain = edgebench.report(measured(0), measured(1, ms=50.0, name="slow"), markdown=True)
    assert "is slower than" in plain


def test_nothing_of_a_hostile_name_becomes_an_element(page: str) -> None:
    tags = Tags(page)
    assert "img" not in tags.names
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert any(HOSTILE in (value or "") for name, value in tags.attributes if name == "aria-label")
    assert page.count("<script") == 3 == page.count("</script>")
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(edgebench.report(*everything(), markdown=True))  # type: ignore[arg-type]
    assert "<img" not in rendered


def test_the_page_allows_no_network_and_no_script_but_its_own(page: str) -> None:
    policy = next(value for name, value in Tags(page).attributes if name == "content" and value and "default" in value)
    assert "default-src 'none'" in policy
    assert policy.count("sha256-") == 2
    assert "unsafe-eval" not in policy
    addresses = {value for name, value in Tags(page).attributes if name in ("src", "href", "action")}
    assert all((address or "").startswith(("#", "data:text/csv")) for address in addresses)


@pytest.mark.slow
def test_every_chart_is_valid_vega_lite() -> None:
    alt = pytest.importorskip("altair")
    (group,) = groups_of([measured(0, operators=True, excluded=True), measured(1, name="other", operators=True)])
    figures = [
        *(make(group) for make in (charts.distribution, charts.run_medians, charts.memory_phases, charts.operators)),
        *(make(group.measurements[0], "x") for make in (charts.over_time, charts.memory_over_time)),
        *charts.forest([compared()]),
        charts.gate_forest(gated()),
        charts.history(history()),
        charts.front(front(), "pi4"),
    ]
    for figure in figures:
        assert figure is not None
        assert figure.caption
        for plot in figure.plots:
            alt.Chart.from_dict(plot.spec, validate=True)
            assert all(len(rows.columns) == len(row) for rows in plot.data.values() for row in rows.rows)


def test_devices_and_workloads_never_share_an_axis(page: str) -> None:
    groups = groups_of([measured(0), measured(1, device="pi5"), measured(2, label="sw"), measured(3, name="other")])
    assert [len(group.measurements) for group in groups] == [2, 1, 1]
    for plot in data_of(page)["plots"]:
        names = {row[0] for row in plot["data"].get("points", {"rows": []})["rows"]}
        assert not {"throttled onnx-int8 (not valid)", "xnli-english onnx-int8"} <= names


def test_the_data_can_be_downloaded_and_no_cell_is_a_formula(page: str) -> None:
    files = downloads_of(page)
    assert set(files) == {"measurements.csv", "runs.csv", "latencies.csv"}
    assert [len(files[name]) for name in ("measurements.csv", "runs.csv", "latencies.csv")] == [7, 25, 7201]
    page = edgebench.report(measured(name="=1+1"))
    assert downloads_of(page)["measurements.csv"][1][1] == "'=1+1"


def test_measurements_without_traces_have_tables_and_no_distribution() -> None:
    of = subject()
    text = edgebench.report(edgebench.open_store(STORED).measurement("20250102"))
    assert "Latency distribution" in text
    from edgebench.analysis import summarise

    text = edgebench.report(summarise(of, []))
    assert "Latency distribution" not in text
    assert "nothing was measured" in text


@pytest.mark.parametrize(
    ("results", "message"),
    [((), "nothing to report"), ((3,), "made of results, not of a int")],
    ids=["nothing", "something else"],
)
def test_what_is_no_result_is_refused(results: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match=message):
        edgebench.report(*results)


def test_too_many_runs_are_refused_before_their_traces_are_read(tmp_path: Path) -> None:
    class Many(Store):
        def count_runs(self, where: Selection, *, ids: object = ()) -> int:
            return 10_000

        def select(self, *_: object, **__: object) -> list[Measurement]:
            raise AssertionError("it is refused before")

    with pytest.raises(UsageError, match=f"10,000 runs are more than a page holds \\({MOST_RUNS:,}\\); choose fewer"):
        chosen_results(Many(tmp_path), where=Selection(device="pi4"))


def test_an_empty_store_and_an_empty_selection_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no measurement; try: edgebench profile"):
        chosen_results(Store(tmp_path))
    with pytest.raises(UsageError, match="no stored measurement fits: device pi5"):
        chosen_results(Store(STORED), where=Selection(device="pi5"))


@pytest.mark.slow
def test_a_hundred_measurements_stay_small(tmp_path: Path) -> None:
    """Costs 3 s: a hundred measurements of six runs."""
    of = [subject(number, name=f"variant-{number}", planned_runs=6) for number in range(100)]
    from edgebench.analysis import summarise

    kept = trace([(40_000_000 + 1000 * at) for at in range(400)], readings={"temperature_mc/cpu": [50_000] * 160})
    results = [summarise(each, [run(each, at, kept) for at in range(6)]) for each in of]
    began = time.process_time()
    text = edgebench.report(*results)
    took = time.process_time() - began
    assert len(text.encode()) < 5_000_000
    print(f"{len(text) / 1e6:.2f} MB in {took:.1f} s of processor time")


def test_thinning_keeps_the_extremes() -> None:
    np = pytest.importorskip("numpy")
    values = np.arange(10_000.0)
    bins = binned(values, values, 50)
    assert (len(bins), bins[0].low, bins[-1].high) == (50, 0.0, 9999.0)
    points = quantile_points(values)
    assert (points[0][0], points[-1]) == (0.0, (9999.0, 1.0))
    assert binned(values[:0], values[:0], 50) == []


@pytest.fixture(scope="module")
def each_kind() -> list[object]:
    """Results that have every figure."""
    return everything()


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_a_picture(tmp_path: Path, each_kind: list[object], kind: str) -> None:
    content = edgebench.plot(*each_kind, kind=kind, out=tmp_path / "figure.svg").read_bytes()
    assert content.startswith(b"<svg")
    assert b"currentColor" not in content
    assert b"mark-" in content
    if kind == "time":
        assert b"temperature" in content


def test_a_picture_may_be_a_png(tmp_path: Path) -> None:
    target = edgebench.plot(compared(), kind="forest", out=tmp_path / "figure.PNG")
    assert target.read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_results_do_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no figure 'front'; they have: distribution"):
        edgebench.plot(measured(), kind="front", out=tmp_path / "x.svg")
    with pytest.raises(UsageError, match="PNG or SVG"):
        edgebench.plot(measured(), kind="runs", out=tmp_path / "x.pdf")


def test_a_study_has_its_front_and_languages_their_panels() -> None:
    text = edgebench.report(studied(), *by_language())
    assert "Quality against latency: pi4, 128 tok" in text
    assert "By language: pi5" in text
