"""The command line: each command parses, calls the library and renders. Only the command that runs is imported."""

from __future__ import annotations

import sys
from importlib import import_module

import click
import cloup

from edgebench._version import __version__
from edgebench.cli.encoding import tolerate_encodings
from edgebench.cli.interrupts import EXIT_CODE, ends_in_time, last_line
from edgebench.cli.streams import safe_streams
from edgebench.errors import EdgebenchError, RunFailed, nearest
from edgebench.text import printable

#: command -> (module with an attribute `command`, what it does)
COMMANDS = {
    "profile": ("edgebench.cli.profile", "Export (if needed), push, measure, store, show."),
    "export": ("edgebench.cli.export", "Turn a checkpoint into artifact files, with a parity report."),
    "evaluate": ("edgebench.cli.evaluate", "Answer XTREME-R's tasks on a board, and score the answers."),
    "scores": ("edgebench.cli.scores", "XTREME-R: score predictions, import scores of other tools, show."),
    "compare": ("edgebench.cli.compare", "Two measurements: faster, slower or the same?"),
    "gate": ("edgebench.cli.gate", "Hold a candidate against a baseline that is measured again, for CI."),
    "history": ("edgebench.cli.history", "Ratios to the anchor over time, with change points."),
    "report": ("edgebench.cli.report", "A page with the answer, tables and plots: HTML or Markdown."),
    "plot": ("edgebench.cli.plot", "One figure of a report as PNG or SVG."),
    "study": ("edgebench.cli.study", "A matrix of variants, devices and workloads: run, status, report."),
    "bench": ("edgebench.cli.bench", "Offer the boards of this host to studies that others run."),
    "device": ("edgebench.cli.device", "Boards: list, add, set up, check, release, clean, remove."),
    "ci": ("edgebench.cli.ci", "Write a CI job that measures on a board."),
    "runs": ("edgebench.cli.runs", "What is stored: list, show, export, resume."),
}


class LazyGroup(cloup.Group):
    """A group with a table of commands; it imports only the command that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; suggest a similar name if there is no such command."""
        if cmd_name not in COMMANDS:
            near = nearest(cmd_name, COMMANDS)
            hint = f"did you mean {near!r}?" if near else f"known: {', '.join(COMMANDS)}"
            raise click.UsageError(f"no such command {cmd_name!r}; {hint}", ctx)
        module, _ = COMMANDS[cmd_name]
        command: click.Command = import_module(module).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@cloup.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="edgebench")
def command() -> None:
    """Benchmark multilingual models on edge boards.

    \b
    Example:
      edgebench profile --device pi4 --model runs/xnli-multi --lang sw,th
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with one of the codes of docs/reference/exit-codes.md."""
    tolerate_encodings()
    with safe_streams():
        code = _run(arguments)
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    """Run the command line; return its exit code."""
    settings: dict[str, int] = {"verbosity": 0}
    try:
        with ends_in_time():
            result = command.main(arguments, prog_name="edgebench", standalone_mode=False, obj=settings)
        code = result if isinstance(result, int) else 0
    except (KeyboardInterrupt, click.Abort):
        code = _fail("interrupted", EXIT_CODE)
        last_line.show(is_interrupted=True)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.UsageError as error:
        where = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        code = _fail(error.format_message().rstrip(".") + where, 2)
    except click.ClickException as error:
        code = _fail(error.format_message(), 1)
    except EdgebenchError as error:
        if settings["verbosity"] > 1:
            sys.excepthook(*sys.exc_info())
            if isinstance(error, RunFailed) and error.traceback:
                click.echo(f"On the board:\n{_traceback_of_board(error.traceback)}", err=True)
        from edgebench.cli.hints import as_options

        code = _fail(as_options(str(error)), error.exit_code)
        last_line.show(is_interrupted=False)
    except BrokenPipeError:
        sys.stdout = None  # the reader of the pipe has ended; flushing would fail
        code = 1
    except Exception as error:  # noqa: BLE001 - a user gets one line; -vv shows where it came from
        if settings["verbosity"] > 1:
            sys.excepthook(*sys.exc_info())
        code = _fail(f"unexpected {type(error).__name__}: {error}; -vv shows where (please report it)", 1)
    return code


def _traceback_of_board(text: str) -> str:
    """Return a board's traceback with its indentation, without control characters."""
    lines = text.splitlines()
    return "\n".join(" " * (len(line) - len(line.lstrip(" "))) + printable(line) for line in lines)


def _fail(message: str, code: int) -> int:
    click.echo(f"edgebench: {' '.join(message.split())}", err=True)
    return code
