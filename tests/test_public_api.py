"""What is public: the exact names, each documented, and typed well enough for a script under `mypy --strict`."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgebench

SCRIPT = Path(__file__).with_name("typed_script.py")
#: A name that is taken away or renamed breaks scripts of users; a new one is a promise.
PUBLIC = [
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


def test_the_public_names_are_exactly_these() -> None:
    assert list(edgebench.__all__) == PUBLIC
    assert dir(edgebench) == sorted(PUBLIC)
    assert (Path(edgebench.__file__).with_name("py.typed")).is_file()


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in ("__version__", "Event")])
def test_a_public_name_is_documented_and_typed(name: str) -> None:
    value = getattr(edgebench, name)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")  # the docstring that a dataclass makes up
    if inspect.isfunction(value):
        signature = inspect.signature(value)
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds
        assert signature.return_annotation is not inspect.Signature.empty
        annotations = [parameter.annotation for parameter in signature.parameters.values()]
        assert not {"Any", inspect.Parameter.empty} & set(annotations)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgebench.nothing  # noqa: B018


def test_a_script_that_uses_all_of_it_is_typed() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert set(re.findall(r"\bedgebench\.(\w+)", text)) >= set(PUBLIC)
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed (extra: dev)")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(SCRIPT)],
        cwd=SCRIPT.parents[1], capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
