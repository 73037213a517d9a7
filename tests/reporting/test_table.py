"""The table of results: complete at every width, empty where nothing was measured."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from edgebench.analysis import summarise
from edgebench.cli.safe_console import SafeConsole
from edgebench.facts import RunFacts
from edgebench.figures import PaddingCost, Score
from edgebench.measurement import Measurement
from edgebench.reporting import details_of, list_of_measurements, measurement_table
from edgebench.reporting.layout import PlainTable
from edgebench.reporting.table import summary_line
from tests.sample_runs import MS, run, subject, trace


def measured(number: int = 0, *, ms: float = 12.5, runs: int = 2, **about: object) -> Measurement:
    scores = about.pop("scores", ())
    reasons = about.pop("reasons", ())
    of = subject(number, **about)  # type: ignore[arg-type]
    kept = [round(ms * MS) + 1000 * step for step in range(200)]
    return summarise(
        of,
        [run(of, at, trace([at * 1000 + latency for latency in kept]), reasons=reasons) for at in range(runs)],
        scores=scores,  # type: ignore[arg-type]
    )


def text_of(renderable: object, width: int, *, shows_all: bool = False) -> str:
    """Render as for a terminal of that width; `shows_all`: as with --wide."""
    out = io.StringIO()
    console = SafeConsole(file=out, width=width, highlight=False, color_system=None, shows_all_columns=shows_all)
    console.print(renderable)
    return out.getvalue()


def many() -> list[Measurement]:
    long = "xnli-multilingual-intermediate-[translated]-seed42"
    scores = [Score(task="xnli", lang="en", metric="accuracy", value=81.25, artifact_sha256="a" * 64)]
    return [
        measured(0, ms=123.4, name="xnli-english", format="onnx-fp32", scores=scores),
        measured(1, ms=45.67, name=long),
        measured(2, ms=8.901, name="reference:minilm", source="reference:minilm", label="sw"),
    ]


#: Every figure that the table of `many()` must have, whatever the width.
FIGURES = ["118", "400", "25.0", "45.8 ±0.006", "45.9", "21.8", "2,800", "300", "280", "81.2 (en)", "yes"]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200, 400])
def test_no_width_cuts_a_figure_or_leaves_the_screen(width: int) -> None:
    text = text_of(measurement_table(many()), width, shows_all=True)
    assert max(len(line) for line in text.splitlines()) <= width
    for figure in FIGURES:
        assert re.search(rf"(?<![\d.]){re.escape(figure)}(?![\d.])", text), figure
    assert "…" not in text


def test_one_line_a_measurement_where_there_is_room() -> None:
    lines = text_of(measurement_table(many()), 200).splitlines()
    (line,) = [line for line in lines if "xnli-multilingual-intermediate-[translated]-seed42" in line]
    for figure in ("onnx-int8", "45.8 ±0.006", "280"):
        assert figure in line


@pytest.mark.parametrize("width", [60, 80])
def test_where_the_table_goes_on_below_its_rows_are_named_again(width: int) -> None:
    text = text_of(measurement_table(many()), width, shows_all=True)
    assert text.count("xnli-english") == text.count("variant") > 1


def test_what_all_rows_share_is_said_once() -> None:
    text = text_of(measurement_table([measured(0), measured(1, name="other")]), 200)
    assert "pi4 · 128 tok · batch 1 · 4 threads" in text
    assert text.count("128 tok") == text.count("pi4") == 1


def test_what_differs_has_a_column() -> None:
    two_threads = {"scenario": "single-stream", "lang": "sw", "batch": 1, "threads": 2, "padding": "longest"}
    other = measured(1, device="pi5", label="sw", workload=two_threads)
    text = text_of(measurement_table([measured(0), other]), 200)
    header = next(line for line in text.splitlines() if line.startswith("variant"))
    for name in ("device", "workload", "threads"):
        assert name in header
    assert "batch" not in header


def test_a_reference_model_is_labelled() -> None:
    measurement = measured(name="reference:minilm", source="reference:minilm")
    assert "reference:minilm (random weights)" in text_of(measurement_table([measurement]), 200)
    assert "reference:minilm (random weights)" in summary_line(measurement)


def test_what_was_not_measured_is_an_empty_cell() -> None:
    of = subject()
    empty = summarise(of, [])
    for text in (text_of(measurement_table([empty]), 200), text_of(list_of_measurements([empty]), 200)):
        row = next(line for line in text.splitlines() if "onnx-int8" in line)
        assert not re.search(r"nan|None|null|±|(?<![\d.-])0(?![\d.-])(?! of)", row, re.IGNORECASE), row
    assert "nothing was measured" in summary_line(empty)


def test_reasons_stand_below_the_table() -> None:
    bad = measured(reasons=("under-voltage during the run",))
    text = text_of(measurement_table([bad, measured(1, name="good")]), 200)
    assert "0 of 2 planned runs are valid; under-voltage during the run (2 runs)" in text
    assert "NOT VALID" in summary_line(bad)


def test_scores_of_the_variant_are_not_passed_off_as_the_files() -> None:
    of_variant = Score(task="xnli", lang="en", metric="accuracy", value=81.25)
    text = text_of(measurement_table([measured(scores=[of_variant])]), 200)
    assert "81.2* (en)" in text
    assert "* score of the variant, not of this very file" in text


def test_beside_a_row_of_one_language_stands_that_languages_score_alone() -> None:
    scores = [Score(task="xnli", lang=lang, metric="accuracy", value=value) for lang, value in (("en", 80), ("sw", 60))]
    rows = [measured(0, name="all", scores=scores)]
    for number, lang in enumerate(("sw", "th"), 1):
        one = measured(number, name=f"only-{lang}", label=lang, scores=scores)
        workload = {"scenario": "single-stream", "lang": lang, "batch": 1, "threads": None, "padding": "longest"}
        rows.append(replace(one, subject=replace(one.subject, workload=workload)))
    lines = {line.split()[0]: line for line in text_of(measurement_table(rows), 250).splitlines() if line.strip()}
    assert "70.0* (2 langs)" in lines["all"]
    assert "60.0* (sw)" in lines["only-sw"]
    assert "*" not in lines["only-th"]  # no score of that language: the cell is empty


def test_names_with_brackets_are_no_markup() -> None:
    text = text_of(measurement_table([measured(name="[red]a[/red]")]), 200)
    assert "[red]a[/red]" in text


HARMFUL = "a\x1b[2J\x9b31m\u202e\nb"


def test_what_a_store_says_does_nothing_to_the_terminal() -> None:
    one = measured(0, name=HARMFUL, device=HARMFUL, label=HARMFUL, reasons=(HARMFUL,))
    facts = {"log": [HARMFUL], HARMFUL: HARMFUL, "warmup_steady": True}
    one = replace(one, runs=tuple(replace(each, facts=RunFacts.from_json(facts)) for each in one.runs))
    several = [
        one,
        measured(1, device="pi5", label="sw", scores=[Score(task="xnli", lang="en", metric="accuracy", value=1)]),
    ]
    shown = [measurement_table([one]), measurement_table(several), list_of_measurements(several), details_of(one)]
    for text in [*(text_of(each, 200) for each in shown), summary_line(one)]:
        assert not {"\x1b", "\x9b", "\u202e"} & set(text)
        assert "a [2J 31m b" in text


def test_details_show_each_runs_log_and_no_lists_to_reckon_with() -> None:
    one = measured()
    first, second = one.runs
    turn = {"batches": 1, "batch_sizes": [77], "batch_tokens": [88]}
    first, second = (
        replace(each, facts=RunFacts.from_json({"log": [f"said {at}"]} | turn))
        for at, each in enumerate((first, second))
    )
    text = text_of(details_of(replace(one, runs=(first, second))), 200)
    assert "said 0" in text
    assert "said 1" in text
    assert "[77]" not in text
    assert "[88]" not in text


def test_details_say_what_pss_is() -> None:
    assert "the highest at the borders of phases" in text_of(details_of(measured()), 200)
    header = "\n".join(text_of(measurement_table([measured()]), 200).splitlines()[:4])
    assert "PSS MB" in header
    assert header.count("peak") == 1  # RSS


def test_a_summary_is_one_line() -> None:
    assert summary_line(measured()) == (
        "xnli-multi onnx-int8 on pi4, 128 tok: p50 12.6 ±0.006 ms, p95 12.7 ms, "
        "79.4 inputs/s, 10,200 tokens/s, peak RSS 300 MB"
    )


@pytest.mark.parametrize("width", [80, 200])
def test_details_show_every_run_and_fact(width: int) -> None:
    text = text_of(details_of(measured(reasons=("too hot",))), width)
    assert max(len(line) for line in text.splitlines()) <= width
    for expected in (f"{subject().id}-000", f"{subject().id}-001", "too hot", "CPUExecutionProvider", "1.22.0"):
        assert expected in text


def test_the_list_keeps_ids_whole() -> None:
    text = text_of(list_of_measurements(many()), 80)
    for number in range(3):
        assert subject(number).id in text


def test_the_runtime_stands_above_the_table_or_in_a_column_of_its_own() -> None:
    assert "onnxruntime 1.22.0" in text_of(measurement_table([measured()]), 200).splitlines()[0]
    older = measured(1, format="tflite-int8")
    device = replace(older.subject.device, runtime="tflite", runtime_version="tflite-runtime 2.14.0")
    older = replace(older, subject=replace(older.subject, device=device))
    lines = text_of(measurement_table([measured(), older]), 200).splitlines()
    assert "onnxruntime" not in lines[0]
    assert any("runtime" in line for line in lines[1:4])
    assert [line for line in lines if "tflite-runtime 2.14.0" in line and "tflite-int8" in line]


def test_padding_that_costs_is_said() -> None:
    costly = replace(measured(), padding=PaddingCost(buckets=(32, 128), tokens=103.0, padded_tokens=128.0))
    cheap = replace(measured(), padding=PaddingCost(buckets=(), tokens=100.0, padded_tokens=101.0))
    assert "works on 128 tokens an inference, 1.24 times the 103 of its inputs" in text_of(
        measurement_table([costly]), 200
    )
    assert "padding" not in text_of(measurement_table([cheap]), 200)


def test_what_was_cut_is_said_below_the_table_and_of_each_run() -> None:
    whole = measured()
    start = int(whole.runs[0].trace.starts_ns[0])
    one, other = whole.runs
    cut = summarise(
        whole.subject, [replace(one, excluded_spans=((start, start + 125 * MS),)), other]
    )  # 12.5 ms each: ten of them
    said = "10 of 400 inferences do not count, because other processes worked meanwhile (in 1 run)"
    assert f"excluded: {said}" in text_of(measurement_table([cut]), 200)
    assert said in text_of(details_of(cut), 200)
    assert "excluded:" not in text_of(measurement_table([whole]), 200)


def test_details_say_how_each_run_cooled_down() -> None:
    whole = measured()
    cooled = {"cool_down": {"target_mc": 60_000, "started_mc": 59_500, "waited_ms": 12_000}}
    runs = [replace(run, facts=run.facts.adding(cooled)) for run in whole.runs]
    text = text_of(details_of(summarise(whole.subject, runs)), 200)
    assert text.count("began at 59.5 °C after 12 s of waiting for 60.0 °C") == 2


def test_figures_of_a_plain_table_do_not_break() -> None:
    headers = ("lang", "f1 [95 %]", "minus fp32 [95 %]", "what it says of it")
    table = PlainTable(*headers, figures=headers[1:3])
    table.add_row("sw", "71.23 [69.1, 73.4]", "-0.12 [-0.4, +0.2]", "words may go on in the next line")
    lines = [line.split() for line in text_of(table, 44, shows_all=True).splitlines()]
    assert ["sw", "71.23", "[69.1,", "73.4]", "-0.12", "[-0.4,", "+0.2]"] in lines
    assert ["sw", "words", "may", "go", "on", "in", "the", "next", "line"] in lines
