from __future__ import annotations

import pickle

import pytest

from edgebench.cli.hints import as_options
from edgebench.errors import BoardError, ConfigError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("try a smaller `format='onnx-int8'`", "try a smaller --format onnx-int8"),
        ("try `wait_s=1800`, or later", "try --wait 30m, or later"),
        ("try `wait_s=5400`", "try --wait 1h30m"),
        ("pass `host_key='ssh-ed25519 AAAA'`", "pass --host-key 'ssh-ed25519 AAAA'"),
        ("leave `wheels` out, or `system_python`", "leave --wheel out, or --system-python"),
        ("try `replace=True`", "try --replace"),
        ("try `wheels=FILE`", "try --wheel FILE"),
        (
            "not among `runtimes=['onnxruntime', 'tflite-runtime']`",
            "not among --runtime onnxruntime --runtime tflite-runtime",
        ),
        ("raise `max_duration_s` or lower `min_count`", "raise --max-duration or lower --min-count"),
        ("$(uname) and `Not an argument`", "$(uname) and `Not an argument`"),
    ],
)
def test_arguments_are_shown_as_options(text: str, shown: str) -> None:
    assert as_options(text) == shown


def test_a_hint_follows_the_message() -> None:
    error = ConfigError("no such thing", hint="try `format='onnx-int8'`")

    assert str(error) == "no such thing; try `format='onnx-int8'`"
    assert error.hint == "try `format='onnx-int8'`"
    assert str(ConfigError("no such thing")) == "no such thing"


def test_a_hint_survives_another_process() -> None:
    error = pickle.loads(pickle.dumps(BoardError("full", kind="out_of_disk", hint="free some")))  # noqa: S301

    assert (str(error), error.kind) == ("full; free some", "out_of_disk")
