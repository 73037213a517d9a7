"""Profiles of boards, the boards of edgebench.toml, and addresses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgebench.artifact import Format
from edgebench.device import (
    Device,
    config_paths,
    configured_devices,
    find_device,
    format_address,
    load_profile,
    parse_address,
    profile_names,
    profiles_folder,
    read_devices,
    read_profile,
)
from edgebench.errors import ConfigError, UnknownName

RASPBERRY_PIS = ("pi3", "pi4", "pi5", "pi-zero-2w")
JETSONS = ("jetson-nano", "jetson-xavier-nx", "jetson-orin-nano", "jetson-agx-orin")


@pytest.fixture(autouse=True)
def own_user_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a user's folder of settings that is its own; return the file in it (not made)."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user-config"))
    return tmp_path / "user-config" / "edgebench" / "edgebench.toml"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- profiles ---------------------------------------------------------------------------------------------------


def test_the_promised_profiles_are_there() -> None:
    assert set(profile_names()) == {*RASPBERRY_PIS, *JETSONS, "local", "generic-linux"}


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.title
    assert "onnxruntime" in profile.runtimes
    assert "thermal" in profile.sensors
    assert profile.threads <= (profile.cores or 0)


@pytest.mark.parametrize("name", [*RASPBERRY_PIS, *JETSONS])
def test_every_board_profile_states_what_the_vendor_sells(name: str) -> None:
    profile = load_profile(name)
    assert profile.arch == "aarch64"
    assert profile.cpu
    assert profile.cores
    assert {"fp", "asimd", "crc32"} <= set(profile.isa)
    assert profile.memory_bytes == tuple(sorted(profile.memory_bytes)) != ()
    assert all(size % (512 << 20) == 0 for size in profile.memory_bytes)
    assert len(profile.os) == len(profile.python) > 0
    assert profile.source
    assert bool(profile.gpu) == (name in JETSONS)


@pytest.mark.parametrize("name", profile_names())
def test_every_list_in_a_profile_names_a_thing_once(name: str) -> None:
    profile = load_profile(name)
    for slot in dataclasses.fields(profile):
        value = getattr(profile, slot.name)
        if isinstance(value, tuple):
            assert len(set(value)) == len(value), slot.name


def test_a_pi_4_has_neither_aes_nor_int8_products_and_a_pi_5_has_both() -> None:
    assert not {"aes", "asimddp"} & set(load_profile("pi4").isa)
    assert {"aes", "asimddp"} <= set(load_profile("pi5").isa)


@pytest.mark.parametrize("name", profile_names())
def test_the_default_format_is_int8_on_the_cpu_and_fp16_on_a_gpu(name: str) -> None:
    profile = load_profile(name)
    assert profile.default_format == (Format.ONNX_FP16 if profile.providers else Format.ONNX_INT8)


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'jetson-orin-nano'"):
        load_profile("jetson-orin-nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("coress = 4", "unknown key 'coress'; did you mean 'cores'"),
        ("cores = '4'", "cores must be a whole number, got '4'"),
        ("cores = true", "cores must be a whole number, got True"),
        ("isa = 'fp'", "isa must be a list, got 'fp'"),
        ("isa = ['fp', 4]", r"isa\[1\] must be text, got 4"),
        ("gpu = ['one']", "gpu must be text"),
    ],
)
def test_a_wrong_key_or_type_in_a_profile_is_an_error(tmp_path: Path, change: str, message: str) -> None:
    lines = (profiles_folder() / "generic-linux.toml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_profile(write(tmp_path / "mine.toml", f"{change}\n{lines}"))


def test_a_profile_that_lacks_keys_says_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine\.toml lacks memory_bytes, os, .*threads, sensors, source"):
        read_profile(write(tmp_path / "mine.toml", 'title = "Mine"\n'))


def test_a_profile_with_an_unknown_default_format_is_an_error(tmp_path: Path) -> None:
    text = (profiles_folder() / "generic-linux.toml").read_text(encoding="utf-8").replace("onnx-int8", "onnx")
    with pytest.raises(ConfigError, match="default_format must be one of onnx-fp32, onnx-fp16, onnx-int8"):
        read_profile(write(tmp_path / "mine.toml", text))


# --- boards -----------------------------------------------------------------------------------------------------


def test_a_board_has_the_settings_of_its_table(tmp_path: Path) -> None:
    path = write(
        tmp_path / "edgebench.toml",
        """
        [device.kitchen]
        profile = "pi5"
        host = "kitchen.local"
        user = "pi"
        port = 2222
        identity_file = "~/.ssh/kitchen"
        python = "/home/pi/bench/bin/python"
        host_key = "ssh-ed25519 AAAAC3Nz"
        """,
    )
    board = configured_devices(folder=tmp_path)["kitchen"]
    assert board == Device(
        name="kitchen",
        profile=load_profile("pi5"),
        host="kitchen.local",
        user="pi",
        port=2222,
        identity_file="~/.ssh/kitchen",
        python="/home/pi/bench/bin/python",
        host_key="ssh-ed25519 AAAAC3Nz",
        origin=str(path),
    )
    assert board.address == "pi@kitchen.local:2222"


def test_a_board_named_like_a_profile_has_that_profile_and_any_other_the_generic_one(tmp_path: Path) -> None:
    write(tmp_path / "edgebench.toml", "[device.pi4]\nhost = 'a'\n[device.shed]\nhost = 'b'\n")
    boards = configured_devices(folder=tmp_path)
    assert boards["pi4"].profile.name == "pi4"
    assert boards["shed"].profile.name == "generic-linux"
    assert find_device("pi4", folder=tmp_path) == boards["pi4"]


def test_the_projects_entry_hides_the_users_of_the_same_name(tmp_path: Path, own_user_config: Path) -> None:
    write(own_user_config, "[device.pi4]\nhost = 'users'\n[device.pi5]\nhost = 'users'\n")
    project = write(tmp_path / "edgebench.toml", "[device.pi4]\nhost = 'projects'\n")
    boards = configured_devices(folder=tmp_path)
    assert (boards["pi4"].host, boards["pi4"].origin) == ("projects", str(project))
    assert (boards["pi5"].host, boards["pi5"].origin) == ("users", str(own_user_config))
    assert config_paths(folder=tmp_path) == [project, own_user_config]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[device.a]\nhots = 'x'", r"\[device.a\]: unknown key 'hots'; did you mean 'host'"),
        ("[devices.a]\nhost = 'x'", "unknown key 'devices'; did you mean 'device'"),
        ("[device.a]\nhost = 'x'\nport = '22'", "port must be a whole number, got '22'"),
        ("[device.a]\nhost = 'x'\nport = true", "port must be a whole number, got True"),
        ("[device.a]\nhost = 'x'\nport = 70000", "port must be 1..65535, got 70000"),
        ("[device.a]\nuser = 'x'", r"\[device.a\] lacks host; try: edgebench device add a"),
        ("[device.a]\nhost = 'pi@x'", "'pi@x' is not a host name or address"),
        ("[device.a]\nhost = '-oProxyCommand=x'", "is not a host name or address"),
        ("[device.a]\nhost = 'x:22'", "'x:22' is not a host name or address"),
        ("[device.a]\nhost = ''", "'' is not a host name or address"),
        ("[device.a]\nhost = 'x'\npython = ''", "python must not be empty"),
        ("[device.a]\nhost = 'x'\nhost_key = 'SHA256:abc'", "host_key must look like 'ssh-ed25519 AAAA...'"),
        ("[device.a]\nhost = 'x'\nprofile = 'pi44'", "unknown device profile 'pi44'; did you mean 'pi4'"),
        ("[device.local]\nhost = 'x'", "'local' is this machine"),
        ("[device.'a b']\nhost = 'x'", "a device's name has letters"),
        ("device = 3", r"\[device.NAME\] tables expected"),
        ("[device]\na = 3", r"\[device.a\] is not a table"),
        ("[device.a\nhost = 'x'", "is not valid TOML"),
    ],
)
def test_a_wrong_file_of_settings_is_an_error_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "edgebench.toml", text)
    with pytest.raises((ConfigError, UnknownName), match=message) as caught:
        read_devices(path)
    assert str(path) in str(caught.value)


def test_a_file_of_settings_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "edgebench.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read_devices(tmp_path / "edgebench.toml")


def test_local_is_this_machine_whatever_is_configured(tmp_path: Path) -> None:
    board = find_device("local", folder=tmp_path)
    assert board.is_local
    assert board.address == ""


def test_a_profile_without_an_address_says_the_command_that_adds_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="edgebench device add pi4 --host USER@HOST"):
        find_device("pi4", folder=tmp_path)


def test_an_unknown_device_names_the_nearest_board(tmp_path: Path) -> None:
    write(tmp_path / "edgebench.toml", "[device.greenhouse]\nhost = 'x'\n")
    with pytest.raises(UnknownName, match="unknown device 'greenhuose'; did you mean 'greenhouse'"):
        find_device("greenhuose", folder=tmp_path)


# --- addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pi4.local", (None, "pi4.local", None)),
        ("pi@pi4.local", ("pi", "pi4.local", None)),
        ("pi@10.0.0.4:2222", ("pi", "10.0.0.4", 2222)),
        ("::1", (None, "::1", None)),
        ("pi@[::1]", ("pi", "::1", None)),
        ("[::1]:22", (None, "::1", 22)),
        ("pi@[fe80::1%eth0]:22", ("pi", "fe80::1%eth0", 22)),
        ("me@work@host", ("me@work", "host", None)),
    ],
)
def test_an_address_is_read(text: str, expected: tuple[str | None, str, int | None]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@host",
        "pi@",
        "host:",
        "host:0",
        "host:65536",
        "host:ssh",
        "host: 22",
        "host:²",
        "[::1",
        "[::1]22",
        "[host]:22",
        "[0:]",
        "[a:b]:22",
        "1::2::3",
        "[]:22",
        "-oProxyCommand=x",
        "pi@-host",
        "-l@host",
        "a b",
        "pi@ho st",
        "host/path",
        "ssh://host",
        "host\n",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        parse_address(text)


words = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
hosts = words | st.ip_addresses().map(str)


@given(user=st.none() | words, host=hosts, port=st.none() | st.integers(1, 65535))
def test_every_address_that_is_written_is_read_back(user: str | None, host: str, port: int | None) -> None:
    assert parse_address(format_address(user, host, port)) == (user, host, port)


@given(st.text(max_size=40) | st.text("@:[]a1-.% \n", max_size=20))
@example("[0:]")
def test_any_text_is_an_address_that_a_device_takes_or_a_config_error(text: str) -> None:
    try:
        user, host, port = parse_address(text)
    except ConfigError:
        return
    device = Device(name="it", profile=load_profile("generic-linux"), user=user, host=host, port=port)
    assert parse_address(device.address) == (user, host, port)
