"""Seeds and found cases: each is accepted, or refused in one line, in bounded time and memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.bounds import feed
from tests.fuzz.seeds_folder import SEEDS, cases_of, known_targets, seeds_of
from tests.fuzz.targets import TARGETS
from tests.needed import need

CASES = [(name, path.name) for name in TARGETS for path in cases_of(name)]


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda part: str(part))
def test_case(tmp_path: Path, name: str, case: str) -> None:
    need(*TARGETS[name].needs)
    TARGETS[name].prepare(tmp_path)
    feed(TARGETS[name], (SEEDS / name / case).read_bytes(), tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_a_seed_is_accepted(tmp_path: Path, name: str) -> None:
    """Else a search would see nothing but the first refusal."""
    need(*TARGETS[name].needs)
    TARGETS[name].prepare(tmp_path)
    assert any(feed(TARGETS[name], path.read_bytes(), tmp_path) for path in seeds_of(name))


def test_every_folder_of_seeds_has_a_target() -> None:
    assert known_targets() == sorted(TARGETS)
