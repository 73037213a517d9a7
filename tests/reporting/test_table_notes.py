"""The notes, cold figures and colours of the table of results: each thing is said once, in a place of its own."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from edgebench.artifact import Trimming
from edgebench.figures import ColdStart, PaddingCost
from edgebench.measurement import Measurement
from edgebench.quality import FloorValues, KeptLayer, QualityFloor
from edgebench.reporting import details_of, measurement_table
from edgebench.reporting.html.evidence import files_table
from edgebench.text import counted
from tests.reporting.test_table import measured, text_of
from tests.sample_runs import MS

COLD = ColdStart(load_ns=931 * MS, first_ns=45 * MS, resident_share=0.0)
WARM = replace(COLD, resident_share=1.0)


def with_cold(number: int, cold: ColdStart | None) -> Measurement:
    return replace(measured(number, name=f"variant-{number}"), cold_start=cold)


@pytest.mark.parametrize("width", [80, 200])
def test_cold_figures_are_columns_and_not_a_note_for_each_row(width: int) -> None:
    text = text_of(
        measurement_table([with_cold(0, COLD), with_cold(1, replace(COLD, load_ns=512 * MS))]), width, shows_all=True
    )
    assert text.count("cold load") == text.count("cold first") == 1 or width == 80  # there the headers have two lines
    for figure in ("931", "512", "45.0", "400"):
        assert figure in text
    notes = [line for line in text.splitlines() if line.startswith("load, first:")]
    assert len(notes) == 1
    assert max(map(len, text.splitlines())) <= width


def test_a_start_that_was_not_cold_has_an_empty_cell_and_the_reason_once() -> None:
    text = text_of(measurement_table([with_cold(0, COLD), with_cold(1, WARM), with_cold(2, WARM)]), 300)
    assert text.count("keeps the model's file in memory, or does not report it") == 1
    assert "cold: variant-1 onnx-int8 128 tok, variant-2 onnx-int8 128 tok: not known" in text
    (row,) = [line for line in text.splitlines() if line.startswith("variant-1 ")]
    assert "931" not in row
    none = text_of(measurement_table([with_cold(0, WARM), with_cold(1, WARM)]), 300)
    assert "cold load" not in none
    assert "cold: not known, because" in none  # of all rows: none is named
    assert "cold" not in text_of(measurement_table([with_cold(0, None)]), 300)


def test_the_same_padding_of_several_rows_is_said_once() -> None:
    padding = PaddingCost(buckets=(32, 64), tokens=23.0, padded_tokens=32.0)
    rows = [replace(measured(number, name=f"variant-{number}"), padding=padding) for number in range(3)]
    text = text_of(measurement_table(rows), 200)
    assert text.count("padding: the model works on 32 tokens an inference, 1.39 times the 23 of its inputs") == 1
    other = replace(measured(3, name="other"), padding=replace(padding, tokens=32.0))
    mixed = text_of(measurement_table([*rows, other]), 400)
    assert "padding: variant-0 onnx-int8 128 tok, variant-1 onnx-int8 128 tok, variant-2 onnx-int8 128 tok: " in mixed


@pytest.mark.parametrize(("threads", "said"), [(1, "1 thread"), (4, "4 threads")])
def test_one_thread_is_no_plural(threads: int, said: str) -> None:
    workload = {"scenario": "single-stream", "seq_len": 128, "batch": 1, "threads": threads, "padding": "longest"}
    heading = text_of(measurement_table([measured(workload=workload)]), 200).splitlines()[0]
    assert said in heading.split(" · ")


@pytest.mark.parametrize(
    ("number", "noun", "said"), [(1, "run", "1 run"), (0, "run", "0 runs"), (1, "query", "1 query"),
                                 (1_001, "query", "1,001 queries"), (2, "day", "2 days")]
)  # fmt: skip
def test_counted(number: int, noun: str, said: str) -> None:
    assert counted(number, noun) == said


def coloured(measurements: list[Measurement], **environment: str) -> str:
    out = io.StringIO()
    terminal = Console(file=out, width=200, force_terminal=True, color_system="standard", _environ=environment)
    terminal.print(measurement_table(measurements))
    return out.getvalue()


def test_validity_has_a_colour_in_a_terminal_unless_no_color_is_set() -> None:
    rows = [measured(0), measured(1, name="bad", reasons=("under-voltage during the run",))]
    shown = coloured(rows)
    states = {each.state for each in rows}
    assert len(states) == 2
    assert "\x1b[31m✗ no" in shown
    assert "\x1b[32m✓ yes" in shown or "\x1b[33m? not judged" in shown
    plain = coloured(rows, NO_COLOR="1")
    assert "\x1b[31m" not in plain and "\x1b[32m" not in plain and "\x1b[33m" not in plain


# --- files that are not the plain export of their checkpoint ------------------------------------------------------


def peculiar() -> Measurement:
    """Return a measurement of a file with a trimmed vocabulary and a kept layer, whose name says neither."""
    plain = measured(0, name="encoder")
    values = FloorValues(search=0.999, held_out=0.998)
    layer = KeptLayer(
        name="encoder.layer.3.output.dense",
        weights=("encoder.layer.3.output.dense.weight",),
        precision="float32",
        bytes=1_760_000,
        without=0.97,
        reason="without it, mean cosine 0.97 (search)",
    )
    quality = QualityFloor(
        floor=0.995,
        measure="mean cosine",
        before=FloorValues(search=0.97, held_out=0.96),
        after=values,
        search_inputs=20,
        held_out_inputs=20,
        held_out_decided=False,
        kept=(layer,),
        bytes_before=100_000_000,
        size_ratio=1.0176,
        p50_ratio=None,
        trials=60,
        seconds=40.0,
    )
    trimming = Trimming(
        languages=("en", "sw"),
        texts=(),
        pieces=10_000,
        pieces_before=250_002,
        parameters=1,
        parameters_before=2,
        bytes=1,
        bytes_before=2,
    )
    artifact = replace(plain.subject.artifact, quality=quality, trimming=trimming)
    return replace(plain, subject=replace(plain.subject, artifact=artifact))


def test_the_table_says_that_a_file_is_trimmed_and_has_kept_layers() -> None:
    for shown in (measurement_table([peculiar()]), details_of(peculiar())):
        text = " ".join(text_of(shown, 200).split())
        assert "file: encoder onnx-int8" in text
        assert "vocabulary trimmed to en, sw: 10,000 of 250,002 pieces" in text
        assert "quality floor 0.995 reached with 1 layer kept: mean cosine 0.999, held out 0.998" in text
        assert "(before 0.97 and 0.96); 1.018 of the bytes" in text
    assert "file:" not in text_of(measurement_table([measured(0)]), 200)
    assert "encoder.layer.3.output.dense in float32, +1.76 MB: without it, mean cosine 0.97 (search)" in text


def test_the_page_says_what_was_changed_in_a_file() -> None:
    table = files_table([peculiar(), measured(1)])
    assert table is not None and "changed" in table.headers
    cells = [row[table.headers.index("changed")] for row in table.rows]
    assert "trimmed to en, sw" in cells[0] and "quality floor 0.995" in cells[0] and cells[1] == ""
    plain = files_table([measured(1)])
    assert plain is not None and "changed" not in plain.headers
