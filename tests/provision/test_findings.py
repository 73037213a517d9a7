"""What `device setup` says of a board, from what boards tell, and which of its Pythons it takes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench.artifact import Format
from edgebench.board import BoardFacts, BoardPython, find_pythons
from edgebench.board.transport import open_transport
from edgebench.device import Device, find_device, load_profile
from edgebench.errors import BoardError, ConfigError
from edgebench.export.parity import BOUNDS
from edgebench.provision.findings import Finding, State, board_findings
from edgebench.provision.plan import SetupPlan
from edgebench.provision.setup import set_up_device
from edgebench.provision.trial import distance_between

NOW_S = 1_800_000_000.0
ORIN: dict[str, Any] = {
    "model": "NVIDIA Jetson Orin Nano Developer Kit",
    "arch": "aarch64",
    "os": "Ubuntu 22.04.5 LTS",
    "vendor_release": "L4T 36.4.3",
    "libc": "glibc 2.35",
    "cpu_features": ["asimd", "fp"],
    "memory_bytes": 7_990_000_000,
    "disk_free_bytes": 20_000_000_000,
    "wall_clock_s": int(NOW_S) + 20,
}


def findings(pythons: Sequence[BoardPython] = (), **facts: Any) -> dict[str, Finding]:
    return {
        finding.what: finding for finding in board_findings(BoardFacts.from_report(ORIN | facts), pythons, now_s=NOW_S)
    }


def test_what_a_board_is_stands_in_the_table() -> None:
    found = findings([BoardPython("/usr/bin/python3.10", (3, 10, 12), 64)])
    assert {finding.state for finding in found.values()} == {State.OK}
    assert "L4T 36.4.3 (JetPack 6)" in found["board"].seen
    assert found["Python"].seen == "3.10.12 at /usr/bin/python3.10"
    assert found["libc"].seen == "glibc 2.35"
    assert found["memory"].seen == "7,990 MB"
    assert findings(vendor_release="Raspberry Pi reference 2024-07-04")["board"].seen.endswith("2024-07-04")


@pytest.mark.parametrize(("off_s", "seen"), [(-365 * 86400, "365.0 days behind"), (2 * 86400, "2.0 days ahead")])
def test_a_clock_that_is_off_is_noted_with_what_mends_it(off_s: int, seen: str) -> None:
    clock = findings(wall_clock_s=int(NOW_S) + off_s)["clock"]
    assert (clock.seen, clock.state) == (seen, State.WARN)
    assert "timedatectl" in (clock.fix or "")
    assert f"sudo date -s @{NOW_S:.0f}" in (clock.fix or "")  # which needs no internet


@pytest.mark.parametrize("nonsense", [None, -1, 1.5, True, [], {}, "\x1b[2J"])
def test_nonsense_from_a_board_is_no_crash(nonsense: Any) -> None:
    found = findings(**dict.fromkeys(ORIN, nonsense))
    assert all(finding.seen.isprintable() for finding in found.values())


# --- Pythons ----------------------------------------------------------------------------------------------------


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def pythons_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[BoardPython]:
    monkeypatch.setenv("PATH", str(path))
    with open_transport(find_device("local")) as transport:
        return find_pythons(transport)


def answer(path: str, version: Sequence[int]) -> str:
    return f"""echo '{{"path": "{path}", "version": {list(version)}, "bits": 64}}'"""


def test_every_python_that_runs_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "python3", answer("/usr/bin/python3.6", (3, 6, 9)))
    script(tmp_path, "python3.6", answer("/usr/bin/python3.6", (3, 6, 9)))
    script(tmp_path, "python3.9", "exit 1")  # a shim of nothing
    script(tmp_path, "python3.10", "echo nonsense")
    script(tmp_path, "python3.11", f'exec {sys.executable} "$@"')
    found = pythons_on(tmp_path, monkeypatch)
    assert [python.version[:2] for python in found] == [(3, 6), sys.version_info[:2]]
    assert [python.is_new_enough for python in found] == [False, True]
    # Of a virtual environment, the Python that it was made of.
    assert found[1].path == str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def test_no_python_at_all_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BoardError, match=r"there is no Python 3 on the board; .*sudo apt install python3"):
        pythons_on(tmp_path, monkeypatch)


@pytest.mark.parametrize("told", ['{"path": "python3"}', '{"path": "/p", "version": [3, 11]}', '["x"]', "{}"])
def test_what_is_not_the_answer_of_a_python_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    script(tmp_path, "python3", f"echo '{told}'")
    with pytest.raises(BoardError):
        pythons_on(tmp_path, monkeypatch)


# --- plans ------------------------------------------------------------------------------------------------------


def test_a_plan_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leave `wheels` out"):
        SetupPlan(system_python=True, wheels=(tmp_path / "a.whl",))


def test_a_device_with_a_python_of_the_users_choice_is_left_alone() -> None:
    device = Device(name="pi4", profile=load_profile("pi4"), host="10.0.0.4", python="bench/bin/python")
    with pytest.raises(ConfigError, match=r"edgebench\.toml says python = 'bench/bin/python'"):
        set_up_device(device, SetupPlan())


# --- numbers ----------------------------------------------------------------------------------------------------


def test_the_distance_of_numbers_is_the_largest_difference_and_the_smallest_cosine() -> None:
    ours = [{"logits": np.array([[3.0, 4.0]])}, {"logits": np.array([[1.0, 0.0]])}]
    theirs = [{"logits": np.array([[3.0, 4.5]])}, {"logits": np.array([[1.0, 1.0]])}]
    distance = distance_between(ours, theirs)
    assert distance.max_abs_diff == 1.0
    assert distance.cosine == pytest.approx(2**-0.5)
    assert not distance.is_within(BOUNDS[Format.ONNX_INT8])
    assert distance_between(ours, ours).is_within(BOUNDS[Format.ONNX_FP32])


@pytest.mark.parametrize(
    "theirs",
    [
        [],
        [{}],
        [{"logits": np.zeros((1, 3))}],
        [{"logits": np.array([[np.nan, 1.0]])}],
        [{"logits": np.zeros((1, 2))}],
        [{"logits": np.array([[-1.0, -2.0]])}],
    ],
)
def test_answers_that_are_not_comparable_are_far_off(theirs: list[dict[str, Any]]) -> None:
    distance = distance_between([{"logits": np.array([[1.0, 2.0]])}], theirs)
    assert not distance.is_within(BOUNDS[Format.ONNX_INT8])
