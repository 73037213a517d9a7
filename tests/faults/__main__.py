"""The campaign: `python -m tests.faults --n 200 --seed 1`. Exits with 1 if anything is lost, doubled, false or hangs.

The trial of seed S has the fault at position S of the list, so that N trials have each fault about as often; all else
(the stage, the moment, for how long) is drawn from S. `--n 1 --seed S` repeats one trial.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.board import CAN_OPENSSH
from tests.faults.faults import FAULTS
from tests.faults.trial import Result, run_trial

_COLUMNS = ("trials", "struck", "complete", "resumed", "named", "lost", "doubled", "hangs", "false", "broken")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="how many trials")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; the next has the next number")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this fault; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="how many trials at a time")
    parser.add_argument("--server", choices=("openssh", "asyncssh"), default="openssh" if CAN_OPENSSH else "asyncssh")
    parser.add_argument(
        "--folder", type=Path, help="where trials work; those that fail stay. [default: a temporary one]"
    )
    parser.add_argument("--model", type=Path, help="an ONNX file to measure. [default: reference:tiny, exported]")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all trials")
    options = parser.parse_args(arguments)
    possible = {name: each for name, each in FAULTS.items() if each.is_possible}
    if options.server == "asyncssh":
        possible = {name: each for name, each in possible.items() if not each.needs & {"direct", "sshd"}}
    if options.only and (unknown := set(options.only) - set(possible)):
        parser.error(f"no such fault here: {', '.join(sorted(unknown))}; there are: {', '.join(possible)}")
    names = options.only or list(possible)
    if left_out := sorted(set(FAULTS) - set(possible)):
        print(f"not possible here: {', '.join(left_out)}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="edgebench-faults-"))
    model = options.model or _tiny_model(folder)
    results: list[Result] = []
    printing = threading.Lock()

    def one(seed: int) -> None:
        fault = possible[names[seed % len(names)]]
        own = folder / f"trial-{seed}"
        try:
            result = run_trial(seed, fault, own, model.absolute(), openssh=options.server == "openssh")
        except Exception:  # noqa: BLE001 - a trial that can't be made is not one that passed
            result = Result(seed, fault.name, "none", broken=[traceback.format_exc()])
        with printing:
            results.append(result)
            print(_line(result), flush=True)
            if result.wrong:
                for each in result.wrong:
                    print(f"    {each}")
                only = f" --only {fault.name!r}" if options.only else ""
                print(f"    kept in {own}; again: python -m tests.faults --n 1 --seed {seed}{only}", flush=True)
            elif not options.keep:
                shutil.rmtree(own, ignore_errors=True)

    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for each in [pool.submit(one, options.seed + number) for number in range(options.n)]:
                each.result()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
    print(table(results))
    return 1 if any(result.wrong for result in results) else 0


def _line(result: Result) -> str:
    struck = ", ".join(result.notes) if result.struck else "did not strike"
    return f"{result.seed:5} {result.fault}, {result.stage} ({struck}): {result.ending}, {result.seconds:.0f} s"


def table(results: Sequence[Result]) -> str:
    """Return counts by fault, and of all."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        for name in (result.fault, "all"):
            counts.setdefault(name, Counter()).update(_counts(result))
    width = max(map(len, counts), default=0)
    lines = [" ".join(["fault".ljust(width), *(column.rjust(8) for column in _COLUMNS)])]
    ordered = [name for name in (*FAULTS, "all") if name in counts]
    lines += [
        " ".join([name.ljust(width), *(str(counts[name][each]).rjust(8) for each in _COLUMNS)]) for name in ordered
    ]
    return "\n".join(lines)


def _counts(result: Result) -> dict[str, int]:
    findings = result.findings
    is_so = {
        "trials": True,
        "struck": result.struck,
        "complete": result.is_complete,
        "resumed": result.is_complete and len(result.commands) > 1,
        "named": bool(findings.named) or not result.is_complete,
        "lost": bool(findings.lost),
        "doubled": bool(findings.doubled),
        "hangs": bool(result.hangs),
        "false": bool(findings.false),
        "broken": bool(result.broken),
    }
    return {name: int(value) for name, value in is_so.items()}


def _tiny_model(folder: Path) -> Path:
    from edgebench.export import export_model

    return export_model("reference:tiny", "onnx-int8", cache=folder / "cache").artifact.model_path


if __name__ == "__main__":
    sys.exit(main())
