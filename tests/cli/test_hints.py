from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import edgebench
from edgebench.cli import command as root
from edgebench.cli.hints import as_options
from edgebench.errors import BoardError, ConfigError

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def commands(group: click.Group) -> Iterator[click.Command]:
    with click.Context(group) as context:
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield found
            if isinstance(found, click.Group):
                yield from commands(found)


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
        (
            "pass `use_auth_token` or set `local_files_only=True`",
            "pass `use_auth_token` or set `local_files_only=True`",
        ),
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


@pytest.mark.slow
def test_every_argument_in_a_message_has_an_option() -> None:
    """Costs 1 s: reads the texts of the library from its source."""
    named = set()
    for path in Path(edgebench.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {ast.get_docstring(each, clean=False) for each in ast.walk(tree) if isinstance(each, DOCUMENTED)}
        for each in ast.walk(tree):
            if isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value not in docstrings:
                named |= {found[1] for found in re.finditer(r"`([a-z][a-z_]*)(?:=[^`]*)?`", each.value)}
    options = {option for command in commands(root) for each in command.params for option in each.opts}
    unknown = {name for name in named - {"str"} if as_options(f"`{name}`") not in options}
    assert unknown == set()
