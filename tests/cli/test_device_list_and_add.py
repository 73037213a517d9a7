"""edgebench device list and add, as far as they need no board."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgebench.board.transport import HostKey
from tests.fork_server import edgebench_command

KEY = str(HostKey("ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))))


@dataclass
class Shell:
    """A folder with settings of its own, in which the real command runs."""

    folder: Path
    home: Path

    def run(self, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """Run `edgebench device ...` without a terminal."""
        kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}  # the code beside us
        environment = {**kept, "HOME": str(self.home), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
        return subprocess.run(
            [*edgebench_command(), "device", *arguments],
            cwd=self.folder,
            env=environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def devices(self) -> dict[str, Any]:
        """Return what the project's edgebench.toml holds."""
        return dict(tomllib.loads((self.folder / "edgebench.toml").read_text(encoding="utf-8"))["device"])


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "project").mkdir()
    (tmp_path / "home").mkdir()
    return Shell(tmp_path / "project", tmp_path / "home")


def test_a_board_that_is_added_is_listed_with_where_it_comes_from(shell: Shell) -> None:
    added = shell.run("add", "pi4", "--host", "pi@10.0.0.4:2222", "--python", "bench/bin/python", "--host-key", KEY)
    assert (added.returncode, added.stderr) == (0, "")
    assert "edgebench device setup pi4" in added.stdout
    settings = {"host": "10.0.0.4", "user": "pi", "port": 2222, "python": "bench/bin/python", "host_key": KEY}
    assert shell.devices() == {"pi4": settings}

    table = shell.run("list").stdout
    (row,) = [line for line in table.splitlines() if "pi@10.0.0.4:2222" in line]
    assert "pinned" in row
    assert "edgebench.toml" in row

    listed = json.loads(shell.run("list", "--json", "-").stdout)
    boards = {board["name"]: board for board in listed["devices"]}
    assert set(boards) == {"local", "pi4"}
    assert boards["pi4"]["origin"] == str(shell.folder / "edgebench.toml")
    assert {name: boards["pi4"][name] for name in settings} == settings
    assert boards["pi4"]["profile"] == "pi4"
    profiles = {profile["name"]: profile for profile in listed["profiles"]}
    assert {"pi4", "jetson-orin-nano", "local"} <= set(profiles)
    assert (profiles["pi4"]["cores"], profiles["pi4"]["default_format"]) == (4, "onnx-int8")


def test_user_config_goes_to_the_users_folder(shell: Shell) -> None:
    shell.run("add", "shed", "--host", "[fe80::1]:22", "--profile", "pi5", "--user-config", "--host-key", KEY)
    path = shell.home / ".config" / "edgebench" / "edgebench.toml"
    assert tomllib.loads(path.read_text(encoding="utf-8"))["device"]["shed"]["host"] == "fe80::1"
    assert not (shell.folder / "edgebench.toml").exists()
    assert "[fe80::1]:22" in shell.run("list").stdout


@pytest.mark.parametrize("form", [KEY, f"{KEY} root@pi4", f"10.0.0.4 {KEY}", f"[10.0.0.4]:2222 {KEY} comment"])
def test_a_host_key_is_taken_as_any_tool_writes_it(shell: Shell, form: str) -> None:
    shell.run("add", "pi4", "--host", "10.0.0.4", "--host-key", form)
    assert shell.devices()["pi4"]["host_key"] == KEY


def test_an_entry_is_replaced_only_when_asked(shell: Shell) -> None:
    shell.run("add", "pi4", "--host", "first", "--host-key", KEY)
    again = shell.run("add", "pi4", "--host", "second", "--host-key", KEY)
    assert again.returncode == 2
    assert "is already in" in again.stderr
    assert shell.devices()["pi4"]["host"] == "first"
    assert shell.run("add", "pi4", "--host", "second", "--host-key", KEY, "--replace").returncode == 0
    assert shell.devices()["pi4"]["host"] == "second"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "pi@"], "is not an address"),
        (["--host", "a@h", "--user", "b"], "--host says user a, --user says b"),
        (["--host", "h:22", "--port", "23"], "--host says port 22, --port says 23"),
        (["--host", "h", "--port", "0"], "port must be 1..65535, got 0"),
        (["--host", "h", "--profile", "pi6"], "unknown device profile 'pi6'; did you mean 'pi"),
        (["--host", "h", "--host-key", "SHA256:abc"], "--host-key must look like 'ssh-ed25519 AAAA...'"),
        (["--host", "h", "--host-key", "ssh-ed25519 AAAA"], "--host-key must look like 'ssh-ed25519 AAAA...'"),
        (["--host", "h", "--copy-id"], "try: ssh-keygen -t ed25519 -f"),
        (["--host", "h", "--copy-id", "--public-key", "/etc/hostname"], "is not a public key"),
        (["--host", "h", "--identity-file", "k", "--copy-id"], "no public key at k.pub; try: ssh-keygen"),
        ([], "Missing option '--host'"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(shell: Shell, arguments: list[str], message: str) -> None:
    result = shell.run("add", "pi4", *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(shell.folder.iterdir()) == []


def test_copy_id_without_a_terminal_says_how_to_give_the_password(shell: Shell) -> None:
    (shell.home / ".ssh").mkdir()
    (shell.home / ".ssh" / "id_ed25519.pub").write_text(f"{KEY} me@here\n", encoding="utf-8")
    result = shell.run("add", "pi4", "--host", "10.0.0.4", "--host-key", KEY, "--copy-id")
    assert result.returncode == 2
    assert "--password-stdin" in result.stderr
    assert list(shell.folder.iterdir()) == []


def test_a_file_of_settings_that_is_not_valid_is_one_line(shell: Shell) -> None:
    (shell.folder / "edgebench.toml").write_text("[device.pi4]\nhots = 'x'\n", encoding="utf-8")
    for arguments in (["list"], ["check", "pi4"], ["add", "pi5", "--host", "h", "--host-key", KEY]):
        result = shell.run(*arguments)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert "unknown key 'hots'; did you mean 'host'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean", "pi4"], "--older-than 30d, --max-size 2GB, or both"),
        (["clean", "pi4", "--older-than", "30"], "'30' is not a time; try 90s, 20m, 1h30m or 30d"),
        (["clean", "pi4", "--max-size", "2XB"], "'2XB' is not a size; try 2GB"),
        (["clean", "pi4", "--max-size", "-1"], "'-1' is not a size"),
        (["check", "pi4"], "device 'pi4' has no address; try: edgebench device add pi4 --host USER@HOST"),
        (["check", "pii4"], "unknown device 'pii4'; did you mean 'pi4'"),
        (["chekc"], "Did you mean 'check'"),
    ],
)
def test_check_and_clean_refuse_what_they_cannot_do(shell: Shell, arguments: list[str], message: str) -> None:
    result = shell.run(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


# --- where settings are found, and removing boards ----------------------------------------------------------------


def test_the_settings_of_a_folder_above_count(shell: Shell) -> None:
    assert shell.run("add", "pi4", "--host", "pi@10.0.0.4", "--host-key", KEY).returncode == 0
    below = shell.folder / "experiments" / "today"
    below.mkdir(parents=True)
    inside = Shell(below, shell.home)
    listed = json.loads(inside.run("list", "--json", "-").stdout)
    assert [board["name"] for board in listed["devices"]] == ["local", "pi4"]
    assert inside.run("add", "pi5", "--host", "pi@10.0.0.5", "--host-key", KEY).returncode == 0
    assert set(shell.devices()) == {"pi4", "pi5"}  # the file that is there, not a second one


def test_the_search_ends_at_the_root_of_a_repository(shell: Shell) -> None:
    assert shell.run("add", "pi4", "--host", "pi@10.0.0.4", "--host-key", KEY).returncode == 0
    repository = shell.folder / "another"
    (repository / ".git").mkdir(parents=True)
    listed = json.loads(Shell(repository, shell.home).run("list", "--json", "-").stdout)
    assert [board["name"] for board in listed["devices"]] == ["local"]


def test_an_unknown_board_says_where_was_looked(shell: Shell) -> None:
    unknown = shell.run("check", "garage")
    assert unknown.returncode == 2
    assert f"looked for edgebench.toml in {shell.folder} and the folders above" in unknown.stderr
    assert str(shell.home / ".config" / "edgebench") in unknown.stderr


def test_a_byte_order_mark_in_the_settings_is_no_error(shell: Shell) -> None:
    (shell.folder / "edgebench.toml").write_bytes(b'\xef\xbb\xbf[device.pi4]\nhost = "10.0.0.4"\n')
    assert shell.run("add", "pi5", "--host", "10.0.0.5", "--host-key", KEY).returncode == 0
    assert set(shell.devices()) == {"pi4", "pi5"}


@pytest.mark.parametrize("name", ["all", "local"])
def test_names_with_a_meaning_of_their_own_are_reserved(shell: Shell, name: str) -> None:
    refused = shell.run("add", name, "--host", "10.0.0.4", "--host-key", KEY)
    assert refused.returncode == 2
    assert f"{name!r}" in refused.stderr
    assert not (shell.folder / "edgebench.toml").exists()


def test_a_board_is_removed_and_the_rest_of_the_file_stays(shell: Shell) -> None:
    before = (
        '# boards of the lab\n\n[device.pi4]  # the old one\nhost = "10.0.0.4"\n\n[device.pi5]\nhost = "10.0.0.5"\n'
    )
    (shell.folder / "edgebench.toml").write_text(before)
    unconfirmed = shell.run("remove", "pi4")
    assert unconfirmed.returncode == 2
    assert "--yes" in unconfirmed.stderr
    assert (shell.folder / "edgebench.toml").read_text() == before

    removed = shell.run("remove", "pi4", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert "files of edgebench on 10.0.0.4 stay" in removed.stdout
    assert set(shell.devices()) == {"pi5"}
    assert "# boards of the lab" in (shell.folder / "edgebench.toml").read_text()
    assert shell.run("remove", "pi5", "--yes").returncode == 0
    assert shell.run("list").returncode == 0


@pytest.mark.parametrize(("name", "message"), [("local", "built in"), ("pi9", "looked for edgebench.toml")])
def test_what_no_settings_name_can_not_be_removed(shell: Shell, name: str, message: str) -> None:
    refused = shell.run("remove", name, "--yes")
    assert refused.returncode == 2
    assert message in refused.stderr


def test_the_group_alone_prints_its_help_without_cut_sentences(shell: Shell) -> None:
    shown = shell.run()
    text = " ".join((shown.stdout + shown.stderr).split())
    assert "edgebench: Usage" not in text
    assert "..." not in text.replace("[ARGS]...", "")
    assert "it needs no internet, root or pip." in text
