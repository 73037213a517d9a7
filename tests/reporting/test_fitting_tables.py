"""Tables in a narrow terminal: what goes first, what never does, and what a verdict and a chart look like there."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

import edgebench
from edgebench.analysis import summarise
from edgebench.artifact import Format
from edgebench.cli.safe_console import SafeConsole
from edgebench.figures import Minute, Score, Sustained
from edgebench.measurement import Measurement
from edgebench.reporting import PlainTable, ResultTable, details_of, list_of_measurements, measurement_table
from edgebench.reporting.charts import ascii_chart, bar, span_bar, sparkline
from edgebench.reporting.comparison import comparison_parts
from edgebench.reporting.extra_tables import tables_below
from edgebench.reporting.figures import rounded, with_interval
from edgebench.reporting.formats import formats_table
from edgebench.reporting.gate.history import history_parts
from edgebench.reporting.gate.table import gate_parts
from edgebench.reporting.layout import ALWAYS, Column
from edgebench.reporting.study import study_parts
from edgebench.run import Series
from edgebench.stats import Probe, RateSearch
from tests.reporting import sample_results
from tests.reporting.test_table import measured, text_of

LONG = "xlm-r-multilingual-intermediate-[translated]-then-finetuned-on-everything-seed42"
LANGS = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
#: A figure of a table that a line break has cut: a point, a sign or a comma with nothing behind it.
_BROKEN = re.compile(r"\d[.,]\s*$|[±(]\s*$", re.MULTILINE)


def matrix() -> list[Measurement]:
    """Return six models in fifteen languages."""
    rows = []
    for number, (model, lang) in enumerate((model, lang) for model in range(6) for lang in LANGS):
        workload = {"scenario": "single-stream", "lang": lang, "batch": 1, "threads": 4, "padding": "longest"}
        name = f"{LONG}-{model}" if model % 2 else f"model-{model}"
        scores = [Score(task="xnli", lang=lang, metric="accuracy", value=71.23, artifact_sha256="a" * 64)]
        row = measured(number, ms=1234.5 + model, name=name, label=lang, scores=scores)
        rows.append(replace(row, subject=replace(row.subject, workload=workload)))
    return rows


def width_of(text: str) -> int:
    return max(len(line) for line in text.splitlines())


@pytest.mark.parametrize("shows_all", [False, True])
def test_six_models_in_fifteen_languages_fit_80_columns(shows_all: bool) -> None:
    rows = matrix()
    for table in (measurement_table(rows), list_of_measurements(rows), details_of(rows[1])):
        text = text_of(table, 80, shows_all=shows_all)
        assert width_of(text) <= 80
        assert "…" not in text
        assert not _BROKEN.search(text)


def test_a_row_has_one_place_and_the_hidden_columns_are_named() -> None:
    text = text_of(measurement_table(matrix()), 80)
    assert text.count("variant") == 1
    (hidden,) = re.findall(r"hidden: .*?--wide shows them", " ".join(text.split()))
    assert "tokens/s" in hidden and "MLPerf ms" in hidden
    for kept in ("p50", "valid", "1,230"):
        assert kept in text
    everything = text_of(measurement_table(matrix()), 80, shows_all=True)
    assert "hidden:" not in everything
    assert "tokens" in everything


def test_the_least_important_columns_go_first_and_some_never_do() -> None:
    table = ResultTable(
        [
            Column("name", ["a"], names_row=True),
            Column("last", ["1111111111"], priority=9),
            Column("main", ["2222222222"], priority=ALWAYS),
            Column("middle", ["3333333333"], priority=5),
            Column("equal", ["4444444444"], priority=5),
        ]
    )
    shown = {}
    for width in range(60, 20, -1):
        header = text_of(table, width).splitlines()[0].split()
        shown[tuple(header)] = None
    assert list(shown) == [
        ("name", "last", "main", "middle", "equal"),
        ("name", "main", "middle", "equal"),
        ("name", "main", "middle"),
        ("name", "main"),
    ]
    assert "hidden: last; --wide shows it" in text_of(table, 45)
    assert "hidden: last, equal; --wide shows them" in text_of(table, 30).replace("\n", " ").replace("  ", " ")


def test_what_never_goes_stands_below_where_there_is_no_room() -> None:
    columns = [Column(name, ["1234567890"], priority=ALWAYS) for name in ("one", "two", "three")]
    text = text_of(ResultTable([Column("name", ["a"], names_row=True), *columns]), 20)
    assert text.count("1234567890") == text.count("name") == 3
    assert width_of(text) <= 20


def test_a_note_stands_below_only_where_its_column_does() -> None:
    table = ResultTable(
        [Column("name", ["a"], names_row=True), Column("figure", ["1234567890"], note="figure: explained")]
    )
    assert "explained" in text_of(table, 60)
    assert "explained" not in text_of(table, 12)


def test_a_server_keeps_its_p99_and_an_offline_run_its_throughput() -> None:
    for scenario, header in (("server", "p99"), ("offline", "inputs")):
        row = measured(0, name=LONG, ms=1234)
        row = replace(row, subject=replace(row.subject, workload=row.subject.workload | {"scenario": scenario}))
        assert header in text_of(measurement_table([row]), 66).split("hidden:")[0]


def other_tables() -> Iterator[object]:
    """Yield the other tables of the command line, with long names and great figures."""
    one = measured(0, name=LONG, ms=1234.5)
    minutes = tuple(
        Minute(
            number=number, seconds=60.0, inferences=100, p50_ms=1234.5 + 10 * number, p95_ms=2345.6,
            throughput_per_s=0.81, clock_mhz=1500.0, temperature_c=71.3, others_cores=0.12,
            throttled=("under-voltage", "frequency capped"),
        )
        for number in range(1, 91)
    )  # fmt: skip
    yield from tables_below(replace(one, sustained=Sustained(planned_min=90.0, minutes=minutes)))
    probes = tuple(
        Probe(queries_per_s=rate, runs=0, queries=100_000, over_bound=123, p99_ms=1234.5, utilisation=0.7, holds=False,
              reasons=("other processes used more than 0.1 cores",))
        for rate in (1234.5, 0.1234)
    )  # fmt: skip
    yield from tables_below(replace(one, find_qps=search_of(probes)))
    yield from formats_table([(Format.ONNX_INT8, one.subject.artifact, None, None)] * 3)
    yield from comparison_tables()


def search_of(probes: tuple[Probe, ...]) -> RateSearch:
    return RateSearch(latency_bound_ms=100.0, service_ms=12.0, probes=probes)


def comparison_tables() -> Iterator[object]:
    from edgebench.reporting.comparison import _quantity_table

    yield _quantity_table(edgebench.compare(measured(0, name=LONG), measured(1, name=LONG + "-2", ms=20.0)))


def test_the_other_tables_fit_80_columns() -> None:
    tables = [table for table in other_tables() if isinstance(table, ResultTable)]
    assert len(tables) >= 4
    for table in tables:
        for shows_all in (False, True):
            text = text_of(table, 80, shows_all=shows_all)
            assert width_of(text) <= 80
            assert not _BROKEN.search(text)


def test_ids_of_a_plain_table_stay_whole_and_a_row_needs_all_its_cells() -> None:
    table = PlainTable("gate", "what is said of it", whole=("gate",))
    table.add_row("20260101T000000-aaaaaa-000-with-more", "words and more words and more words")
    text = text_of(table, 50)
    assert "20260101T000000-aaaaaa-000-with-more" in text
    with pytest.raises(ValueError, match="2 cells expected, got 1"):
        table.add_row("one")


# --- figures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.9414, "0.941"),
        (0.0012345, "0.00123"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (123.4, "123"),
        (1234.0, "1,230"),
        (150524.0, "151,000"),
        (0.0, "0.00"),
        (-12.34, "-12.3"),
        (None, ""),
    ],
)
def test_a_figure_has_three_significant_digits(value: float | None, expected: str) -> None:
    assert rounded(value) == expected


def test_no_interval_is_shown_as_nothing() -> None:
    assert with_interval(45.77, (45.764, 45.776)) == "45.8 ±0.006"
    assert with_interval(1234.0, (1233.0, 1235.0)) == "1,230 ±1"
    assert with_interval(10.0, (10.0, 10.0)) == "10.0 ±0.0"


def test_every_figure_of_the_table_of_results_has_at_most_three_digits() -> None:
    text = text_of(measurement_table(matrix()[:15]), 400)
    rows = [line for line in text.splitlines() if line.startswith("model-0")]
    for row in rows:
        for figure in re.findall(r"(?<![\w.-])\d[\d,]*\.?\d*(?![\w-])", row.partition("onnx-int8")[2]):
            digits = figure.replace(",", "").replace(".", "").lstrip("0")
            assert len(digits.rstrip("0") if "," in figure else digits) <= 3, figure


# --- verdicts and charts ----------------------------------------------------------------------------------------


def verdicts(encoding: str = "utf-8", *, is_terminal: bool = True, **environment: str) -> str:
    table = PlainTable("what", "verdict", verdict="verdict")
    for verdict in ("faster", "slower, by more than 3 %", "equivalent", "not decided", "not valid", "pass", "fail"):
        table.add_row("latency", verdict)
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    system = "standard" if is_terminal else None
    console = SafeConsole(
        file=out, width=80, force_terminal=is_terminal, color_system=system, _environ=environment, legacy_windows=False
    )  # fmt: skip
    console.print(table)
    out.flush()
    return raw.getvalue().decode(encoding)


def test_a_verdict_is_a_word_with_a_sign_and_a_colour() -> None:
    shown = verdicts()
    for words, colour in (
        *(("✓ faster", 32), ("✗ slower", 31), ("✓ equivalent", 32), ("? not decided", 33)),
        *(("✗ not valid", 31), ("✓ pass", 32), ("✗ fail", 31)),
    ):
        assert f"\x1b[{colour}m{words}" in shown


def test_no_color_leaves_the_words_and_signs() -> None:
    shown = verdicts(NO_COLOR="1")
    assert not re.search(r"\x1b\[3\d", shown)
    assert "✓ faster" in shown and "✗ slower" in shown


def test_a_file_has_the_words_alone() -> None:
    shown = verdicts(is_terminal=False)
    assert "\x1b" not in shown
    assert "✓" not in shown
    assert re.search(r"^latency +not decided", shown, re.MULTILINE)


def test_a_terminal_without_unicode_has_signs_of_ascii() -> None:
    shown = verdicts("ascii")
    assert "+ faster" in shown and "x slower" in shown and "? not decided" in shown


def test_charts_of_one_line() -> None:
    assert sparkline([1.0, None, 2.0, 3.0], 1.0, 3.0) == "▁·▅█"
    assert sparkline([2.0, 2.0], 2.0, 2.0) == "▁▁"
    assert span_bar((1.0, 2.0, 4.0), 0.0, 4.0, width=8) == "  ├─●──┤"
    assert bar(5.0, 10.0, width=10) == "█████"
    assert ascii_chart("▁▅█ ├─●─┤") == "_=# |-o-|"
    assert ascii_chart("▁▅█ ├─●─┤").isascii()


def test_details_have_a_bar_for_each_run_and_its_memory_over_time() -> None:
    whole = measured()
    memory = Series(t_ns=np.arange(20) * 10**8, values=np.linspace(50e6, 250e6, 20).astype(np.int64))
    runs = [replace(run, trace=replace(run.trace, readings={"rss_bytes": memory})) for run in whole.runs]
    text = text_of(details_of(summarise(whole.subject, runs)), 260)
    assert text.count("●") == len(runs)
    assert "▁" in text and "█" in text
    assert "RSS over time: from 60.5 MB (lowest) to 250 MB (highest)" in text
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="replace")
    SafeConsole(file=out, width=260).print(details_of(whole))
    out.flush()
    ascii_text = out.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert re.search(r"\|-*o-*\|", ascii_text)


# --- the terminal and Markdown ------------------------------------------------------------------------------------


def numbers_of(text: str) -> set[str]:
    return set(re.findall(r"\d[\d,]*\.\d+", text))


def test_markdown_has_the_verdict_and_the_figures_of_the_terminal() -> None:
    from edgebench.analysis import PairedComparison
    from edgebench.reporting import comparison_parts

    sides = measured(0, ms=123.4, name="english"), measured(1, ms=45.67, name="multi")
    found = PairedComparison(comparison=edgebench.compare(*sides))
    markdown = edgebench.report(found, markdown=True).replace("\\", "")
    assert found.verdict in markdown
    (table,) = [part for part in comparison_parts([found]) if isinstance(part, ResultTable)]
    terminal = numbers_of(text_of(table, 200))
    assert len(terminal) > 5
    assert terminal <= numbers_of(markdown)
    both = edgebench.report(*sides, markdown=True).replace("\\", "")
    figures = numbers_of(text_of(measurement_table(sides), 200).partition("MLPerf:")[0].replace("<=", ""))
    missing = {each for each in figures if each not in numbers_of(both)}
    assert not missing - {"1.22.0"} - mlperf_of(sides)


def mlperf_of(sides: tuple[Measurement, ...]) -> set[str]:
    """Return the figures of MLPerf's column, which the report's table does not have."""
    return {rounded(each.mlperf.at_most_ms) for each in sides if each.mlperf is not None}


def test_a_study_has_the_same_sentences_and_cells_in_both() -> None:
    from edgebench.reporting import study_markdown, study_parts
    from tests.reporting.sample_results import studied

    report = studied()
    markdown = study_markdown(report).replace("\\", "")
    for part in study_parts(report):
        if isinstance(part, ResultTable):
            cells = {cell for column in part.columns for cell in column.cells}
            assert all(cell in markdown for cell in cells)
        else:
            assert str(part) in markdown


# --- answers of other commands ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["gate", "history", "study report", "compare"])
def test_answers_fit_a_terminal_of_80_columns(command: str) -> None:
    parts: dict[str, Callable[[], Iterable[object]]] = {
        "gate": lambda: gate_parts(sample_results.gated()),
        "history": lambda: history_parts([sample_results.history()]),
        "study report": lambda: study_parts(sample_results.studied()),
        "compare": lambda: comparison_parts([sample_results.compared()]),
    }
    out = io.StringIO()
    console = SafeConsole(file=out, width=80)
    for part in parts[command]():
        console.print(part)
    assert "────" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80
