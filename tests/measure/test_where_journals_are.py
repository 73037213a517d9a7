"""Where a session's runs keep their journals while they go on, and that the result says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgebench
from edgebench.errors import ConfigError, UnknownName
from edgebench.request import Request, request_from_json, request_to_json
from edgebench.store import Store
from edgebench.study import read_study
from edgebench.workload import RunPlan
from edgebench_agent.storage.journal_place import is_on_tmpfs
from tests.measure.test_scenarios import command


@pytest.mark.skipif(
    not is_on_tmpfs(Path("/dev/shm")) or is_on_tmpfs(Path.cwd()), reason="needs a tmpfs at /dev/shm, and a disk"
)
@pytest.mark.parametrize(("journal", "storage"), [("memory", "tmpfs"), ("disk", "disk")])
def test_runs_keep_their_journals_where_the_session_says(
    tiny_onnx: Path, tmp_path: Path, journal: str, storage: str
) -> None:
    plan = ["--runs", "1", "--min-count", "20", "--min-duration", "0", "--no-overhead", "--no-cold"]
    store = tmp_path / "store"
    done = command("profile", "--model", tiny_onnx, "--journal", journal, *plan, "--store", store)
    assert done.returncode in (0, 4), done.stderr
    (measurement,) = Store(store).measurements()
    shown = " ".join(command("runs", "show", measurement.id, "--store", store).stdout.split())
    assert ("a reboot loses it" in shown) == (journal == "memory")
    assert [run.facts.journal_on for run in measurement.runs] == [storage] * len(measurement.runs)


def test_a_session_remembers_where_its_journals_are() -> None:
    request = Request(device=edgebench.find_device("local"), journal="disk", plan=RunPlan())
    written = json.loads(json.dumps(request_to_json(request)))
    assert written["journal"] == "disk"
    assert request_from_json(written) == request
    assert "journal" not in request_to_json(Request(device=request.device))  # older versions can read it


def test_another_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown journal 'card'"):
        Request(device=edgebench.find_device("local"), journal="card")
    study = tmp_path / "STUDY.toml"
    study.write_text(
        'devices = ["local"]\n[study]\nname = "s"\njournal = "card"\n[[variant]]\nname = "v"\nmodel = "m"\n'
    )
    with pytest.raises(ConfigError, match="unknown journal 'card'"):
        read_study(study)
    study.write_text(study.read_text().replace("card", "disk"))
    assert read_study(study).journal == "disk"
