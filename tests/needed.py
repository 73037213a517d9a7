"""What tests need to have installed, looked for and not imported: torch would cost each process seconds to collect."""

from __future__ import annotations

import importlib.util

import pytest


def need(*modules: str) -> None:
    """Skip the module of tests, or the test, that calls this where one of some modules is not installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed", allow_module_level=True)
