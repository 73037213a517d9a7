"""Runs of an MLflow tracking server: one for each measurement, however often it is exported."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from edgebench.errors import EdgebenchError, MissingExtra, UsageError
from edgebench.measurement import Measurement
from edgebench.reason import State
from edgebench.reporting.exchange.entries import Entry
from edgebench.reporting.exchange.json_text import json_text
from edgebench.text import printable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

#: The tag by which a measurement is found again.
_ID_TAG = "edgebench.measurement"
_DOCUMENT = "measurement.json"
_LONGEST_PARAMETER = 500
_OUTSIDE_A_KEY = re.compile(r"[^\w./ -]")
#: A server that does not answer is tried so often, not MLflow's seven times in four minutes.
_RETRIES = "2"

Outcome = Literal["new", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Tracking:
    """An experiment of a tracking server. `known`: its runs by the ids of the measurements that they have."""

    client: MlflowClient
    experiment_id: str
    uri: str
    known: dict[str, MlflowRun]

    def export(self, measurement: Measurement, entry: Entry) -> Outcome:
        """Write a measurement: to a new run, or what is new of it to the run that has it.

        Raises:
            EdgebenchError: the server refuses it, or does not answer.
        """
        with _translated(self.uri):
            kept = self.known.get(entry.subject.id)
            run = kept or self._create(entry)
            is_changed = self._add(run, measurement, entry)
            if is_changed:
                # FAILED marks what does not count where runs are listed; the tag `edgebench.state` says it exactly.
                status = "FAILED" if entry.state is State.NOT_VALID else "FINISHED"
                self.client.set_terminated(run.info.run_id, status=status, end_time=_ended_ms(measurement, entry))
        if kept is None:
            return "new"
        return "changed" if is_changed else "unchanged"

    def _create(self, entry: Entry) -> MlflowRun:
        return self.client.create_run(
            self.experiment_id,
            start_time=_ms(entry.started_at),
            tags={_ID_TAG: entry.subject.id},
            run_name=printable(entry.name, limit=250),
        )

    def _add(self, run: MlflowRun, measurement: Measurement, entry: Entry) -> bool:
        from mlflow.entities import Metric, Param, RunTag

        data = run.data
        metrics = {key: value for key, value in _metrics(entry).items() if data.metrics.get(key) != value}
        tags = {key: text for key, text in _tags(measurement, entry).items() if data.tags.get(key) != text}
        parameters = {key: text for key, text in _parameters(entry).items() if key not in data.params}
        if not (metrics or tags or parameters):
            return False
        at_ms = _ms(entry.started_at)
        for some in _portions([Metric(key, value, at_ms, 0) for key, value in metrics.items()]):
            self.client.log_batch(run.info.run_id, metrics=some)
        self.client.log_batch(
            run.info.run_id,
            params=[Param(key, text) for key, text in parameters.items()],
            tags=[RunTag(key, text) for key, text in tags.items()],
        )
        self.client.log_text(run.info.run_id, json_text(measurement.to_json()), _DOCUMENT)
        return True


def open_tracking(uri: str | None, experiment: str) -> Tracking:
    """Return an experiment of a server, made if there is none. uri None: $MLFLOW_TRACKING_URI.

    Raises:
        MissingExtra: the extra `mlflow` is not installed.
        UsageError: there is no URI.
        EdgebenchError: the server refuses, or does not answer.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise UsageError("no tracking server is named", hint="name one: `tracking_uri='http://HOST:5000'` or a folder")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # exporting results is no reason to report elsewhere
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    if uri.startswith("file:") or "://" not in uri:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 asks for it; the user named a folder
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise MissingExtra(error.name or "mlflow", "mlflow", "an export to MLflow") from error
    with _translated(uri):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri if "://" not in uri else None)
        known = client.get_experiment_by_name(experiment)
        id = known.experiment_id if known is not None else client.create_experiment(experiment)
        return Tracking(client, id, uri, dict(_known_runs(client, id)))


def _known_runs(client: MlflowClient, experiment_id: str) -> Iterator[tuple[str, MlflowRun]]:
    """Yield the runs that an export made. All at once: a folder reads every run for each search."""
    token = None
    while True:
        page = client.search_runs([experiment_id], f"tags.`{_ID_TAG}` LIKE '%'", max_results=1000, page_token=token)
        yield from ((run.data.tags[_ID_TAG], run) for run in page)
        token = page.token
        if not token:
            return


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError, ValueError) as error:
        why = str(error).partition("\n")[0]
        raise EdgebenchError(
            printable(_without_passwords(f"MLflow at {uri}: {why}")),
            hint="check `tracking_uri`, and that the server runs",
        ) from error


def _without_passwords(text: str) -> str:
    """Return text whose URLs have neither user nor password: MLflow's own messages repeat them."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def _portions(metrics: list[Any]) -> Iterator[list[Any]]:
    for at in range(0, len(metrics), 500):
        yield metrics[at : at + 500]


def _metrics(entry: Entry) -> dict[str, float]:
    found: dict[str, float] = {}
    for figure in entry.figures:
        found[figure.key] = float(figure.value)
        if figure.interval is not None:
            found[f"{figure.key}_ci_low"], found[f"{figure.key}_ci_high"] = map(float, figure.interval)
    scores = {f"score/{each.task}/{each.lang}/{each.metric}": float(each.value) for each in entry.scores}
    return found | {_OUTSIDE_A_KEY.sub("_", key)[:250]: value for key, value in scores.items()}


def _parameters(entry: Entry) -> dict[str, str]:
    """Return what was measured. MLflow never changes a parameter, and nor does a measurement."""
    subject = entry.subject
    device = subject.device
    values: Mapping[str, Any] = {
        "variant": subject.variant.name,
        "source": subject.variant.source,
        "parameters": subject.variant.parameters,
        "format": str(subject.artifact.format),
        "artifact_sha256": subject.artifact.sha256,
        "device": device.name,
        "device_profile": device.profile,
        "device_model": device.model,
        "runtime": device.runtime,
        "runtime_version": device.runtime_version,
        "workload": subject.label,
        **{f"workload.{name}": value for name, value in subject.workload.items()},
        "planned_runs": subject.planned_runs,
    }
    return {name: _parameter(value) for name, value in values.items() if value is not None}


def _parameter(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()[:_LONGEST_PARAMETER]


def _tags(measurement: Measurement, entry: Entry) -> dict[str, str]:
    tags = {"edgebench.state": str(entry.state), "edgebench.session": entry.subject.session}
    if entry.doubts:
        tags["edgebench.reasons"] = printable(entry.doubts, limit=4000)
    if measurement.tags:
        tags["edgebench.tags"] = " ".join(measurement.tags)
    return tags


def _ended_ms(measurement: Measurement, entry: Entry) -> int:
    """Return when the last run began, the last moment that is recorded on the host's clock."""
    return _ms(max((run.started_at for run in measurement.runs), default=entry.started_at))


def _ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)
