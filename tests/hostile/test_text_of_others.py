"""What a board, a file, a path or a library says does nothing to the terminal, whichever way it leaves the program."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgebench.cli.output import write_json
from edgebench.cli.safe_console import SafeConsole
from edgebench.cli.streams import SafeStream, safe_streams
from edgebench.text import escaped_json, harmless
from tests.fork_server import edgebench_command

#: A title, a colour, a clear screen (C1), a link, bidirectional overrides, no width, half a pair, a bell, a return.
HOSTILE = "a\x1b]0;title\x07\x1b[31mred\x9b2J\x1b]8;;http://x\x1b\\link\u202eback\u2066\u200bx\ud800y\r\x08\x00z"

#: As an argument of a command, which has no NUL.
ARGUMENT = HOSTILE.replace("\0", "").replace("\ud800", "")


def acts_on_a_terminal(text: str) -> list[str]:
    return [c for c in text if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn")]


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*edgebench_command(), *arguments],
        capture_output=True,
        check=False,
        timeout=600,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def assert_harmless(done: subprocess.CompletedProcess[bytes]) -> str:
    """Check both streams; return standard error."""
    for stream in (done.stdout, done.stderr):
        assert acts_on_a_terminal(stream.decode("utf-8")) == []
    said = done.stderr.decode()
    assert "unexpected" not in said and "Traceback" not in said
    return said


def test_every_category_that_acts_is_replaced() -> None:
    assert acts_on_a_terminal(harmless(HOSTILE)) == []
    assert harmless("a\tb\nc ±°é漢") == "a\tb\nc ±°é漢"
    assert all(not acts_on_a_terminal(harmless(chr(code))) for code in range(0x20000))


def test_json_keeps_every_character_as_an_escape() -> None:
    document = {HOSTILE: [HOSTILE, "नमस्ते می‌خواهم \U000e0001"]}
    text = escaped_json(json.dumps(document, indent=1, ensure_ascii=False))
    assert acts_on_a_terminal(text) == []
    assert json.loads(text) == document


def test_messages_warnings_logs_and_tracebacks_go_through_one_filter(capsys: pytest.CaptureFixture[str]) -> None:
    with safe_streams():
        click.echo(HOSTILE)
        click.echo(HOSTILE, err=True)
        print(HOSTILE)
        sys.stderr.writelines([HOSTILE, "\n"])
        logging.StreamHandler().handle(logging.LogRecord("x", 40, "", 0, HOSTILE, None, None))
        # As Python shows a warning; pytest would catch the warning itself.
        print(warnings.formatwarning(HOSTILE, UserWarning, "a.py", 1), file=sys.stderr)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            sys.excepthook(*sys.exc_info())
        with pytest.raises(AttributeError):
            sys.stdout.buffer.write(b"\x1b[2J")
        write_json("-", {"name": HOSTILE})
    out, err = capsys.readouterr()
    assert acts_on_a_terminal(out + err) == []
    assert json.loads(out[out.index("{") :]) == {"name": HOSTILE}
    assert not isinstance(sys.stdout, SafeStream)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_tables_and_live_displays_let_only_their_own_codes_pass(stream: type[io.StringIO]) -> None:
    def shown(text: str) -> str:
        file = stream()
        colours: Any = "truecolor" if stream is Terminal else None
        console = SafeConsole(
            file=file, highlight=False, width=80, force_terminal=stream is Terminal, color_system=colours
        )
        table = Table("column", title=text)
        table.add_row(text, style="bold")
        table.add_row(Text(text, style="link http://x"))
        console.print(table)
        console.print(text, markup=False)
        console.print("[link=http://x]y[/link]")
        with Live(Text(text), console=console, refresh_per_second=1):
            console.print(Text(text))
        return file.getvalue()

    plain = set(acts_on_a_terminal(shown("plain")))
    assert set(acts_on_a_terminal(shown(HOSTILE))) <= plain
    for code in ("\x1b]", "\x1b[31mred", "\x9b", "\u202e", "\x07"):
        assert code not in shown(HOSTILE)


CHANNELS: dict[str, Any] = {
    "device name": lambda folder: ["profile", "--device", ARGUMENT],
    "model name": lambda folder: ["profile", "--model", ARGUMENT],
    "unknown command": lambda folder: [ARGUMENT],
    "architectures": lambda folder: ["export", "--model", str(_checkpoint(folder, architectures=[HOSTILE]))],
    "model type": lambda folder: ["export", "--model", str(_checkpoint(folder, model_type=HOSTILE))],
    "folder": lambda folder: ["export", "--model", str(_folder(folder, "x\x1b[2J\u202e"))],
    "study": lambda folder: ["study", "status", str(_study(folder))],
    "settings": lambda folder: ["device", "list", *_settings(folder)],
    "texts": lambda folder: ["profile", "--texts", str(_file(folder, "\x1b[31m.json", '{"a\x1b[2J": 1}'))],
    "scores": lambda folder: [
        "scores",
        "import",
        str(_file(folder, "s.jsonl", json.dumps({HOSTILE: 1, "value": HOSTILE}))),
    ],
    "baseline": lambda folder: [
        "gate",
        "--model",
        "x",
        "--baseline",
        str(_file(folder, "b.json", json.dumps({"kind": HOSTILE}))),
    ],
    "store": lambda folder: ["runs", "resume", "--store", str(_store(folder))],
    "SSH's words": lambda folder: ["device", "check", *_ssh_config(folder)],
}


def _folder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _file(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def _checkpoint(folder: Path, **config: Any) -> Path:
    _file(folder, "config.json", json.dumps({"model_type": "xlm-roberta"} | config))
    return folder


def _study(folder: Path) -> Path:
    model = '"a\\u001b[2J\\u202e"'
    return _file(folder, "STUDY.toml", f'[study]\nname = "s"\n[[variant]]\nname = {model}\nmodel = {model}\n')


def _settings(folder: Path) -> list[str]:
    _file(folder, "edgebench.toml", '[device.x]\nhost = "h"\npython = "p"\n"\\u001b[2J" = 1\n')
    return []


def _store(folder: Path) -> Path:
    (folder / "st" / "sessions").mkdir(parents=True)
    document: dict[str, Any] = {key: [] for key in ("models", "formats", "workloads", "plan", "seed")} | {
        "device": {"profile": HOSTILE}
    }
    _file(folder, "st/sessions/20250102T030405-abcdef.json", json.dumps(document))
    return folder / "st"


def _ssh_config(folder: Path) -> list[str]:
    (folder / ".ssh").mkdir()
    _file(folder, ".ssh/config", 'Host x\n  Bad\x1b[2J "\u202e\n')
    _file(folder, "edgebench.toml", '[device.x]\nhost = "x"\n')
    return ["x"]


@pytest.mark.parametrize("channel", CHANNELS)
def test_hostile_names_in_each_channel_of_the_command_line(channel: str, tmp_path: Path) -> None:
    arguments = CHANNELS[channel](tmp_path)
    done = run(*arguments, cwd=tmp_path, HOME=str(tmp_path), EDGEBENCH_CACHE=str(tmp_path / "cache"))
    said = assert_harmless(done)
    assert done.returncode == 0 or said.startswith("edgebench: ")


def test_names_of_files_that_are_not_utf_8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/m\xff\x1b[2J"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    done = subprocess.run(
        [*map(os.fsencode, edgebench_command()), b"export", b"--model", folder],
        capture_output=True,
        check=False,
        timeout=600,
        cwd=tmp_path,
    )
    assert done.returncode == 1 or done.returncode == 2
    assert "config.json" in assert_harmless(done)


def test_an_ssh_servers_methods_are_harmless() -> None:
    from edgebench.cli import main
    from edgebench.errors import AuthenticationError

    def fail(*_: object, **__: object) -> None:
        raise AuthenticationError(f"board: the board takes no passwords, only {HOSTILE}")

    error = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(sys, "stderr", error)
        patch.setattr("edgebench.device.configured_devices", fail)
        main(["device", "list"])
    assert acts_on_a_terminal(error.getvalue()) == []
    assert "takes no passwords" in error.getvalue()
