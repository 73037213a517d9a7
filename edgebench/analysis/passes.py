"""Passes: a run goes over all of its inputs again and again, and only complete passes count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgebench.run import Run, Trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def complete_passes(run: Run) -> Run:
    """Return what counts of a run: without what is excluded, and of that the complete passes over the inputs.

    Texts differ in length, and each must weigh the same. The run is returned as it is where a pass has one batch, where
    not even one pass was completed (`has_no_complete_pass`; such a run does not count), and where the run does not
    record its inputs (stored by an older edgebench). Where something is excluded, or other models had their inferences
    in between, later inferences move up, as if that time had not been.
    """
    run = _moved_up(_without_excluded(run))
    sizes, tokens = batch_contents(run)
    kept = len(run.latencies_ns) // len(sizes) * len(sizes) if sizes else 0
    if kept in (0, len(run.latencies_ns)):
        return run
    passes = kept // len(sizes)
    return replace(
        run,
        trace=_inferences(run.trace, slice(kept)),
        inferences=passes * sum(sizes),
        tokens=passes * sum(tokens),
    )


def _without_excluded(run: Run) -> Run:
    import numpy as np

    if not run.excluded_spans:
        return run
    is_excluded, trace = run.is_excluded, run.trace
    # The excluded time: from the first excluded inference to the next one that is kept. Later ones move up by it.
    steps = np.diff(trace.starts_ns, append=trace.starts_ns[-1:])
    gone = np.cumsum(np.where(is_excluded, steps, 0)) - np.where(is_excluded, steps, 0)
    kept = _inferences(replace(trace, starts_ns=trace.starts_ns - gone), ~is_excluded)
    sizes, tokens = (np.asarray(column, np.int64) for column in batch_contents(run))
    if not len(sizes):  # a run that does not record what its batches were: all alike
        share = len(kept.items) / len(trace.items)
        return replace(
            run,
            trace=kept,
            inferences=round(share * run.inferences),
            tokens=round(share * run.tokens),
            excluded_spans=(),
        )
    return replace(
        run,
        trace=kept,
        inferences=int(sizes[kept.items].sum()),
        tokens=int(tokens[kept.items].sum()),
        excluded_spans=(),
    )


def _moved_up(run: Run) -> Run:
    """Return a run of a model that alternated with others as if each inference had followed on the one before."""
    import numpy as np

    if not run.alternates or not len(run.trace.starts_ns):
        return run
    taken = np.cumsum(run.trace.latencies_ns)
    starts = run.trace.starts_ns[0] + taken - run.trace.latencies_ns
    return replace(run, trace=replace(run.trace, starts_ns=starts))


def _inferences(trace: Trace, which: slice | NDArray[np.bool_]) -> Trace:
    return replace(
        trace, starts_ns=trace.starts_ns[which], latencies_ns=trace.latencies_ns[which], items=trace.items[which]
    )


def has_no_complete_pass(run: Run) -> bool:
    """Whether a run ended before each of its inputs was run once."""
    sizes, _ = batch_contents(run)
    return len(run.latencies_ns) < len(sizes)


def batches_of_a_pass(run: Run) -> int:
    """Return how many distinct batches a run had; 1 where it does not record them."""
    return max(1, len(batch_contents(run)[0]))


def inputs_of_a_pass(run: Run) -> int:
    """Return how many distinct inputs a run had; 0 where it does not record them."""
    return sum(batch_contents(run)[0])


def batch_contents(run: Run) -> tuple[Sequence[int], Sequence[int]]:
    """Return the inputs and the tokens of each distinct batch of a run; both empty where it does not record them."""
    sizes, tokens = run.facts.batch_sizes, run.facts.batch_tokens
    if sizes is None or tokens is None or not len(sizes) == len(tokens) == run.facts.batches:
        return (), ()
    return sizes, tokens


def duration_ns(run: Run) -> int:
    """Wall time from the first timed inference's start to the last one's end, at least a nanosecond."""
    trace = run.trace
    return max(1, int(trace.starts_ns[-1]) + int(trace.latencies_ns[-1]) - int(trace.starts_ns[0]))
