"""`--texts` reads the same everywhere: lines, parallel JSON and CSV; what is none of them is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgebench import Workload
from edgebench.cli.requested import requested_workloads
from edgebench.errors import ConfigError, ScoresError, UnknownName, UsageError
from edgebench.input_texts import read_input_texts
from edgebench.xtreme_r import read_parallel

PARALLEL = {"en": ["one, two", "three"], "sw": ["moja", "tatu\u2028nne"]}


def written(folder: Path, content: str | bytes, name: str = "texts.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("\ufeffone\ntwo\n", ("one", "two")),
        ("one\r\ntwo\r\n", ("one", "two")),
        ("one\n\n \ntwo", ("one", "two")),
        ("a\u2028b\nc\u0085d\ne\x0bf\ng\x0ch\ni\x1cj\rk", ("a\u2028b", "c\u0085d", "e\x0bf", "g\x0ch", "i\x1cj\rk")),
        ("[1] a footnote\n{curly} words\n", ("[1] a footnote", "{curly} words")),
        ("so,no\na sentence\n", ("so,no", "a sentence")),
        ('"quoted", he said\n', ('"quoted", he said',)),
        ('["one", "two"]', ("one", "two")),
    ],
)
def test_a_line_ends_at_a_newline_and_nowhere_else(tmp_path: Path, content: str, lines: tuple[str, ...]) -> None:
    found = read_input_texts(written(tmp_path, content))
    assert (found.lines, found.parallel) == (lines, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("texts.json", json.dumps(PARALLEL)),
        ("texts.txt", "\ufeff" + json.dumps({"_about": "what it is", "texts": PARALLEL}, indent=1)),
        ("texts.csv", 'en,sw\n"one, two",moja\nthree,tatu\u2028nne\n'),
        ("texts.csv", '\ufeffen;sw\r\none, two;moja\r\n"three";tatu\u2028nne\r\n'),
        ("texts.txt", 'en\tsw\n"one, two"\tmoja\nthree\ttatu\u2028nne\n'),
    ],
)
def test_parallel_texts_are_recognised_by_all_commands(tmp_path: Path, name: str, content: str) -> None:
    path = written(tmp_path, content, name)
    expected = {lang: tuple(texts) for lang, texts in PARALLEL.items()}
    assert read_input_texts(path).parallel == expected
    assert {lang: tuple(texts) for lang, texts in read_parallel(path).items()} == expected
    rows = requested_workloads(Workload(), None, None, path, None, None)
    assert [(row.texts_lang, row.texts, row.label) for row in rows] == [
        (lang, texts, f"{lang} texts") for lang, texts in expected.items()
    ]
    (only,) = requested_workloads(Workload(), None, "sw", path, None, None)
    assert (only.texts_lang, only.to_json()["texts_lang"]) == ("sw", "sw")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("texts.json", '{"en": ["one"', "not JSON"),
        ("texts.txt", '{"en": ["one"', "not JSON"),
        ("texts.txt", '{"text": "one"}\n{"text": "two"}\n', "JSON lines"),
        ("texts.jsonl", '"one"\n"two"\n', "JSON lines"),
        ("texts.txt", '{"en": [1, 2]}', "other JSON"),
        ("texts.json", '{"en": ["one", "two"], "sw": ["moja"]}', "sw has 1 text and en has 2"),
        ("texts.json", '{"en": ["one", ""], "sw": ["moja", "mbili"]}', "text 2 of en is empty"),
        ("texts.csv", "id;text\n1;one\n", r"its columns \(id, text\) are not codes of languages"),
        ("texts.csv", "one\ntwo\n", r"its columns \(one\)"),
        ("texts.csv", "en,sw\none,moja\ntwo\n", "row 3 has not 2 columns"),
        ("texts.tsv", "en\tsw\none\t\n", "text 1 of sw is empty"),
        ("texts.txt", b"one\n\xff\xfe\n", "not UTF-8"),
        ("texts.txt", "\ufeffo\0n\0e\0", "not text"),
        ("texts.txt", " \n\n", "no text in it"),
    ],
)
def test_another_layout_is_one_line_in_all_commands(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    path = written(tmp_path, content, name)
    with pytest.raises(ConfigError, match=says) as error:
        requested_workloads(Workload(), None, None, path, None, None)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ScoresError, match=says):
        read_parallel(path)


def test_lines_of_one_language_are_no_parallel_texts(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match="3 texts of one language, one a line, and retrieval needs en and one more"):
        read_parallel(written(tmp_path, "one\ntwo\nthree\n"))


def test_a_language_that_the_file_has_not_is_named_and_lines_have_none(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(PARALLEL))
    with pytest.raises(UnknownName, match="unknown language 'th'; known: en, sw"):
        requested_workloads(Workload(), None, "th", path, None, None)
    with pytest.raises(UsageError, match="exclude each other"):
        requested_workloads(Workload(), None, "sw", written(tmp_path, "one\n", "lines.txt"), None, None)
    with pytest.raises(UsageError, match="exclude each other"):
        requested_workloads(Workload(), 64, None, path, None, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x1f\x8b\x08\0rest", "compressed by gzip; unpack it"),
        (b"PK\x03\x04rest", "a zip archive or a spreadsheet"),
        (b"PAR1\x80", "Parquet"),
        ("one\ntwo\n".encode("utf-16"), "UTF-16; convert it: iconv -f UTF-16"),
        (b"one\rtwo\rthree", "end with a carriage return alone, and would be one text; convert it: tr"),
    ],
)
def test_files_of_another_kind_say_which_and_what_to_do(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_input_texts(written(tmp_path, content))
    assert words in str(refused.value)


def test_a_language_that_is_there_twice_loses_no_texts_silently(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the key 'en' is there twice"):
        read_input_texts(written(tmp_path, '{"en": ["a", "b"], "en": ["c", "d"], "sw": ["x", "y"]}'))
