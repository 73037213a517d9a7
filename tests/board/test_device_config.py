"""Writing boards into edgebench.toml."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.board.device_config import add_device, write_device
from edgebench.device import DEVICE_KEYS, device_from_table, read_devices
from edgebench.errors import ConfigError, UnknownName

BEFORE = """\
# The boards of the lab.

[device.shed]  # behind the door
host = "10.0.0.7"   # static lease
user = 'pi'

# Not mine: ask before you measure.
[device.orin]
profile = "jetson-orin-nano"
host = "orin.lab"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edgebench.toml"
    path.write_text(BEFORE, encoding="utf-8")
    return path


def test_a_board_is_added_by_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    board = add_device("pi4", "pi@10.0.0.4:2222", python="/opt/python3")
    assert read_devices(tmp_path / "edgebench.toml") == {"pi4": board}
    assert (board.address, board.python, board.profile.name) == ("pi@10.0.0.4:2222", "/opt/python3", "pi4")
    other = add_device("shed", "pi@shed", user="root", path=tmp_path / "other.toml")
    assert other.address == "root@shed"


def test_the_first_board_makes_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "edgebench" / "edgebench.toml"
    board = write_device(path, "pi4", {"host": "10.0.0.4", "user": "pi", "port": None})
    assert read_devices(path) == {"pi4": board}
    assert path.read_text(encoding="utf-8") == '[device.pi4]\nhost = "10.0.0.4"\nuser = "pi"\n'


def test_what_was_there_stays_to_the_letter(config: Path) -> None:
    write_device(config, "pi4", {"host": "10.0.0.4"})
    assert config.read_text(encoding="utf-8").startswith(BEFORE)
    assert set(read_devices(config)) == {"shed", "orin", "pi4"}


def test_line_ends_stay_as_they_were(config: Path) -> None:
    config.write_bytes(BEFORE.replace("\n", "\r\n").encode())
    write_device(config, "pi4", {"host": "10.0.0.4"})
    assert config.read_bytes().startswith(BEFORE.replace("\n", "\r\n").encode())


def test_a_file_of_comments_alone_keeps_them(config: Path) -> None:
    config.write_text("# nothing yet\n", encoding="utf-8")
    write_device(config, "pi4", {"host": "10.0.0.4"})
    assert config.read_text(encoding="utf-8").startswith("# nothing yet\n")


def test_an_entry_that_is_there_is_not_overwritten(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"device 'shed' is already in .*edgebench\.toml; try `replace=True`"):
        write_device(config, "shed", {"host": "elsewhere"})
    assert config.read_text(encoding="utf-8") == BEFORE


def test_replacing_changes_that_entry_only_and_keeps_its_comments(config: Path) -> None:
    write_device(config, "shed", {"host": "elsewhere", "port": 2222}, replace=True)
    text = config.read_text(encoding="utf-8")
    assert "[device.shed]  # behind the door\n" in text
    assert 'host = "elsewhere"   # static lease\n' in text
    assert text.endswith(BEFORE[BEFORE.index("# Not mine") :])
    board = read_devices(config)["shed"]
    assert (board.host, board.port, board.user) == ("elsewhere", 2222, None)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("pi4", {}, "lacks host"),
        ("pi4", {"host": "-x"}, "not a host name"),
        ("pi4", {"host": "x", "port": 0}, "port must be"),
        ("pi4", {"host": "x", "hots": "y"}, "did you mean 'host'"),
        ("pi4", {"host": "x", "profile": "pi6"}, "unknown device profile"),
        ("a]b", {"host": "x"}, "a device's name has letters"),
        ("local", {"host": "x"}, "this machine"),
        ("", {"host": "x"}, "a device's name has letters"),
    ],
)
def test_a_setting_that_is_not_valid_writes_nothing(
    config: Path, name: str, settings: dict[str, str | int | None], message: str
) -> None:
    with pytest.raises((ConfigError, UnknownName), match=message):
        write_device(config, name, settings)
    assert config.read_text(encoding="utf-8") == BEFORE


def test_a_file_that_is_not_valid_is_left_alone(config: Path) -> None:
    config.write_text("[device.shed\nhost = 1", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"edgebench\.toml is not valid TOML"):
        write_device(config, "pi4", {"host": "x"})
    assert config.read_text(encoding="utf-8") == "[device.shed\nhost = 1"


def test_a_file_with_a_wrong_entry_is_left_alone(config: Path) -> None:
    config.write_text("[device.shed]\nhots = 'x'\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown key 'hots'"):
        write_device(config, "pi4", {"host": "x"})


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"can't write .*edgebench\.toml"):
        write_device(tmp_path / "file" / "edgebench.toml", "pi4", {"host": "x"})


def test_a_link_stays_a_link_and_the_mode_stays(config: Path, tmp_path: Path) -> None:
    config.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(config)
    write_device(link, "pi4", {"host": "x"})
    assert link.is_symlink()
    assert set(read_devices(config)) == {"shed", "orin", "pi4"}
    assert stat.S_IMODE(config.stat().st_mode) == 0o640


def test_nothing_is_left_beside_the_file(config: Path) -> None:
    write_device(config, "pi4", {"host": "x"})
    assert [path.name for path in config.parent.iterdir()] == ["edgebench.toml"]


FORMS = [
    "",
    "[device]\n",
    "device = {shed = {host = 'x'}}\n",
    "device.shed.host = 'x'\n",
    "[device]\nshed.host = 'x'\n",
    "[device]\n[device.shed]\nhost = 'x'",
    "[device.shed]\nhost = 'x'\n\n# the end\n",
    "[device.'shed']\nhost = 'x'\n[device.pi5]\nhost = 'y'\n",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["pi4", "shed", "a.b"])
def test_every_way_to_write_tables_can_be_added_to(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / "edgebench.toml"
    path.write_text(form, encoding="utf-8")
    before = tomllib.loads(form).get("device", {})
    write_device(path, name, {"host": "new", "port": 22}, replace=True)
    assert tomllib.loads(path.read_text(encoding="utf-8"))["device"] == {**before, name: {"host": "new", "port": 22}}


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(python=texts, user=texts, identity=texts)
def test_whatever_text_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, python: str, user: str, identity: str
) -> None:
    path = tmp_path_factory.mktemp("config") / "edgebench.toml"
    settings = {"host": "h", "python": python, "user": user, "identity_file": identity}
    board = write_device(path, "pi4", settings)
    assert read_devices(path)["pi4"] == board == device_from_table("pi4", settings, path=path)
    assert set(settings) <= set(DEVICE_KEYS)
