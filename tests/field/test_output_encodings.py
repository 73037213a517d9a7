"""Terminals and pipes that are not UTF-8 lose no table, and files of settings may begin with a byte-order mark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgebench.store import Store
from tests.needed import need
from tests.sample_runs import MS, run, subject, trace

ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
LATIN = {"PYTHONIOENCODING": "iso-8859-1"}


def edgebench(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONIOENCODING", "PYTHONUTF8")}
    return subprocess.run(
        [sys.executable, "-m", "edgebench", *arguments],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a measurement whose table has signs beyond ASCII, and a name that no encoding has as it is."""
    folder = tmp_path_factory.mktemp("encodings")
    of = subject(name="xnli-\u00e9t\u00e9", source="runs/\udce9")
    with_temperature = {"temperature_mc/cpu": [50_000] * 20}
    store = Store(folder / ".edgebench")
    store.add_runs([(of, run(of, number, trace([10 * MS] * 200, readings=with_temperature))) for number in (1, 2)])
    return folder


@pytest.mark.parametrize("environment", [ASCII, C_LOCALE, LATIN, {}], ids=["ascii", "C", "latin", "utf-8"])
def test_no_encoding_loses_a_table(stored: Path, environment: dict[str, str]) -> None:
    done = edgebench("runs", "show", subject().id, folder=stored, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    encoding = environment.get("PYTHONIOENCODING", "ascii" if environment else "utf-8")
    shown = done.stdout.decode(encoding)
    assert ("temperature deg C" if encoding == "ascii" else "temperature \u00b0C") in shown
    assert ("xnli-\\xe9t\\xe9" if encoding == "ascii" else "xnli-\u00e9t\u00e9") in shown


@pytest.mark.parametrize("environment", [ASCII, C_LOCALE, {}], ids=["ascii", "C", "utf-8"])
def test_json_is_the_same_in_every_encoding(stored: Path, environment: dict[str, str]) -> None:
    done = edgebench("runs", "show", subject().id, "--json", "-", folder=stored, **environment)
    assert done.returncode == 0, done.stderr
    variant = json.loads(done.stdout)["measurements"][0]["variant"]
    assert (variant["name"], variant["source"]) == ("xnli-\u00e9t\u00e9", "runs/\udce9")


def test_a_profile_shows_its_table_in_ascii(tmp_path: Path) -> None:
    """A run of a tiny file in a process of its own: some seconds."""
    need("onnx", "onnxruntime", "tokenizers")
    from tests.field.foreign_models import encoder, save

    path = save(encoder(), tmp_path / "\u00e9t\u00e9.onnx")
    short = [
        "--runs",
        "2",
        "--min-count",
        "30",
        "--min-duration",
        "0",
        "--max-warmup",
        "0",
        "--no-overhead",
        "--no-cold",
        "--seq-len",
        "5",
    ]
    home = {"EDGEBENCH_HOME": str(tmp_path / "home"), "EDGEBENCH_CACHE": str(tmp_path / "cache")}
    done = edgebench("profile", "--model", str(path), *short, folder=tmp_path, **ASCII, **home)
    assert done.returncode in (0, 4), done.stderr  # the machine may be too busy for a valid result
    assert b"\\xe9t\\xe9" in done.stdout


@pytest.mark.parametrize("command", ["profile", "compare", "gate", "evaluate", "export"])
def test_help_is_shown_in_ascii(tmp_path: Path, command: str) -> None:
    done = edgebench(command, "--help", folder=tmp_path, **ASCII)
    assert (done.returncode, done.stderr) == (0, b"")
