"""Benchmark multilingual models on edge boards. Public names; each is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgebench._version import __version__

if TYPE_CHECKING:
    from edgebench.analysis.comparison import Comparison, compare
    from edgebench.analysis.evaluation import Evaluation
    from edgebench.analysis.pairing import ScoredMeasurement, join_scores
    from edgebench.artifact import Artifact, Format
    from edgebench.device import Device, DeviceProfile, find_device
    from edgebench.errors import EdgebenchError
    from edgebench.evaluation.evaluator import evaluate
    from edgebench.evaluation.format_comparison import compare_formats
    from edgebench.export import export_model
    from edgebench.figures import Score
    from edgebench.measure.session import profile
    from edgebench.measurement import Measurement
    from edgebench.run import Run
    from edgebench.store.store import Store
    from edgebench.variant import Lineage, Variant
    from edgebench.workload import RunPlan, Scenario, Workload

_HOMES = {
    "Artifact": "artifact",
    "Comparison": "analysis.comparison",
    "Device": "device",
    "DeviceProfile": "device",
    "EdgebenchError": "errors",
    "Evaluation": "analysis.evaluation",
    "Format": "artifact",
    "Lineage": "variant",
    "Measurement": "measurement",
    "ScoredMeasurement": "analysis.pairing",
    "Run": "measurement",
    "RunPlan": "workload",
    "Scenario": "workload",
    "Score": "measurement",
    "Store": "store.store",
    "Variant": "variant",
    "Workload": "workload",
    "compare": "analysis.comparison",
    "compare_formats": "evaluation.format_comparison",
    "evaluate": "evaluation.evaluator",
    "export_model": "export",
    "find_device": "device",
    "join_scores": "analysis.pairing",
    "profile": "measure.session",
}

__all__ = [
    "Artifact",
    "Comparison",
    "Device",
    "DeviceProfile",
    "EdgebenchError",
    "Evaluation",
    "Format",
    "Lineage",
    "Measurement",
    "Run",
    "RunPlan",
    "Scenario",
    "Score",
    "ScoredMeasurement",
    "Store",
    "Variant",
    "Workload",
    "__version__",
    "compare",
    "compare_formats",
    "evaluate",
    "export_model",
    "find_device",
    "join_scores",
    "profile",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgebench' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"edgebench.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
