"""Help texts: every command groups its options, shows an example and fits a terminal of 80 columns. Costs 2 s."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from edgebench.cli import command as root


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield (*path, name), found
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))


ALL = dict(commands(root))


@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
def test_help_fits_80_columns_and_shows_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(root, [*path, "--help"], terminal_width=80)
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if len(line) > 80] == []
    assert "Example:\n    edgebench" in result.output


@pytest.mark.parametrize(
    "path", [path for path, command in ALL.items() if isinstance(command, click.Group)], ids=" ".join
)
def test_a_group_lists_its_commands_with_whole_sentences(path: tuple[str, ...]) -> None:
    output = CliRunner().invoke(root, [*path, "--help"], terminal_width=80).output
    listed = " ".join(output.partition("Commands:\n")[2].split())
    for below, command in ALL.items():
        if below[:-1] == path:
            sentence = " ".join((command.help or "").split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
            assert sentence in listed
    assert not re.search(r"\w\.\.\.$", output, re.MULTILINE)


def test_profile_groups_its_options() -> None:
    output = CliRunner().invoke(root, ["profile", "--help"], terminal_width=80).output
    headings = [line for line in output.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        "What to measure:",
        "Where:",
        "How long:",
        "How to judge:",
        "Output:",
        "Other options:",
    ]


def test_every_option_is_explained() -> None:
    silent = [
        (" ".join(path), parameter.name)
        for path, command in ALL.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []
