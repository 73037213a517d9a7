"""One store for all tests of this folder, which only read it."""

from __future__ import annotations

import pytest

from edgebench import Store
from tests.reporting.exchange.sample_store import full_store


@pytest.fixture(scope="session")
def exported_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return full_store(tmp_path_factory.mktemp("exchange"))
