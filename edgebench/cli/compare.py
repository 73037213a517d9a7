"""edgebench compare: two measurements -> ratio, interval, verdict."""

from __future__ import annotations

from pathlib import Path

import click
import cloup
from cloup import option, option_group

from edgebench.cli.options import output_options, scores_option
from edgebench.cli.output import check_json_target, console, to_stdout, write_json
from edgebench.errors import ConfigError, TooFewRuns

GATE_FAILED = 3
_FAILING = ("slower", "worse", "inconclusive")


@cloup.command("compare")
@click.argument("baseline", metavar="A")
@click.argument("candidate", metavar="B")
@option_group(
    "What to compare, and how to judge",
    option(
        "--session",
        multiple=True,
        metavar="ID",
        help="Session to compare in: an ID, latest or previous. Given twice: A's, then B's. [default: the latest that "
        "has both]",
    ),
    option("--margin", type=float, default=0.03, show_default=True, help="Latencies within ±margin are equivalent."),
    option("--level", type=float, default=0.95, show_default=True, help="Confidence level of the intervals."),
    option("--score-margin", type=float, default=1.0, show_default=True, help="Scores within ±points are comparable."),
    option("--allow", multiple=True, metavar="NAME", help="Compare although this differs: governor ... Repeatable."),
    option(
        "--allow-variant-scores",
        is_flag=True,
        help="Also use scores of another file of the variant, labelled as such.",
    ),
    scores_option,
    option("--fail-on", metavar="V[,V...]", help=f"Exit with 3 on these verdicts: {', '.join(_FAILING)}."),
)
@output_options
def command(
    baseline: str,
    candidate: str,
    session: tuple[str, ...],
    margin: float,
    level: float,
    score_margin: float,
    allow_variant_scores: bool,
    allow: tuple[str, ...],
    fail_on: str | None,
    scores: Path | None,
    store: str,
    json_target: str | None,
) -> int:
    """Say whether B is faster, slower or the same as A, and whether it still scores as well.

    A and B are measurements by id, variants by name, NAME or NAME:FORMAT, or result files of `profile --json`. Scores
    are those that `edgebench evaluate` stored for the timed files. What --scores has of a variant, task and language is
    used instead; such a file has no results per example, so there is a difference without an interval. Scores with
    caveats are marked with !.

    \b
    Example:
      edgebench compare xnli-english xnli-multilingual --scores scores.csv
    """
    from edgebench.analysis import comparison_document
    from edgebench.cli.hints import as_options
    from edgebench.reporting import PlainTable, comparison_parts
    from edgebench.store import Store, compare_stored

    check_json_target(json_target)
    failing = [name.strip() for name in fail_on.split(",")] if fail_on else []
    unknown = [name for name in failing if name not in _FAILING]
    if unknown:
        raise ConfigError(f"--fail-on knows {', '.join(_FAILING)}, not {unknown[0]!r}")
    comparisons = compare_stored(
        baseline,
        candidate,
        store=Store(store),
        scores=scores,
        margin=margin,
        level=level,
        score_margin=score_margin,
        allow=allow,
        allow_variant_scores=allow_variant_scores,
        session=session,
    )
    write_json(json_target, comparison_document(comparisons))
    if to_stdout(json_target):
        for part in comparison_parts(comparisons):
            # A sentence may end with a command, which no line break may cut.
            shown = as_options(part) if isinstance(part, str) else part
            console().print(shown, markup=False, soft_wrap=not isinstance(part, PlainTable))
    unmeasured = [each.comparison for each in comparisons if each.comparison.latency.ratio is None]
    if unmeasured:
        raise TooFewRuns(unmeasured[0].verdict)
    return GATE_FAILED if any(each.verdicts() & set(failing) for each in comparisons) else 0
