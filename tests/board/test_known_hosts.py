"""known_hosts lines are read as OpenSSH reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgebench.board.transport import HostKey, known_keys, lookup_name
from tests.board.ssh_board import write_key


@pytest.fixture
def key(tmp_path: Path) -> str:
    return write_key(tmp_path / "key")


def accepted(tmp_path: Path, text: str, name: str) -> list[str]:
    (tmp_path / "known_hosts").write_text(text)
    return [str(known) for known in known_keys(name, [tmp_path / "missing", tmp_path / "known_hosts"]).accepted]


@pytest.mark.parametrize(
    ("names", "name", "matches"),
    [
        ("pi4", "pi4", True),
        ("PI4.lab", "pi4.LAB", True),
        ("pi4,10.0.0.5", "10.0.0.5", True),
        ("*.lab", "pi4.lab", True),
        ("*.lab", "lab", False),
        ("pi?", "pi4", True),
        ("*.lab,!pi4.lab", "pi4.lab", False),
        ("!pi4.lab,*.lab", "pi4.lab", False),
        ("[pi4]:2222", "[pi4]:2222", True),
        ("[pi4]:2222", "pi4", False),
        ("[pi4]:2222", "p:2222", False),
        ("[*]:2222", "[pi4]:2222", True),
        ("pi4", "[pi4]:2222", False),
        ("pi", "pi4", False),
        ("|1|not base64|x", "pi4", False),
        ("|1|", "pi4", False),
    ],
)
def test_names_match_as_in_openssh(tmp_path: Path, key: str, names: str, name: str, matches: bool) -> None:
    assert accepted(tmp_path, f"{names} {key} a comment\n", name) == ([key] if matches else [])


@pytest.mark.parametrize("line", ["", "#pi4 {key}", "pi4", "pi4 ssh-rsa AAAA", "@cert-authority pi4 {key}", "\0\ufffd"])
def test_lines_that_name_no_key_are_skipped(tmp_path: Path, key: str, line: str) -> None:
    assert accepted(tmp_path, line.format(key=key) + f"\npi4 {key}\n", "pi4") == [key]


def test_revoked_keys_are_listed_apart(tmp_path: Path, key: str) -> None:
    (tmp_path / "known_hosts").write_text(f"@revoked * {key}\n")
    known = known_keys("pi4", [tmp_path / "known_hosts"])
    assert known.accepted == []
    assert [str(revoked) for revoked in known.revoked] == [key]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_file_that_ssh_keygen_hashed_is_read(tmp_path: Path, key: str) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"pi4.lab {key}\n[pi4.lab]:2222 {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    assert "pi4" not in path.read_text()
    for name in ("pi4.lab", "[pi4.lab]:2222"):
        assert [str(known) for known in known_keys(name, [path]).accepted] == [key]
    assert known_keys("other", [path]).accepted == []


def test_another_port_is_part_of_the_name() -> None:
    assert lookup_name("pi4", 22) == "pi4"
    assert lookup_name("pi4", 2222) == "[pi4]:2222"


@pytest.mark.parametrize("text", ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-rsa AAAAC3NzaC1lZDI1NTE5", "AAAA AAAA"])
def test_what_is_no_key_is_none(text: str) -> None:
    assert HostKey.parse(text) is None
