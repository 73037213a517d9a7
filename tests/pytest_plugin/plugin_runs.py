"""Runs of pytest in a process of its own, with the plugin, in a folder with a tiny model."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

#: The name under which pytest finds the plugin. An environment that was made before it was added does not have it.
NAME = "edgebench.pytest_plugin"
_IS_INSTALLED = any(each.name == NAME for each in importlib.metadata.entry_points(group="pytest11"))

#: What the files of tests begin with. Runs are short: figures need no quiet machine.
HEAD = """
import pytest
import edgebench
SHORT = {
    "plan": edgebench.RunPlan(runs=2, min_count=10, min_duration_s=0),
    "cold": False,
    "overhead": False,
    "seq_len": 16,
}
"""


def prepare(pytester: pytest.Pytester, model: Path | None, **files: str) -> None:
    """Write files of tests and put a model beside them, as `model.onnx`."""
    pytester.makepyfile(**{name: HEAD + text for name, text in files.items()})
    if model is not None:
        shutil.copy(model, pytester.path / "model.onnx")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest with the plugin, and none of those that nothing here uses."""
    load = () if _IS_INSTALLED else ("-p", NAME)
    unused = ("-p", "no:anyio", "-p", "no:jaxtyping", "-p", "no:cacheprovider")
    return pytester.runpytest_subprocess(*load, *unused, "-rs", *arguments)
