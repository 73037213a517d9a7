"""Which wheels fit a board, how they are found, and that they are found again without the internet."""

from __future__ import annotations

import os
import sys
import time
import zipfile
from pathlib import Path

import pytest

from edgebench.board import BoardPython, SystemFacts
from edgebench.errors import BoardError, ConfigError, NoWheelFits
from edgebench.provision.wheel_targets import Target, check_wheel, platforms, target_of
from edgebench.provision.wheels import Wheel, WheelFolder, versions_of
from tests.agent.wheel_making import make_wheel

PI4 = Target(arch="aarch64", python=(3, 11), glibc=(2, 36))
BULLSEYE = Target(arch="aarch64", python=(3, 9), glibc=(2, 31))


def wheel(folder: Path, name: str, *, requires: str = "") -> Path:
    path = folder / name
    path.write_bytes(make_wheel({"thing.py": b"A = 1\n"}, requires=requires))
    return path


def test_every_manylinux_tag_up_to_the_boards_glibc_fits() -> None:
    tags = platforms(PI4)
    assert tags[0] == "manylinux_2_36_aarch64"
    assert {f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)} < set(tags)
    assert {"manylinux2014_aarch64", "linux_aarch64"} < set(tags)
    assert "manylinux_2_16_aarch64" not in tags
    assert "manylinux_2_32_aarch64" not in platforms(BULLSEYE)


def test_intel_has_the_older_tags_too() -> None:
    tags = platforms(Target(arch="x86_64", python=(3, 11), glibc=(2, 36)))
    assert {"manylinux1_x86_64", "manylinux2010_x86_64", "manylinux_2_5_x86_64"} < set(tags)


def test_a_32_bit_python_on_a_64_bit_kernel_is_a_32_bit_board() -> None:
    target = target_of(
        "pi4", SystemFacts(arch="aarch64", libc="glibc 2.36"), BoardPython("/usr/bin/python3", (3, 11, 2), 32)
    )
    assert target == Target(arch="armv7l", python=(3, 11), glibc=(2, 36))


@pytest.mark.parametrize("libc", ["musl", None, "glibc", "glibc x.y", "uclibc 1.0"])
def test_a_board_without_glibc_is_one_line(libc: str | None) -> None:
    with pytest.raises(BoardError, match=r"pi4: its C library is .*built for glibc only.*--system-python"):
        target_of("pi4", SystemFacts(arch="aarch64", libc=libc), BoardPython("/usr/bin/python3", (3, 11, 2), 64))


@pytest.mark.parametrize(
    "name",
    [
        "onnxruntime_gpu-1.20.0-cp311-cp311-linux_aarch64.whl",
        "onnxruntime-1.20.0-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        "psutil-7.2.2-cp36-abi3-manylinux2014_aarch64.whl",
        "packaging-26.3-py3-none-any.whl",
    ],
)
def test_a_wheel_that_fits_is_taken(tmp_path: Path, name: str) -> None:
    assert check_wheel(wheel(tmp_path, name), PI4) == name.split("-")[0].replace("_", "-")


@pytest.mark.parametrize(
    "name",
    [
        "onnxruntime-1.20.0-cp311-cp311-manylinux_2_28_x86_64.whl",  # another machine
        "onnxruntime-1.20.0-cp310-cp310-linux_aarch64.whl",  # another Python
        "onnxruntime-1.20.0-cp311-cp311-manylinux_2_38_aarch64.whl",  # a newer libc
        "onnxruntime-1.20.0-cp311-cp311-musllinux_1_2_aarch64.whl",  # another libc
        "onnxruntime-1.20.0-cp311-cp311-macosx_13_0_arm64.whl",
    ],
)
def test_a_wheel_that_does_not_fit_says_what_it_is_for_and_what_the_board_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_wheel(wheel(tmp_path, name), PI4)
    message = str(refused.value)
    assert name in message
    assert name.removesuffix(".whl").rpartition("-")[2] in message.partition("is made for")[2]
    assert "Python 3.11 on aarch64 with glibc 2.36" in message


@pytest.mark.parametrize("name", ["onnxruntime.whl", "onnxruntime-1.20.0.tar.gz", "a-b-c-d-e-f-g.whl"])
def test_a_file_that_is_not_named_as_a_wheel_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"not named as a wheel"):
        check_wheel(wheel(tmp_path, name), PI4)


@pytest.mark.parametrize("content", [b"", b"not a zip", make_wheel({})[:-100]])
def test_a_wheel_that_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"can't be read as a wheel"):
        check_wheel(path, PI4)


def test_versions_are_those_of_the_names() -> None:
    names = ["ai_edge_litert-2.3.0-cp311-cp311-linux_aarch64.whl", "numpy-2.4.6-cp311-cp311-linux_aarch64.whl"]
    assert versions_of([Wheel(name, "0" * 64, 1) for name in names]) == {"ai-edge-litert": "2.3.0", "numpy": "2.4.6"}


# --- pip itself, with an index that is a folder -----------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    return folder


def named(folder: Path, name: str, *, requires: str = "") -> None:
    """Put a wheel of that name there, whose content says the same."""
    package, version = name.split("-")[:2]
    info = f"{package}-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{requires}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def stocked(index: Path) -> Path:
    named(index, "tflite_runtime-2.13.0-cp39-cp39-manylinux2014_aarch64.whl", requires="Requires-Dist: numpy>=1.20\n")
    named(index, "tflite_runtime-2.14.0-cp39-cp39-manylinux_2_34_aarch64.whl", requires="Requires-Dist: numpy>=1.20\n")
    named(index, "numpy-1.26.4-cp39-cp39-manylinux_2_17_aarch64.whl")
    named(index, "numpy-2.0.2-cp39-cp39-manylinux_2_17_aarch64.whl")
    named(index, "psutil-7.2.2-cp36-abi3-manylinux2014_aarch64.whl")
    return index


def test_an_older_libc_gets_the_older_runtime_with_a_numpy_below_2(stocked: Path, tmp_path: Path) -> None:
    folder = WheelFolder(tmp_path / "cache")
    on_bullseye = versions_of(folder.resolve("tflite-runtime", BULLSEYE))
    assert on_bullseye == {"tflite-runtime": "2.13.0", "numpy": "1.26.4", "psutil": "7.2.2"}
    newer = Target(arch="aarch64", python=(3, 9), glibc=(2, 36))
    assert versions_of(folder.resolve("tflite-runtime", newer))["tflite-runtime"] == "2.14.0"


def test_a_second_time_nothing_is_asked_of_pip(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = WheelFolder(tmp_path / "cache")
    first = folder.resolve("tflite-runtime", BULLSEYE)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # pip would be started with it
    assert folder.resolve("tflite-runtime", BULLSEYE) == first
    with pytest.raises(BoardError):
        folder.resolve("tflite-runtime", BULLSEYE, upgrade=True)


def test_that_none_fits_is_remembered_until_an_upgrade(stocked: Path, tmp_path: Path) -> None:
    folder = WheelFolder(tmp_path / "cache")
    trixie = Target(arch="aarch64", python=(3, 13), glibc=(2, 41))
    with pytest.raises(NoWheelFits, match=r"tflite-runtime: no wheel fits Python 3.13 on aarch64 with glibc 2.41"):
        folder.resolve("tflite-runtime", trixie)
    for name in (
        "tflite_runtime-2.15.0-cp313-cp313-manylinux2014_aarch64.whl",
        "numpy-1.26.4-cp313-cp313-linux_aarch64.whl",
    ):
        named(stocked, name)
    with pytest.raises(NoWheelFits):
        folder.resolve("tflite-runtime", trixie)
    assert versions_of(folder.resolve("tflite-runtime", trixie, upgrade=True))["tflite-runtime"] == "2.15.0"


def test_that_none_fits_is_asked_again_after_a_week(
    stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = WheelFolder(tmp_path / "cache")
    trixie = Target(arch="aarch64", python=(3, 13), glibc=(2, 41))
    with pytest.raises(NoWheelFits):
        folder.resolve("tflite-runtime", trixie)
    for name in ("tflite_runtime-2.15.0-cp313-cp313-manylinux2014_aarch64.whl", "numpy-1.26.4-py3-none-any.whl"):
        named(stocked, name)
    (lock,) = (tmp_path / "cache" / "locks").glob("*.json")
    os.utime(lock, times=(time.time() - 8 * 86400,) * 2)
    with monkeypatch.context() as offline:
        offline.delenv("PIP_NO_INDEX")
        offline.delenv("PIP_FIND_LINKS")
        offline.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
        with pytest.raises(NoWheelFits):  # what was said before still stands
            folder.resolve("tflite-runtime", trixie)
    os.utime(lock, times=(time.time() - 8 * 86400,) * 2)
    assert versions_of(folder.resolve("tflite-runtime", trixie))["tflite-runtime"] == "2.15.0"


def test_a_kept_wheel_that_was_changed_is_fetched_again(stocked: Path, tmp_path: Path) -> None:
    folder = WheelFolder(tmp_path / "cache")
    wheels = folder.resolve("tflite-runtime", BULLSEYE)
    whole = folder.path(wheels[0]).read_bytes()
    folder.path(wheels[0]).write_bytes(whole[:-1] + b"?")
    assert folder.resolve("tflite-runtime", BULLSEYE) == wheels
    assert folder.path(wheels[0]).read_bytes() == whole


def test_what_is_required_on_the_boards_python_only_is_fetched_too(stocked: Path, tmp_path: Path) -> None:
    # pip looks at such conditions with this machine's Python, which is newer than the board's.
    condition = f"python_version < '{sys.version_info[0]}.{sys.version_info[1]}'"
    named(
        stocked,
        "tflite_runtime-2.13.1-cp39-cp39-manylinux2014_aarch64.whl",
        requires=f"Requires-Dist: backport>=1; {condition}\nRequires-Dist: never; sys_platform == 'win32'\n",
    )
    named(stocked, "backport-1.0-py3-none-any.whl")
    assert versions_of(WheelFolder(tmp_path / "cache").resolve("tflite-runtime", BULLSEYE)) == {
        "tflite-runtime": "2.13.1",
        "backport": "1.0",
        "numpy": "1.26.4",
        "psutil": "7.2.2",
    }


def test_a_wheel_of_ones_own_stands_in_for_the_runtime(stocked: Path, tmp_path: Path) -> None:
    named(stocked, "numpy-2.0.2-cp310-cp310-manylinux_2_17_aarch64.whl")
    named(tmp_path, "onnxruntime_gpu-1.20.0-cp310-cp310-linux_aarch64.whl", requires="Requires-Dist: numpy\n")
    own = tmp_path / "onnxruntime_gpu-1.20.0-cp310-cp310-linux_aarch64.whl"
    orin = Target(arch="aarch64", python=(3, 10), glibc=(2, 35))
    found = versions_of(WheelFolder(tmp_path / "cache").resolve("onnxruntime", orin, own=[own]))
    assert found == {"onnxruntime-gpu": "1.20.0", "numpy": "2.0.2", "psutil": "7.2.2"}


def test_without_internet_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    with pytest.raises(BoardError, match=r"can't be downloaded: .*--download DIR") as refused:
        WheelFolder(tmp_path / "cache").resolve("onnxruntime", PI4)
    assert not isinstance(refused.value, NoWheelFits)
    assert "\n" not in str(refused.value)


def test_a_folder_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BoardError, match=r"can't keep wheels in .*--download DIR"):
        WheelFolder(tmp_path / "file" / "cache").resolve("onnxruntime", PI4)
