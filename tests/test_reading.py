"""Files that others wrote: what is refused, and that nothing is waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edgebench.reading import (
    RefusedFile,
    is_file,
    is_folder,
    is_there,
    open_file,
    parse_json,
    parse_toml,
    read_bytes,
    read_text,
    user_path,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "named"
    made.mkdir()
    (made / "own.txt").write_text("own")
    (tmp_path / "secret").write_text("secret")
    return made


def test_pipes_devices_sockets_and_folders_are_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
        for name, why in (("pipe", "a pipe"), ("device", "a device"), ("socket", "a socket")):
            with pytest.raises(RefusedFile) as refused:
                read_text(folder / name)
            assert why in str(refused.value.strerror)
    with pytest.raises(IsADirectoryError):
        read_text(folder)
    with pytest.raises(RefusedFile, match="NUL"):
        read_text(folder / "a\0b")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800", "missing"])
def test_names_that_no_file_can_have_are_not_there(folder: Path, name: str) -> None:
    assert not is_file(folder / name) and not is_folder(folder / name) and not is_there(folder / name)
    assert is_file(folder / "own.txt") and is_folder(folder) and is_there(folder)


@pytest.mark.parametrize("text", ["~no-such-user/x", "~a\0b", "~\ud800", "x/~"])
def test_paths_of_users_who_do_not_exist_stay_as_they_are(text: str) -> None:
    assert user_path(text) == Path(text)
    assert user_path("~/x") == Path.home() / "x"


@pytest.mark.parametrize("target", ["../secret", "{absolute}", "link-to-link"])
def test_links_out_of_the_folder_are_refused(folder: Path, target: str) -> None:
    (folder / "link-to-link").symlink_to(folder.parent / "secret")
    (folder / "link").symlink_to(target.format(absolute=folder.parent / "secret"))
    assert read_text(folder / "link") == "secret"  # where the name itself was given
    with pytest.raises(RefusedFile, match="leads out of"):
        read_text(folder / "link", within=folder)


def test_links_through_a_linked_subfolder_are_refused(folder: Path) -> None:
    (folder / "sub").symlink_to(folder.parent)
    with pytest.raises(RefusedFile, match="leads out of"):
        read_text(folder / "sub" / "secret", within=folder)


def test_links_inside_the_folder_and_a_linked_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "link").symlink_to("../own.txt")
    (tmp_path / "alias").symlink_to(folder)
    assert read_text(tmp_path / "alias" / "sub" / "link", within=tmp_path / "alias") == "own"


def test_the_hubs_own_cache_is_followed_and_nothing_beyond_it(tmp_path: Path) -> None:
    model = tmp_path / "models--a--b"
    snapshot = model / "snapshots" / "0123"
    (snapshot / "onnx").mkdir(parents=True)
    (model / "blobs").mkdir()
    (model / "blobs" / "ff").write_text("weights")
    (model / "blobs" / "ee").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_text("secret")
    (snapshot / "w").symlink_to("../../blobs/ff")
    (snapshot / "onnx" / "w").symlink_to("../../../blobs/ff")
    (snapshot / "bad").symlink_to("../../blobs/ee")
    (snapshot / "up").symlink_to("../../blobs/../../secret")
    assert read_text(snapshot / "w", within=snapshot) == "weights"
    assert read_text(snapshot / "onnx" / "w", within=snapshot / "onnx") == "weights"
    for name in ("bad", "up"):
        with pytest.raises(RefusedFile, match="leads out of"):
            read_text(snapshot / name, within=snapshot)


def test_what_is_too_large_is_refused_without_reading_it_all(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RefusedFile, match="larger than 1 MiB"):
        read_bytes(folder / "large", most=1 << 20)
    with open_file(folder / "large") as file:
        assert file.read(2) == b"\0\0"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100 + "]" * 100,
        "1" * 10_000,
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "[1e999999999]",
        "{",
        "",
    ],
)
def test_json_without_bounds_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_exact_json_has_numbers_of_64_bits() -> None:
    huge = "1000000000000000019884624838656"  # model_max_length of tokenizers without a limit
    assert parse_json(huge) == int(huge)
    assert parse_json(f"[{2**63 - 1}]", exact=True) == [2**63 - 1]
    with pytest.raises(ValueError, match="64 bits"):
        parse_json(f'{{"a": [{huge}]}}', exact=True)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "[" * 70 + "]" * 70,
        ".".join("a" * 100_000) + " = 1",
        "[" + ".".join("a" * 100_000) + "]",
        "a = " + "{a = " * 100_000,
        "a = [\n" * 100_000,
        "a" + " . a" * 100_000 + " = 1",
        '"a"' + '."a"' * 100_000 + " = 1",
        "a = " + "1" * 10_000,
        "a = " + "1" * 30,
        'a = "' + "[" * 100_000,
        "a = 1\n" + "#" * (1 << 21),
    ],
)
def test_toml_without_bounds_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_toml(text)


def test_toml_with_brackets_and_dots_in_texts_is_read() -> None:
    dots, brackets = "." * 500, "[{" * 500
    text = (
        f"a = \"{dots}\\\"{brackets}\" # {brackets}\nb = '{brackets}'\nc = '''{dots}\n{brackets}'''\nd = [1.5, 2.5]\n"
    )
    text += f'e = """{brackets}\\""" {dots}"""\n'
    assert parse_toml(text)["d"] == [1.5, 2.5]
    assert parse_toml("[a.b.c]\nd.e = 1\n") == {"a": {"b": {"c": {"d": {"e": 1}}}}}
