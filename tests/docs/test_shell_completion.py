"""The line that the documentation gives for each shell completes commands, options and values."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "shell-completion.md"
#: What each shell does at a TAB behind words; of zsh, whose completion needs a terminal, only that it takes the line.
AT_TAB = {
    "bash": 'COMP_WORDS=({line}); COMP_CWORD={last}; _edgebench_completion edgebench; echo "${{COMPREPLY[@]}}"',
    "fish": 'complete --do-complete "{line}"',
}
ON_PATH = {"bash": 'export PATH="{}:$PATH"', "zsh": 'export PATH="{}:$PATH"', "fish": "set -x PATH {} $PATH"}
WITHOUT_SETTINGS = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}


def documented(shell: str) -> str:
    """Return what the page has a reader put into the settings of a shell."""
    found = re.search(rf"echo '(.*_EDGEBENCH_COMPLETE={shell}_source.*)' >", PAGE.read_text())
    assert found, f"{PAGE} has no line for {shell}"
    return found[1]


def run(shell: str, script: str, folder: Path) -> str:
    """Run a script in a shell that finds `edgebench` on its path; the code beside us is what runs."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command = folder / "edgebench"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m edgebench "$@"\n')
    command.chmod(0o755)
    done = subprocess.run(
        [shell, WITHOUT_SETTINGS[shell], "-c", f"{ON_PATH[shell].format(folder)}; {script}"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "completed"),
    [("edgebench comp", "compare"), ("edgebench device se", "setup"), ("edgebench profile --scenario off", "offline")],
)
def test_the_documented_line_completes(shell: str, line: str, completed: str, tmp_path: Path) -> None:
    tab = AT_TAB[shell].format(line=line, last=len(line.split()) - 1)
    said = run(shell, f"{documented(shell)}; {tab}", tmp_path)
    assert completed in said.split()


def test_zsh_takes_the_documented_line(tmp_path: Path) -> None:
    said = run("zsh", f"{documented('zsh')}; print $_comps[edgebench]", tmp_path)
    assert said.split() == ["_edgebench_completion"]
