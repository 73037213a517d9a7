"""The harness finds what it is for: foreign exceptions, endless loops and memory, by itself and under atheris."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from edgebench.errors import ConfigError
from tests.fuzz import bounds
from tests.fuzz.__main__ import main
from tests.fuzz.bounds import TooLarge, TooSlow, feed
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import Target


def target(run: Callable[[bytes], object]) -> Target:
    return Target(run=lambda data, _: run(data) and None, syntax="text")


def refuse(data: bytes) -> None:
    raise ConfigError("not valid")


def raise_foreign(data: bytes) -> None:
    raise KeyError("x")


def loop(data: bytes) -> None:
    while True:
        with suppress(Exception):  # as a handler that takes too much
            sum(range(1000))


def hoard(data: bytes) -> None:
    bytearray(b"x") * (bounds.MOST_MEMORY_BYTES * 2)


def test_refusals_and_answers_are_no_findings(tmp_path: Path) -> None:
    assert feed(target(len), b"x", tmp_path)
    assert not feed(target(refuse), b"", tmp_path)


@pytest.mark.parametrize(
    ("run", "finding", "most_cpu_s"),
    [(raise_foreign, KeyError, 10), (loop, TooSlow, 0.2), (hoard, TooLarge, 10)],
)
def test_findings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[bytes], None],
    finding: type[BaseException],
    most_cpu_s: float,
) -> None:
    monkeypatch.setattr(bounds, "MOST_CPU_S", most_cpu_s)
    with pytest.raises(finding):
        feed(target(run), b"", tmp_path)


def test_mutations_change_documents_and_keep_them_documents() -> None:
    import json
    import tomllib

    json_seed, toml_seed = b'{"a": {"b": [1, 2]}, "c": "x"}', b'a = 1\n[b]\nc = ["x"]\n'
    results = {mutated(json_seed, "json", Random(seed)) for seed in range(200)}
    assert len(results) > 100
    parsed = 0
    for text in results:
        assert text is not None
        try:
            json.loads(text)
            parsed += 1
        except ValueError:
            pass
    assert parsed > 0.9 * len(results)
    tables = 0
    for seed in range(200):
        try:
            tomllib.loads((mutated(toml_seed, "toml", Random(seed)) or b"").decode())
            tables += 1
        except ValueError:
            pass
    assert tables > 120


PLANTED = """
from pathlib import Path
from tests.fuzz.search import search_one
from tests.fuzz.targets import Target

def planted(data, folder):
    if data[:1] == b"E" and data[1:2] == b"B":
        raise IndexError("planted")

search_one("planted", Target(run=planted, syntax="text"), Path({folder!r}), seconds=5, seed=1)
"""


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (extra fuzz)")
def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLANTED.format(folder=str(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ,
    )
    assert "FINDING IndexError" in done.stdout, done.stdout + done.stderr[-2000:]
    found = [path.read_bytes() for path in tmp_path.glob("found-*")]
    assert len(found) == 1 and found[0].startswith(b"EB")


@pytest.mark.parametrize(("name", "line"), [("result", "edgebench[fuzz]"), ("nothing", "unknown target 'nothing'")])
def test_a_missing_atheris_and_an_unknown_target_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    monkeypatch.setattr(sys, "argv", ["fuzz", name])
    assert main() == 2
    said = capsys.readouterr().err
    assert line in said and said.count("\n") == 1
