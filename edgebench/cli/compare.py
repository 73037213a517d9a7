"""edgebench compare: two measurements -> ratio, interval, verdict."""

from __future__ import annotations

from pathlib import Path

import click

from edgebench.cli.output import (
    check_json_target,
    console,
    json_option,
    store_option,
    to_stdout,
    verbosity_options,
    write_json,
)
from edgebench.errors import ConfigError

GATE_FAILED = 3
_FAILING = ("slower", "worse", "inconclusive")


@click.command("compare")
@click.argument("baseline", metavar="A")
@click.argument("candidate", metavar="B")
@click.option("--margin", type=float, default=0.03, show_default=True, help="Within ±margin is equivalent.")
@click.option("--level", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--allow", multiple=True, metavar="NAME", help="Compare although this differs (repeatable): governor ...")
@click.option("--fail-on", metavar="V[,V...]", help=f"Exit with 3 on these verdicts: {', '.join(_FAILING)}.")
@store_option
@json_option
@verbosity_options
def command(
    baseline: str,
    candidate: str,
    margin: float,
    level: float,
    allow: tuple[str, ...],
    fail_on: str | None,
    store: Path,
    json_target: str | None,
) -> int:
    """Say whether B is faster, slower or the same as A: measurements by id, or variants by name, NAME or NAME:FORMAT.

    \b
    Example:
      edgebench compare xnli-english xnli-multilingual --margin 0.02
    """
    from edgebench.comparison import compare_pairs, find_pairs
    from edgebench.store import Store

    check_json_target(json_target)
    failing = [name.strip() for name in fail_on.split(",")] if fail_on else []
    unknown = [name for name in failing if name not in _FAILING]
    if unknown:
        raise ConfigError(f"--fail-on knows {', '.join(_FAILING)}, not {unknown[0]!r}")
    pairs = find_pairs(Store(store), baseline, candidate)
    comparisons = compare_pairs(pairs, margin=margin, level=level, allow=allow)
    documents = [comparison.to_json() for comparison in comparisons]
    write_json(json_target, documents[0] if len(documents) == 1 else {"comparisons": documents})
    if to_stdout(json_target):
        from edgebench.report.comparison import comparison_parts

        for part in comparison_parts(comparisons):
            console().print(part, markup=False)
    return GATE_FAILED if any(each.latency.verdict in failing for each in comparisons) else 0
