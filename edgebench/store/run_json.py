"""run.json: a run and the measurement that it belongs to, without the trace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edgebench._version import __version__
from edgebench.analysis import figures_of, summarise_run
from edgebench.artifact import Artifact
from edgebench.facts import DeviceFacts, RunFacts
from edgebench.measurement import FORMAT_VERSION, Subject, Truncation
from edgebench.prediction import Prediction
from edgebench.reason import reasons_from_json, texts_of
from edgebench.run import Memory, Overhead, Run, RunFigures, Trace
from edgebench.variant import Variant


def run_to_json(subject: Subject, run: Run) -> dict[str, Any]:
    """Return the document."""
    return {
        "format_version": FORMAT_VERSION,
        "edgebench_version": __version__,
        "planned_runs": subject.planned_runs,
        "looks": subject.looks,
        "overhead_us": asdict(subject.overhead_us) if subject.overhead_us is not None else None,
        "seed": subject.seed,
        **({"truncated": asdict(subject.truncated)} if subject.truncated is not None else {}),
        "extends": subject.extends,
        "prediction": subject.prediction.to_json() if subject.prediction is not None else None,
        "subject": {
            "id": subject.id,
            "session": subject.session,
            "variant": subject.variant.to_json(),
            "artifact": subject.artifact.to_json(),
            "device": subject.device.to_json(),
            "workload": dict(subject.workload),
            "label": subject.label,
        },
        "run": {
            "id": run.id,
            "started_at": run.started_at,
            "valid": run.valid,
            "judged": run.judged,
            "load_ns": run.load_ns,
            "first_ns": run.first_ns,
            "facts": run.facts.to_json(),
            "tokens": run.tokens,
            "inferences": run.inferences,
            "reasons": texts_of(run.reasons),
            "reason_codes": [str(reason.code) for reason in run.reasons],
            "cut": [list(each) for each in run.excluded_spans],
            "memory": asdict(run.memory),
            "latencies_count": len(run.latencies_ns),
            "latency_ms": summarise_run(run).to_json_of_run(),
            "figures": asdict(figures_of(run)),
        }
        | ({"beside": dict(run.log_ratios)} if run.log_ratios else {}),
    }


def subject_from_json(document: Mapping[str, Any]) -> Subject:
    """Return the measurement that a run belongs to.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, EdgebenchError: the document is none.
    """
    values = document["subject"]
    overhead, truncated = document.get("overhead_us"), document.get("truncated")
    predicted = document.get("prediction")
    return Subject(
        id=values["id"],
        session=values["session"],
        variant=Variant.from_json(values["variant"]),
        artifact=Artifact.from_json(values["artifact"]),
        device=DeviceFacts.from_json(values["device"]),
        workload=dict(values["workload"]),
        label=values["label"],
        planned_runs=document["planned_runs"],
        looks=document.get("looks", 1),
        overhead_us=Overhead.from_json(overhead) if overhead else None,
        seed=document.get("seed"),
        truncated=Truncation.from_json(truncated) if truncated is not None else None,
        extends=document.get("extends"),
        prediction=Prediction.from_json(predicted) if predicted is not None else None,
    )


def run_from_json(document: Mapping[str, Any]) -> Run:
    """Return the run, with an empty trace.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the document is none.
    """
    values = document["run"]
    figures = values.get("figures")
    return Run(
        id=values["id"],
        started_at=values["started_at"],
        trace=_empty_trace(),
        load_ns=values["load_ns"],
        first_ns=values["first_ns"],
        memory=Memory(**values["memory"]),
        facts=RunFacts.from_json(values["facts"]),
        tokens=values["tokens"],
        inferences=values["inferences"],
        reasons=reasons_from_json(values["reasons"], values.get("reason_codes")),
        judged=values.get("judged"),
        excluded_spans=tuple((int(began), int(ended)) for began, ended in values.get("cut", ())),
        figures=RunFigures.from_json(figures) if figures else None,
        log_ratios={str(other): float(ratio) for other, ratio in values.get("beside", {}).items()},
    )


def _empty_trace() -> Trace:
    import numpy as np

    none = np.empty(0, np.int64)
    return Trace(
        starts_ns=none,
        latencies_ns=none,
        items=none,
        warmup_starts_ns=none,
        warmup_latencies_ns=none,
        warmup_items=none,
    )
