"""A new user's first day, step by step: read it from top to bottom. A real SSH server stands for the Raspberry Pi.

The user has two checkpoints, some XNLI data and edgebench installed, adds and sets up a board, profiles both, compares,
evaluates, runs a study, exports, uses the Python API, and puts it all into a CI job. Models are tiny and runs short.
Takes some two minutes.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgebench
from tests.board.ssh_board import SshBoard, write_key
from tests.docs.test_examples_run import PASSWORD, write_checkpoint
from tests.evaluation.conftest import NLI, texts, write_xnli
from tests.needed import need
from tests.schemas import check_schema
from tests.walk.user import DONE_OR_NOT_VALID, User

EXAMPLES = Path(__file__).parents[2] / "examples"
SHORT = "--runs 2 --min-count 20 --min-duration 0.05 --no-overhead"

STUDY = """
devices = ["pi4"]
formats = ["onnx-int8"]

[study]
name = "intermediate training"
overhead = false
cold = false

[plan]
runs = 2
min_count = 20
min_duration_s = 0.05

[[variant]]
name = "xnli-english"
model = "runs/xnli-english"

[[variant]]
name = "xnli-multi"
model = "runs/xnli-multi"

[[workload]]
lang = ["sw"]

[[task]]
name = "xnli"
data = "download"
lang = ["sw"]

[[contrast]]
name = "multilingual against English"
baseline = { name = "xnli-english" }
candidate = { name = "xnli-multi" }
"""


@pytest.fixture
def project(
    ssh_board: SshBoard, client_home: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The user's folder: checkpoints, data, a key, and `pi.local` in ~/.ssh/config."""
    need("torch")
    folder = tmp_path / "project"
    write_checkpoint(folder / "runs" / "xnli-english")
    shutil.copytree(folder / "runs" / "xnli-english", folder / "runs" / "xnli-multi")
    pairs = list(zip(texts(0, 30), texts(10, 30), strict=True))
    write_xnli(folder / "download", "sw", pairs, [NLI[at % 3] for at in range(30)])
    ssh_board.server.password = PASSWORD  # type: ignore[attr-defined]  # this kind of server has one
    ssh_config = f"Host pi.local\n  HostName 127.0.0.1\n  Port {ssh_board.proxy.port}\n"
    (client_home / ".ssh" / "config").write_text(ssh_config)
    public = write_key(client_home / ".ssh" / "id_ed25519")
    (client_home / ".ssh" / "id_ed25519.pub").write_text(public + "\n")
    # The board's own python3 is the one that runs the tests: it has a runtime.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("EDGEBENCH_CACHE", str(cache))
    monkeypatch.delenv("EDGEBENCH_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.long
@pytest.mark.export
def test_a_new_users_first_day(
    project: Path, ssh_board: SshBoard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user = User(monkeypatch, capsys)

    # --- Is it installed, and what can it do? -----------------------------------------------------------------------
    user.types("edgebench --version")
    user.sees(edgebench.__version__)
    user.types("edgebench --help")
    user.sees("profile", "evaluate", "compare", "device", "Example:")

    # --- Add the board: the password once, then the key ---------------------------------------------------------------
    key = ssh_board.server.host_key
    user.types(
        f'edgebench device add pi4 --host pi@pi.local --copy-id --password-stdin --host-key "{key}"', password=PASSWORD
    )
    assert "[device.pi4]" in Path("edgebench.toml").read_text()
    assert PASSWORD not in Path("edgebench.toml").read_text()
    user.types("edgebench device list")
    user.sees("pi4", "pi.local")

    # --- Set it up, and is it fit to measure? -------------------------------------------------------------------------
    user.types("edgebench device setup pi4 --system-python --runtime onnxruntime")
    user.sees("onnxruntime")
    user.types("edgebench device check pi4 --json check.json", ends_with=(0, 1))
    findings = json.loads(Path("check.json").read_text())["findings"]
    (runtime,) = [each for each in findings if each["what"] == "onnxruntime"]
    assert runtime["state"] == "ok"

    # --- Profile two variants, interleaved ----------------------------------------------------------------------------
    user.types(
        "edgebench profile --device pi4 --model runs/xnli-english --model runs/xnli-multi --lang sw --format onnx-int8 "
        f"{SHORT} --json result.json",
        ends_with=DONE_OR_NOT_VALID,
    )
    user.is_told("measuring 2 rows, 4 runs: about")  # how long it takes, before it starts
    user.sees("pi4 · sw", "xnli-english", "xnli-multi", "p50", "inputs", "load", "valid")
    assert max(map(len, user.text.splitlines())) <= 200  # a pipe; in a terminal, its width
    result = json.loads(Path("result.json").read_text())
    check_schema(result, "profile")
    first, second = result["measurements"]
    assert first["latency_ms"]["p50"] and first["variant"]["name"] == "xnli-english"
    assert [len(each["runs"]) >= 2 for each in (first, second)] == [True, True]

    # --- Which is faster? ---------------------------------------------------------------------------------------------
    user.types("edgebench compare xnli-english xnli-multi", ends_with=DONE_OR_NOT_VALID)
    if not user.told.startswith("edgebench:"):  # else too few runs counted, and a line says so
        user.sees("xnli-multi onnx-int8", "latency", "ratio", "95 %")

    # --- And is it as good? -------------------------------------------------------------------------------------------
    user.types("edgebench evaluate --device pi4 --model runs/xnli-multi --task xnli --lang sw --data download")
    user.sees("XNLI", "accuracy", "sw", "p50", "latency: of an example", "tokens", "1 of 15 languages (partial)")
    user.types("edgebench evaluate --device pi4 --model runs/xnli-multi --task xnli --lang sw --data download")
    user.is_told("in the store already")  # a second time costs nothing

    # --- What is stored? ----------------------------------------------------------------------------------------------
    user.types("edgebench runs list")
    user.sees(first["id"], second["id"])
    user.types(f"edgebench runs show {second['id']}")
    user.sees(second["id"], "onnx-int8", "sw", second["artifact"]["sha256"][:40])  # a hash takes two lines

    # --- A study: the matrix in a file, and its report ----------------------------------------------------------------
    Path("STUDY.toml").write_text(STUDY)
    user.types("edgebench study status STUDY.toml")
    user.types("edgebench study run STUDY.toml", ends_with=DONE_OR_NOT_VALID)
    user.types("edgebench study report STUDY.toml --markdown report.md", ends_with=DONE_OR_NOT_VALID)
    report = Path("report.md").read_text()
    assert "multilingual against English" in report
    assert "xnli" in report

    # --- The raw latencies, for a notebook ----------------------------------------------------------------------------
    user.types("edgebench runs export --to csv --out latencies.csv")
    with Path("latencies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 80
    assert {row["variant"] for row in rows} == {"xnli-english", "xnli-multi"}
    assert all(int(row["latency_ns"]) > 0 for row in rows)

    # --- The same from Python -----------------------------------------------------------------------------------------
    monkeypatch.setenv("EDGEBENCH_STORE", str(project / "results"))
    measurements = edgebench.profile(
        ["runs/xnli-english", "runs/xnli-multi"],
        device="pi4",
        format="onnx-int8",
        workload=edgebench.Workload(lang="sw"),
        plan=edgebench.RunPlan(runs=2, min_count=20, min_duration_s=0.05),
        alternate=True,
        overhead=False,
        cold=False,
    )
    assert [each.subject.variant.name for each in measurements] == ["xnli-english", "xnli-multi"]
    assert "xnli-english onnx-int8 on pi4" in repr(measurements[0])
    assert len(repr(measurements[0])) < 500
    stored = edgebench.open_store().measurements(device="pi4")
    assert {each.id for each in stored} == {each.id for each in measurements}
    assert measurements[0].runs[0].latencies_ns.dtype == "int64"
    monkeypatch.delenv("EDGEBENCH_STORE")

    # --- Every night in CI --------------------------------------------------------------------------------------------
    job = subprocess.run(
        ["sh", str(EXAMPLES / "ci" / "profile.sh"), "nightly.json", "--lang", "sw", *SHORT.split(), "--no-cold"],
        env={**os.environ, "MODEL": "runs/xnli-multi", "DEVICE": "pi4", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert job.returncode in DONE_OR_NOT_VALID, job.stderr
    check_schema(json.loads(Path("nightly.json").read_text()), "profile")
    assert "\x1b[" not in job.stdout + job.stderr

    # --- And when something is mistyped, a line says what to try ------------------------------------------------------
    user.types("edgebench profile --device pi44 --model runs/xnli-multi", ends_with=(2,))
    user.is_told("edgebench:", "pi4")
    user.types("edgebench profile --device pi4 --model runs/xnli-mutli", ends_with=(1, 2))
    user.is_told("runs/xnli-mutli")
