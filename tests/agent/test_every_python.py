"""One whole run with each runtime on every Python that an agent may meet and that this machine has."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgebench_agent.protocol import Done, Hello, Outputs
from tests.agent.agent_board import AgentBoard, of
from tests.agent.wheel_making import make_wheel

VERSIONS = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]
ENVIRONMENTS = Path(__file__).parents[2] / ".venv" / "agent-pythons"


def interpreters(version: str) -> Iterator[str]:
    """Yield what may be a Python of that version: on the PATH (perhaps pyenv's shim), and in pyenv's own folder."""
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from (str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python")))


def works(python: str, version: str) -> bool:
    """Say whether this is a Python of that version that runs."""
    told = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    return told.returncode == 0 and told.stdout.startswith(f"Python {version}.")


def environment_with_runtime(python: str, folder: Path) -> Path:
    """Return the interpreter of a virtual environment that has what the agent needs; made once and kept."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(folder.suffix + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / ".complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            install = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-compile", "--retries", "1"]
            for command in ([python, "-m", "venv", str(folder)], [*install, "numpy", "onnxruntime"]):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-300:]}")
            complete.touch()
    return folder / "bin/python"


@pytest.fixture(scope="session", params=VERSIONS)
def board_python(request: pytest.FixtureRequest) -> str:
    """An interpreter of each version, with numpy and onnxruntime."""
    version: str = request.param
    python = next((found for found in interpreters(version) if works(found, version)), None)
    if python is None:
        pytest.skip(f"this machine has no Python {version} that works")
    return str(environment_with_runtime(python, ENVIRONMENTS / version))


@pytest.mark.long
def test_the_agent_measures_and_infers_on_every_python(board_python: str, tiny_model: bytes, tmp_path: Path) -> None:
    board = AgentBoard(tmp_path, board_python)
    probed = board.reply("probe", "--runtime", "onnxruntime")
    assert probed["runtimes"]["onnxruntime"]["ok"], probed["runtimes"]

    null = board.run(board.spec())
    assert isinstance(null[0], Hello)
    assert isinstance(null[-1], Done)

    measured = board.run(board.model_spec(tiny_model, [5, 3]))
    assert measured[0].board["python"] == probed["board"]["python"]
    assert measured[0].libraries == probed["runtimes"]["onnxruntime"]["libraries"]
    assert (type(measured[-1]), measured[-1].count) == (Done, 50)

    inferred = board.run(board.model_spec(tiny_model, [5, 3], mode="infer"))
    assert of(Outputs, inferred)[0].names == ["embedded", "same_attention_mask"]
    assert isinstance(inferred[-1], Done)

    wheels = [{"name": "thing.whl", "sha256": board.push(make_wheel({"thing.py": b"VALUE = 7\n"}))}]
    made = board.reply("install", input=json.dumps({"environment": "a" * 64, "wheels": wheels}).encode() + b"\n")
    said = subprocess.run(
        [made["python"], "-I", "-c", "import thing; print(thing.VALUE)"], capture_output=True, check=True
    )
    assert said.stdout == b"7\n"

    assert board.reply("clean", "--older-than-s", 0)["ok"]
    assert board.reply("remove")["left"] == []
    assert not board.home.exists()
