"""Search for inputs that are not refused as they should be: python -m tests.fuzz [TARGET ...] [--seconds N] [--seed S].

atheris draws the inputs, guided by the lines of edgebench and of its agent that they reach, from the seeds on. A
finding does not end the search: its input is kept as seeds/TARGET/found-HASH, one for each place in the code. The exit
status is 1 if there were findings.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys

from tests.fuzz.seeds_folder import known_targets


def main() -> int:
    """Search for so long in each target, one after the other; print a line for each."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Search for inputs that are not refused as they should be."
    )
    parser.add_argument("targets", metavar="TARGET", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    known = known_targets()
    for name in options.targets:
        if name not in known:
            print(f"unknown target {name!r}; known: {', '.join(known)}", file=sys.stderr)
            return 2
    if importlib.util.find_spec("atheris") is None:
        print("fuzzing needs atheris; try: pip install 'edgebench[fuzz]'", file=sys.stderr)
        return 2
    from tests.fuzz.search import search_all

    return 1 if search_all(options.targets or known, seconds=options.seconds, seed=options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
