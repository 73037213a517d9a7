"""What an evaluation's answers cost on the board: latency, tokens, padding, energy; by example."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgebench.analysis import disturbers, energy_of, reasons_against_one_pass
from edgebench.evaluation_result import LanguageCost
from edgebench.reason import ReasonCode
from edgebench.run import Run
from edgebench.stats import quantiles
from edgebench.xtreme_r import Examples, TaskInputs, fertility_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MS = 1e6  # nanoseconds in a millisecond


def cost_of_answers(
    examples: Examples,
    inputs: TaskInputs,
    run: Run,
    *,
    tokenizer: Tokenizer,
    batch: int,
    english_tokens: float | None,
) -> LanguageCost:
    """Return the cost of a run that answered examples in batches of `batch`.

    Args:
        inputs: the examples as the model got them; an example may have several sequences.
        english_tokens: mean tokens of the examples' English counterparts, None if unknown.
    """
    count = len(examples)
    split = fertility_of(tokenizer, examples)
    energy = energy_of(run)
    padded = run.facts.batch_padded_tokens
    return LanguageCost(
        examples=count,
        inferences=len(inputs.owners),
        batch=batch,
        latency_ms=_latency_ms(run, inputs, batch),
        tokens=sum(map(len, inputs.sequences)) / count,
        padded_tokens=sum(padded) / count if padded is not None else None,
        buckets=run.facts.lengths or (),
        truncated=inputs.truncated,
        fertility=split.fertility if split else None,
        continued_words=split.continued if split else None,
        words=split.words if split else None,
        energy_j=None if isinstance(energy, str) else energy.per_inference * len(inputs.owners) / count,
        energy_absent=energy if isinstance(energy, str) else None,
        english_tokens=english_tokens,
        latency_reasons=_latency_reasons(run),
    )


def _latency_reasons(run: Run) -> tuple[str, ...]:
    """Return why the latencies do not count, with the processes that worked meanwhile."""
    reasons = reasons_against_one_pass(run)
    who = disturbers([replace(run, reasons=reasons)])
    return tuple(
        f"{reason.text} (most: {who})" if who and reason.code is ReasonCode.OTHERS_WORKED else reason.text
        for reason in reasons
    )


def _latency_ms(run: Run, inputs: TaskInputs, batch: int) -> dict[str, float | None]:
    """Return mean, p50, p95 and max by example, or by batch if a batch has several."""
    import numpy as np

    latencies = run.trace.latencies_ns
    if batch == 1:
        of_items = np.zeros(len(inputs.owners), np.int64)
        of_items[run.trace.items] = latencies
        latencies = np.zeros(max(inputs.owners) + 1, np.int64)
        np.add.at(latencies, inputs.owners, of_items)
    p50, p95 = quantiles(latencies, (0.5, 0.95))
    figures = {"mean": float(latencies.mean()), "p50": p50, "p95": p95, "max": float(latencies.max())}
    return {name: value / _MS if value is not None else None for name, value in figures.items()}
