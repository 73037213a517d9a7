"""Benchmark multilingual models on edge boards. Public names; each is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgebench._version import __version__

if TYPE_CHECKING:
    from edgebench.analysis.comparison import Comparison, compare
    from edgebench.analysis.evaluation import Evaluation
    from edgebench.analysis.score_comparison import PairedComparison
    from edgebench.analysis.tuning import Tuned
    from edgebench.artifact import Artifact, Format
    from edgebench.benches.bench import start_bench
    from edgebench.benches.scheduler import Scheduler
    from edgebench.board.device_config import add_device, remove_device
    from edgebench.board.lease_reply import Holder
    from edgebench.board.transport.ssh import fetch_host_key, install_public_key
    from edgebench.ci_recipes import CiRecipe, write_ci_recipe
    from edgebench.device import Device, DeviceProfile, find_device, list_devices, list_profiles
    from edgebench.errors import (
        AgentError,
        AuthenticationError,
        BoardBusy,
        BoardError,
        CheckpointError,
        ConfigError,
        ConnectionFailed,
        ConnectionLost,
        DeviceError,
        EdgebenchError,
        ExportError,
        HostKeyError,
        LeaseLost,
        MissingExtra,
        NotComparable,
        NotValid,
        NoWheelFits,
        ParityError,
        PasswordRefused,
        RunFailed,
        ScoresError,
        StoreError,
        TooFewRuns,
        UnknownName,
        UsageError,
    )
    from edgebench.evaluation.evaluator import evaluate
    from edgebench.evaluation.format_comparison import FormatResult, compare_formats
    from edgebench.events import Event, LogMessage
    from edgebench.export import Exported, export_model
    from edgebench.figures import Score
    from edgebench.gating import (
        Baseline,
        Budget,
        BudgetResult,
        GateHistory,
        GateResult,
        GateVerdict,
        accept_baseline,
        gate,
        gate_history,
        read_budgets,
    )
    from edgebench.measure.extension import extend
    from edgebench.measure.parallel import BoardResult, run_sessions
    from edgebench.measure.plan import plan_export
    from edgebench.measure.profiling import profile
    from edgebench.measure.session import profile_all, resume
    from edgebench.measure.tune import tune
    from edgebench.measurement import Measurement
    from edgebench.planning.plans import ExportPlan
    from edgebench.prediction import Prediction
    from edgebench.provision.checkup import Checkup, check_device
    from edgebench.provision.maintenance import Cleanup, Release, Removal, clean_device, release_device, remove_setup
    from edgebench.provision.plan import SetupPlan
    from edgebench.provision.setup import Setup, set_up_device, set_up_for
    from edgebench.reason import Reason, ReasonCode
    from edgebench.reporting.exchange import ExportedResults, export_results
    from edgebench.reporting.html import plot, report
    from edgebench.reporting.study import study_markdown
    from edgebench.request import Request
    from edgebench.run import Run
    from edgebench.store.bringing import bring_from
    from edgebench.store.comparison import compare_stored
    from edgebench.store.opening import open_store
    from edgebench.store.store import Store
    from edgebench.store.stored_documents import SyncResult
    from edgebench.study import (
        Study,
        StudyBenchStatus,
        StudyReport,
        StudyStatus,
        read_study,
        run_study,
        study_bench_status,
        study_report,
        study_status,
    )
    from edgebench.variant import IntermediateTask, Lineage, TrainingKind, Variant
    from edgebench.workload import Padding, RunPlan, Scenario, Workload
    from edgebench.xtreme_r.importer_formats import Provenance
    from edgebench.xtreme_r.importers import ImportedScores, import_scores
    from edgebench.xtreme_r.retrieval import read_parallel
    from edgebench.xtreme_r.score_files import read_scores, write_scores
    from edgebench.xtreme_r.scores import ScoreRow
    from edgebench.xtreme_r.scoring import FolderScores, score_predictions

#: Module -> its public names.
_HOMES = {
    "analysis.comparison": ("Comparison", "compare"),
    "analysis.evaluation": ("Evaluation",),
    "analysis.score_comparison": ("PairedComparison",),
    "analysis.tuning": ("Tuned",),
    "artifact": ("Artifact", "Format"),
    "benches.bench": ("start_bench",),
    "benches.scheduler": ("Scheduler",),
    "board.device_config": ("add_device", "remove_device"),
    "board.lease_reply": ("Holder",),
    "board.transport.ssh": ("fetch_host_key", "install_public_key"),
    "ci_recipes": ("CiRecipe", "write_ci_recipe"),
    "device": ("Device", "DeviceProfile", "find_device", "list_devices", "list_profiles"),
    "errors": (
        "AgentError",
        "AuthenticationError",
        "BoardBusy",
        "BoardError",
        "CheckpointError",
        "ConfigError",
        "ConnectionFailed",
        "ConnectionLost",
        "DeviceError",
        "EdgebenchError",
        "ExportError",
        "HostKeyError",
        "LeaseLost",
        "MissingExtra",
        "NoWheelFits",
        "NotComparable",
        "NotValid",
        "ParityError",
        "PasswordRefused",
        "RunFailed",
        "ScoresError",
        "StoreError",
        "TooFewRuns",
        "UnknownName",
        "UsageError",
    ),
    "evaluation.evaluator": ("evaluate",),
    "evaluation.format_comparison": ("FormatResult", "compare_formats"),
    "events": ("Event", "LogMessage"),
    "export": ("Exported", "export_model"),
    "figures": ("Score",),
    "gating": (
        "Baseline",
        "Budget",
        "BudgetResult",
        "GateHistory",
        "GateResult",
        "GateVerdict",
        "accept_baseline",
        "gate",
        "gate_history",
        "read_budgets",
    ),
    "measure.extension": ("extend",),
    "measure.parallel": ("BoardResult", "run_sessions"),
    "measure.plan": ("plan_export",),
    "measure.profiling": ("profile",),
    "measure.session": ("profile_all", "resume"),
    "measure.tune": ("tune",),
    "measurement": ("Measurement",),
    "planning.plans": ("ExportPlan",),
    "prediction": ("Prediction",),
    "provision.checkup": ("Checkup", "check_device"),
    "provision.maintenance": ("Cleanup", "Release", "Removal", "clean_device", "release_device", "remove_setup"),
    "provision.plan": ("SetupPlan",),
    "provision.setup": ("Setup", "set_up_device", "set_up_for"),
    "reason": ("Reason", "ReasonCode"),
    "reporting.exchange": ("ExportedResults", "export_results"),
    "reporting.html": ("plot", "report"),
    "reporting.study": ("study_markdown",),
    "request": ("Request",),
    "run": ("Run",),
    "store.bringing": ("bring_from",),
    "store.comparison": ("compare_stored",),
    "store.opening": ("open_store",),
    "store.store": ("Store",),
    "store.stored_documents": ("SyncResult",),
    "study": (
        "Study",
        "StudyBenchStatus",
        "StudyReport",
        "StudyStatus",
        "read_study",
        "run_study",
        "study_bench_status",
        "study_report",
        "study_status",
    ),
    "variant": ("IntermediateTask", "Lineage", "TrainingKind", "Variant"),
    "workload": ("Padding", "RunPlan", "Scenario", "Workload"),
    "xtreme_r.importer_formats": ("Provenance",),
    "xtreme_r.importers": ("ImportedScores", "import_scores"),
    "xtreme_r.retrieval": ("read_parallel",),
    "xtreme_r.score_files": ("read_scores", "write_scores"),
    "xtreme_r.scores": ("ScoreRow",),
    "xtreme_r.scoring": ("FolderScores", "score_predictions"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AgentError",
    "Artifact",
    "AuthenticationError",
    "Baseline",
    "BoardBusy",
    "BoardError",
    "BoardResult",
    "Budget",
    "BudgetResult",
    "CheckpointError",
    "Checkup",
    "CiRecipe",
    "Cleanup",
    "Comparison",
    "ConfigError",
    "ConnectionFailed",
    "ConnectionLost",
    "Device",
    "DeviceError",
    "DeviceProfile",
    "EdgebenchError",
    "Evaluation",
    "Event",
    "ExportError",
    "ExportPlan",
    "Exported",
    "ExportedResults",
    "FolderScores",
    "Format",
    "FormatResult",
    "GateHistory",
    "GateResult",
    "GateVerdict",
    "Holder",
    "HostKeyError",
    "ImportedScores",
    "IntermediateTask",
    "LeaseLost",
    "Lineage",
    "LogMessage",
    "Measurement",
    "MissingExtra",
    "NoWheelFits",
    "NotComparable",
    "NotValid",
    "Padding",
    "PairedComparison",
    "ParityError",
    "PasswordRefused",
    "Prediction",
    "Provenance",
    "Reason",
    "ReasonCode",
    "Release",
    "Removal",
    "Request",
    "Run",
    "RunFailed",
    "RunPlan",
    "Scenario",
    "Scheduler",
    "Score",
    "ScoreRow",
    "ScoresError",
    "Setup",
    "SetupPlan",
    "Store",
    "StoreError",
    "Study",
    "StudyBenchStatus",
    "StudyReport",
    "StudyStatus",
    "SyncResult",
    "TooFewRuns",
    "TrainingKind",
    "Tuned",
    "UnknownName",
    "UsageError",
    "Variant",
    "Workload",
    "__version__",
    "accept_baseline",
    "add_device",
    "bring_from",
    "check_device",
    "clean_device",
    "compare",
    "compare_formats",
    "compare_stored",
    "evaluate",
    "export_model",
    "export_results",
    "extend",
    "fetch_host_key",
    "find_device",
    "gate",
    "gate_history",
    "import_scores",
    "install_public_key",
    "list_devices",
    "list_profiles",
    "open_store",
    "plan_export",
    "plot",
    "profile",
    "profile_all",
    "read_budgets",
    "read_parallel",
    "read_scores",
    "read_study",
    "release_device",
    "remove_device",
    "remove_setup",
    "report",
    "resume",
    "run_sessions",
    "run_study",
    "score_predictions",
    "set_up_device",
    "set_up_for",
    "start_bench",
    "study_bench_status",
    "study_markdown",
    "study_report",
    "study_status",
    "tune",
    "write_ci_recipe",
    "write_scores",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'edgebench' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"edgebench.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
