"""Every command and every Python block of the README and the tutorial runs as it stands, in order, in one folder.

A real SSH server stands for pi@raspberrypi.local, tiny checkpoints for the reader's, generated pairs for XTREME's data.
What is measured is kept short by options that the test appends, and a measurement that both pages show is made once.
Costs some 80 s of processor time alone, of which 35 export `reference:tiny`, as the suite does once for all tests; the
rest is one export of a checkpoint and a session over SSH.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from edgebench.cli import command as edgebench_command
from edgebench.cli import main
from edgebench.errors import TooFewRuns
from tests.board.ssh_board import SshBoard, write_key
from tests.evaluation.conftest import NLI, texts, write_tokenizer, write_xnli
from tests.export.conftest import build
from tests.needed import need

ROOT = Path(__file__).parents[2]
TESTED = ("README.md", "docs/tutorial.md")
#: Folders whose commands are generated, or record what was run once, with the options of that time.
LEFT_OUT = ("_build", "commands", "python", "evidence", "decisions")
#: That of `reference:tiny`: its graph is traced once for all.
GEOMETRY = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 514,
    "layer_norm_eps": 1e-5,
    "num_labels": len(NLI),
}
PASSWORD = "raspberry"
#: Commands that would only do the same again.
MADE_ONCE = ("profile", "evaluate", "device")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and the number of its first line."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """The lines behind a prompt; one that ends in a backslash goes on in the next."""
        joined = self.text.replace("\\\n", " ")
        return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^( *)```(\w+)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        indent, language, body = found.groups()
        lines = (line.removeprefix(indent) for line in body.splitlines(keepends=True))
        yield Block(str(page.relative_to(ROOT)), text.count("\n", 0, found.start()) + 1, language, "".join(lines))


def written_pages() -> list[Path]:
    pages = (page for page in (ROOT / "docs").rglob("*.md") if page.relative_to(ROOT / "docs").parts[0] not in LEFT_OUT)
    return [ROOT / "README.md", *sorted(pages)]


@dataclass
class Reader:
    """Somebody who types what a page says, in a folder with two checkpoints and XTREME's data."""

    board: SshBoard
    monkeypatch: pytest.MonkeyPatch

    def type(self, line: str) -> None:
        """Run a command.

        Raises:
            AssertionError: it fails. That runs don't count because this machine is busy is not held against a page.
        """
        name, *words = shlex.split(line)
        assert name == "edgebench", f"{line}: only edgebench runs in a console block; tag other commands as text"
        self.monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        with pytest.raises(SystemExit) as ended:
            main([*words, *self._appended(words)])
        assert ended.value.code in (0, TooFewRuns.exit_code), line

    def _appended(self, words: list[str]) -> list[str]:
        """What makes a command fit for a test: short runs, a tiny model, no question, nothing from the network."""
        if words[0] == "profile":
            short = shlex.split("--runs 2 --min-duration 0.05 --min-count 20 --no-overhead --no-cold")
            return short if "--model" in words else [*short, "--model", "reference:tiny"]
        if words[:2] == ["device", "add"]:
            return ["--password-stdin", "--host-key", self.board.server.host_key]
        if words[:2] == ["device", "setup"]:
            return ["--system-python", "--runtime", "onnxruntime"]
        return []


@pytest.fixture
def reader(
    ssh_board: SshBoard, client_home: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Reader:
    folder = tmp_path / "project"
    write_checkpoint(folder / "runs" / "xnli-english")
    # The same weights under another name: what both pages show needs two variants, and one export.
    shutil.copytree(folder / "runs" / "xnli-english", folder / "runs" / "xnli-multi")
    for seed, lang in enumerate(("en", "sw")):
        pairs = list(zip(texts(seed, 30), texts(seed + 10, 30), strict=True))
        write_xnli(folder / "download", lang, pairs, [NLI[at % 3] for at in range(30)])
    ssh_board.server.password = PASSWORD  # type: ignore[attr-defined]  # this kind of server has one
    (client_home / ".ssh" / "config").write_text(
        f"Host raspberrypi.local\n  HostName 127.0.0.1\n  Port {ssh_board.proxy.port}\n"
    )
    public = write_key(client_home / ".ssh" / "id_ed25519")
    (client_home / ".ssh" / "id_ed25519.pub").write_text(public + "\n")
    # The board's own python3 is the one that runs the tests: it has a runtime.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    monkeypatch.delenv("EDGEBENCH_STORE", raising=False)
    monkeypatch.chdir(folder)
    return Reader(ssh_board, monkeypatch)


def write_checkpoint(folder: Path) -> None:
    """Write a tiny checkpoint that answers XNLI, with its tokenizer."""
    model = build("XLMRobertaForSequenceClassification", **GEOMETRY)
    model.config.id2label = dict(enumerate(NLI))
    model.config.label2id = {label: at for at, label in enumerate(NLI)}
    # Fresh weights nearly tie, so that int8 would turn their decisions: one label is far ahead of the others.
    model.classifier.out_proj.bias.data[0] = 10
    model.save_pretrained(folder)
    write_tokenizer(folder)


# Some 100 s of CPU: 30 processes on the board, each with its imports.
@pytest.mark.long
@pytest.mark.export
def test_the_blocks_of_the_readme_and_the_tutorial_run_in_order(
    reader: Reader,
) -> None:
    need("torch")
    typed: set[str] = set()
    for block in (each for page in TESTED for each in blocks_of(ROOT / page)):
        if block.language == "toml":
            Path("STUDY.toml").write_text(block.text)
        elif block.language == "python":
            print(f"--- {block.place}")  # pytest shows it where the block fails
            with suppress(TooFewRuns):
                exec(compile(block.text, block.place, "exec"), {"__name__": "example"})  # noqa: S102 - our own page
        elif block.language == "console":
            for line in block.commands():
                if line not in typed or line.split()[1] not in MADE_ONCE:
                    print(f"--- {block.place}: {line}")
                    reader.type(line)
                    typed.add(line)
    assert Path("report.md").is_file()
    assert len(Path("latencies.csv").read_text().splitlines()) > 160  # 2 models, 2 languages, 2 runs, 20 inferences


@pytest.mark.parametrize("page", written_pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_documentation_have_the_options_that_are_shown(page: Path) -> None:
    for block in blocks_of(page):
        lines = block.commands() or (block.text.replace("\\\n", " ").splitlines() if block.language == "text" else [])
        for line in lines:
            if line.startswith("edgebench ") and "..." not in line:
                parse(line, block.place)


def parse(line: str, place: str) -> None:
    """Let click read a command's words without running it."""
    words = shlex.split(line, comments=True)[1:]
    command: click.Command | None = edgebench_command
    context = click.Context(edgebench_command, info_name="edgebench")
    while isinstance(command, click.Group):
        if command.invoke_without_command and not (words and words[0] in command.commands):
            break  # a command that has others below it: `gate` and `gate accept`
        if not words:
            return  # a group alone shows its help
        name, *words = words
        command = command.get_command(context, name)
    assert command is not None, f"{place}: {line}"
    try:
        command.make_context(line, words, parent=context)
    except click.ClickException as error:
        pytest.fail(f"{place}: {line}: {error.format_message()}")


def test_only_text_blocks_hold_what_the_test_cannot_run() -> None:
    for page in TESTED:
        unknown = {block.language for block in blocks_of(ROOT / page)} - {"console", "python", "toml", "text"}
        assert not unknown, f"{page}: tag blocks as console, python, toml or text, not {unknown}"
