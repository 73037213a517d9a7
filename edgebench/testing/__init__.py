"""Fakes for tests, of edgebench and of other projects: a network that misbehaves, and a board that is simulated.

Nothing comes in; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgebench.testing.network import FaultyProxy, LoopThread
    from edgebench.testing.simulated_board import Disturbance, SimulatedBoard, simulated_subject

_HOMES = {
    "Disturbance": "simulated_board",
    "FaultyProxy": "network",
    "LoopThread": "network",
    "SimulatedBoard": "simulated_board",
    "simulated_subject": "simulated_board",
}

__all__ = ["Disturbance", "FaultyProxy", "LoopThread", "SimulatedBoard", "simulated_subject"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgebench.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"edgebench.testing.{_HOMES[name]}"), name)
