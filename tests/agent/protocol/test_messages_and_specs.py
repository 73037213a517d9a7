"""The codec: whatever is said arrives as it was said, and nothing else is taken for a message."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgebench_agent.protocol import (
    HEARTBEAT,
    MAX_BLOCK,
    MAX_INT,
    MAX_LINE_BYTES,
    MESSAGE_TYPES,
    Busiest,
    Done,
    Failed,
    Hello,
    Latencies,
    ModelFile,
    Phase,
    ProtocolError,
    Readings,
    RunSpec,
    decode_message,
    decode_object,
    encode_body,
    encode_message,
    one_line,
    stamp,
)

naturals = st.integers(0, MAX_INT)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
#: What Python may hold and a line may not: NUL, and halves of surrogate pairs.
not_text = st.text(st.sampled_from("\0\ud83d\ude00"), min_size=1, max_size=3)
columns = st.lists(st.tuples(naturals, naturals, naturals), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | names
hellos = st.builds(
    Hello,
    protocol=st.integers(1, 9),
    run_id=st.just("run-1"),
    agent_sha256=st.none() | st.just("ab" * 32),
    runtime=st.just("null"),
    runtime_version=names,
    libraries=st.dictionaries(names, names),
    board=st.dictionaries(names, scalars | st.lists(scalars) | st.dictionaries(names, scalars)),
    started_at=names,
)
latencies = st.builds(
    lambda warmup, rows: Latencies(warmup, *(list(column) for column in zip(*rows, strict=True))),
    st.booleans(),
    columns.filter(bool),
)
readings = st.builds(Readings, st.dictionaries(names, st.none() | st.integers(-MAX_INT, MAX_INT)))
busiest = st.builds(
    lambda rows: Busiest(*(list(column) for column in zip(*rows, strict=True))),
    st.lists(st.tuples(st.integers(1, 1 << 22), names, naturals), min_size=1),
)
messages = st.one_of(
    hellos,
    busiest,
    latencies,
    readings,
    st.builds(Done, naturals, naturals),
    st.builds(Failed, st.just("crashed"), names, names),
)


@given(naturals, naturals, messages)
def test_a_message_arrives_as_it_was_sent(seq: int, t_ns: int, message: Any) -> None:
    line = encode_message(seq, t_ns, message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    entry = decode_message(line)
    assert (entry.seq, entry.t_ns, entry.message) == (seq, t_ns, message)


@given(st.binary(max_size=200))
def test_noise_is_a_protocol_error_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_message(noise)


@given(messages, st.data())
def test_a_message_with_a_field_of_another_type_is_refused(message: Any, data: st.DataObject) -> None:
    values = json.loads(encode_message(1, 2, message))
    name = data.draw(st.sampled_from([field.name for field in fields(message)]))
    values[name] = {"not": {"what": [{}]}}
    with pytest.raises(ProtocolError, match=name):
        decode_message(json.dumps(values).encode())


@given(names, not_text, names)
def test_a_string_that_is_no_text_is_refused_wherever_it_stands(before: str, wrong: str, after: str) -> None:
    text = before + wrong + after
    assume("\0" in text or not encodable(text))  # a high half before a low one is a whole character in JSON
    for values in ({"text": text}, {"text": "", "more": [{text: 1}]}, {"text": "", "more": {"x": [text]}}):
        with pytest.raises(ProtocolError, match="not a line of JSON"):
            decode_message(json.dumps({"type": "log", "seq": 0, "t_ns": 0, **values}).encode())
    with pytest.raises(ProtocolError):
        RunSpec.from_json(replace(SPEC, providers=[text]).to_json())


def encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in json.loads(json.dumps(text)))


@given(names, not_text, names)
def test_what_is_no_text_is_replaced_before_it_is_sent(before: str, wrong: str, after: str) -> None:
    line = encode_message(0, 0, Failed("crashed", before + wrong + after, "\\u0000 \\\0"))
    assert decode_message(line).message == Failed("crashed", before + "?" * len(wrong) + after, "\\u0000 \\?")


@pytest.mark.parametrize("number", ["1.5", "1e999", "-1e999", "1e3", "-0.0", "NaN", "Infinity"])
def test_a_number_that_is_not_whole_is_refused_wherever_it_stands(number: str) -> None:
    for more in (number, f"[{number}]", f'{{"x": {number}}}'):
        with pytest.raises(ProtocolError, match="not a whole number"):
            decode_object(f'{{"ok": true, "more": {more}}}'.encode())


def test_the_largest_block_of_latencies_fits_in_a_line() -> None:
    column = [MAX_INT] * MAX_BLOCK
    line = encode_message(MAX_INT, MAX_INT, Latencies(False, column, column, column))
    assert len(line) <= MAX_LINE_BYTES
    assert decode_message(line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        HEARTBEAT,
        b'{"seq": -1, "t_ns": 0, "type": "phase", "name": "x"}',
        b'{"seq": true, "t_ns": 0, "type": "phase", "name": "x"}',
        b'{"seq": 0, "t_ns": 0, "type": "phase", "name": "../x"}',
        b'{"seq": 0, "t_ns": 0, "type": "phase"}',
        b'{"seq": 0, "t_ns": 0, "type": "done", "count": 1, "duration_ns": 1e3}',
        b'{"seq": 0, "t_ns": 0, "type": "done", "count": 1, "duration_ns": NaN}',
        b'{"seq": 0, "t_ns": 0, "type": "latencies", "warmup": false, "start_ns": [1], "latency_ns": [], "items": [0]}',
        b'{"seq": 0, "t_ns": 0, "type": "phase", "name": "' + b"x" * MAX_LINE_BYTES + b'"}',
        b"[" * 100_000,
    ],
)
def test_what_is_not_a_message_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_message(line)


def test_a_body_stamped_later_is_the_same_line() -> None:
    message = Phase("loading")
    assert stamp(3, 4, encode_body(message)) == encode_message(3, 4, message)


def test_every_type_of_message_has_its_own_name() -> None:
    assert len(set(MESSAGE_TYPES.values())) == len(MESSAGE_TYPES)


FILE_NAMES = [
    "modèle.onnx",
    "weights/deep/m.data",
    "xnli(1).onnx",
    "模型.onnx",
    "-m.onnx",
    ".hidden",
    "a b'c\"d$e;f.onnx",
    "...",
    "é" * 127,
]
NO_FILE_NAMES = [
    "",
    ".",
    "..",
    "a//b",
    "../b",
    "a/../b",
    "/b",
    "/",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "a\u202eb",
    "é" * 128,
    "\ud83d",
]

SPEC = RunSpec(
    run_id="run-1",
    mode="measure",
    runtime="null",
    files=[{"name": "model.onnx", "sha256": "ab" * 32}],
    inputs_sha256="cd" * 32,
    lengths=[3, 4],
    batch=2,
    pad_token_id=1,
    threads=0,
    providers=[],
    min_count=1,
    min_duration_ns=0,
    max_duration_ns=1,
    lease_ns=10**9,
)


def test_a_run_specification_arrives_as_it_was_sent() -> None:
    assert RunSpec.from_json(SPEC.to_json()) == SPEC
    assert SPEC.model_files() == [ModelFile("model.onnx", "ab" * 32)]


@pytest.mark.parametrize("name", FILE_NAMES)
def test_whatever_can_be_shown_and_lies_in_its_folder_names_a_file(name: str) -> None:
    spec = replace(SPEC, files=[{"name": name, "sha256": "ab" * 32}])
    assert RunSpec.from_json(spec.to_json()).model_files()[0].name == name


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "../../etc"},
        {"run_id": ".hidden"},
        {"files": [{"name": "../model.onnx", "sha256": "ab" * 32}]},
        {"files": [{"name": "model.onnx", "sha256": "xyz"}]},
        *({"files": [{"name": name, "sha256": "ab" * 32}]} for name in NO_FILE_NAMES),
        {"inputs_sha256": "../" + "a" * 61},
        {"lengths": [0]},
        {"batch": 0},
        {"batch": 3},
        {"mode": "train"},
        {"protocol": 99},
        {"lease_ns": 0},
    ],
)
def test_a_run_specification_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        RunSpec.from_json(replace(SPEC, **change).to_json())


@given(st.text(), st.integers(10, 50))
def test_one_line_is_one_line_within_its_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert line.isprintable()
