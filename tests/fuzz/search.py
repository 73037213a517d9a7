"""A search under the guidance of coverage. Only this module needs atheris; `python -m tests.fuzz` is its command."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import atheris

#: What is under test, and the parser of TOML, which is Python.
_INSTRUMENTED = ["edgebench", "edgebench_agent", "tomllib"]

with (
    contextlib.redirect_stderr(io.StringIO()),  # a line for each module
    atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False),
):
    from tests.fuzz.bounds import feed, place_of
    from tests.fuzz.mutations import mutated
    from tests.fuzz.seeds_folder import SEEDS, keep_case
    from tests.fuzz.targets import TARGETS, Target

#: Beyond the bounds of `bounds.feed`, which can't interrupt native code.
_MOST_WALL_S, _MOST_RSS_MIB = 60, 2048
_MOST_INPUT_BYTES = 64 << 10


def search_all(names: Sequence[str], *, seconds: int, seed: int) -> int:
    """Search in targets, each for so many seconds; print a line for each and return how many findings there were."""
    return sum(search_one(name, TARGETS[name], SEEDS / name, seconds=seconds, seed=seed) for name in names)


def search_one(name: str, target: Target, seeds: Path, *, seconds: int, seed: int) -> int:
    """Search in a target, in a process of its own, which native code may end; return how many findings there were."""
    with tempfile.TemporaryDirectory(prefix="edgebench-fuzz-") as scratch:
        corpus, crashes, log = (Path(scratch) / part for part in ("corpus", "crashes", "log"))
        corpus.mkdir()
        crashes.mkdir()
        arguments = [
            *(str(corpus), str(seeds), f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={_MOST_INPUT_BYTES}"),
            *(f"-timeout={_MOST_WALL_S}", f"-rss_limit_mb={_MOST_RSS_MIB}", f"-artifact_prefix={crashes}/"),
            "-print_final_stats=1",
        ]
        began_s = time.monotonic()
        status = _in_child(lambda: _search(target, seeds, Path(scratch), arguments), log)
        taken_s = time.monotonic() - began_s
        text = log.read_text(errors="replace")
        findings = re.findall(r"^FINDING .*$", text, re.MULTILINE)
        findings += [f"CRASH {keep_case(seeds, crash.read_bytes())}" for crash in crashes.iterdir()]
        executions = _last(text, r"number_of_executed_units: +(\d+)")
        peak = _last(text, r"peak_rss_mb: +(\d+)")
        features = _last(text, r" ft: (\d+)")
        print(
            f"{name}: {taken_s:.0f} s, {executions} executions, {features} features, {len(findings)} findings, "
            f"peak memory {peak} MiB",
            *findings,
            *([text[-4000:]] if status != 0 else []),
            sep="\n  ",
            flush=True,
        )
        return max(len(findings), int(status != 0))


def _in_child(run: Any, log: Path) -> int:
    """Run a function that does not return in a child process, its output in a file; return the exit status."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        faulthandler.enable()
        try:
            run()
        finally:
            os._exit(1)  # it has raised
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _search(target: Target, seeds: Path, scratch: Path, arguments: Sequence[str]) -> None:
    """Search until the time is over; libFuzzer then ends the process."""
    os.environ["XDG_CONFIG_HOME"] = str(scratch)
    target.prepare(scratch)
    places: set[str] = set()

    def try_input(data: bytes) -> None:
        try:
            feed(target, data, scratch)
        except KeyboardInterrupt:
            raise
        except BaseException as finding:  # noqa: BLE001 - whatever it is
            place = place_of(finding)
            if place not in places:
                places.add(place)
                keep_case(seeds, data)
                sys.stderr.write(f"FINDING {place}: {str(finding)[:300]!r}\n")
                sys.stderr.flush()

    def mutate(data: bytes, most: int, seed: int) -> Any:
        random = Random(seed)
        changed = mutated(bytes(data), target.syntax, random) if random.randrange(2) else None
        return changed if changed is not None and len(changed) <= most else atheris.Mutate(data, most)

    # What functions import later is instrumented, too.
    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        atheris.Setup([sys.argv[0], *arguments], try_input, custom_mutator=mutate)
        atheris.Fuzz()


def _last(text: str, pattern: str) -> str:
    return (re.findall(pattern, text) or ["?"])[-1]
