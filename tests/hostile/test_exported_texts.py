"""Names of others in files that a person prints on a terminal, opens in a spreadsheet, or hands to a scraper."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from edgebench import Store
from edgebench.errors import CheckpointError
from edgebench.export.file_formats import refuse_other_formats
from edgebench.reporting.exchange import export_results
from edgebench.testing import SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject

NAME = '=HYPERLINK("http://e","x")\x1b]0;title\x07'


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    board, subject = SimulatedBoard(seed=1), simulated_subject(0, name=NAME, planned_runs=2)
    for number in range(2):
        store.add_run(subject, board.run(subject, number, factor=1.0, count=60))
    return store


def test_a_table_of_inferences_holds_no_formula_and_no_escape(store: Store, tmp_path: Path) -> None:
    (measured,) = store.measurements()
    out = tmp_path / "table.csv"
    assert store.export(out, ids=[measured.id], kind="csv") == 120
    text = out.read_text()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert {row["variant"] for row in csv.DictReader(text.splitlines())} == {'\'=HYPERLINK("http://e","x") ]0;title '}


def test_metrics_hold_no_escape(store: Store) -> None:
    text = export_results(store.measurements(), to="openmetrics", store=store).text
    assert text is not None
    assert "HYPERLINK" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("name", ["../secret", "..", "", "a\0.onnx", "/etc/hostname"])
def test_a_record_that_names_no_model_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "artifact.json").write_text(json.dumps({"files": [{"name": name}]}))
    with pytest.raises(CheckpointError, match=r"artifact\.json can't be read; name the \.onnx or \.tflite file itself"):
        refuse_other_formats([str(tmp_path)], [])
