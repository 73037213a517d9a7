"""Documents with values that nobody meant: Hypothesis draws them, and shrinks what a target does not refuse.

EDGEBENCH_FUZZ_EXAMPLES sets how many are drawn for each target.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.bounds import feed
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds_folder import seeds_of
from tests.fuzz.targets import TARGETS
from tests.needed import need

EXAMPLES = int(os.environ.get("EDGEBENCH_FUZZ_EXAMPLES", "25"))


@st.composite
def inputs(draw: st.DrawFn, name: str) -> bytes:
    """Draw a seed with some values changed or, of text, with some bytes replaced."""
    seed = draw(st.sampled_from([path.read_bytes() for path in seeds_of(name)]))
    random: Random = draw(st.randoms(use_true_random=False))
    changed = mutated(seed, TARGETS[name].syntax, random)
    if changed is not None:
        return changed
    at, length = draw(st.integers(0, len(seed))), draw(st.integers(0, 8))
    return seed[:at] + draw(st.binary(max_size=16)) + seed[at + length :]


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_documents(tmp_path: Path, name: str) -> None:
    need(*TARGETS[name].needs)
    TARGETS[name].prepare(tmp_path)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="EDGEBENCH_FUZZ_EXAMPLES" not in os.environ,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(name))
    def is_accepted_or_refused(data: bytes) -> None:
        feed(TARGETS[name], data, tmp_path)

    is_accepted_or_refused()
