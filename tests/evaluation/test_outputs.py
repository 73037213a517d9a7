"""outputs.npy comes from a board: whatever is in it, it is numbers of the right shape, or one clear error."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench.errors import AgentError
from edgebench.evaluation.inference import read_outputs


def records(*arrays: Any, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    for array in arrays:
        np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


LOGITS = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_records_come_back_by_batch_and_name() -> None:
    states = np.asfortranarray(np.arange(8, dtype=np.int64).reshape(2, 4))
    empty = np.zeros((1, 0), np.float32)
    data = records(LOGITS, states, LOGITS[:1], empty)
    first, second = read_outputs(data, ["logits", "states"], [2, 1], source="board")
    np.testing.assert_array_equal(first["logits"], LOGITS)
    np.testing.assert_array_equal(first["states"], states)
    np.testing.assert_array_equal(second["logits"], LOGITS[:1])
    assert second["states"].shape == (1, 0)
    first["logits"][0, 0] = 7  # the caller's own, to work with


def header(shape: str, descr: str = "'<f4'", fill: int = 0) -> bytes:
    """Return a record whose header was written by hand."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(fill)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (records(LOGITS)[:-1], "cut off"),
        (records(LOGITS) + b"x", "more outputs than inputs"),
        (records(LOGITS, LOGITS), "more outputs than inputs"),
        (b"", "EOF"),
        (b"\x93NUMPY\x09\x00", "version"),
        (records(LOGITS.T), "shape"),
        (records(np.float32(1)), "shape"),
        (records(np.array([[{}], [{}]], dtype=object), allow_pickle=True), "no kind of number"),
        (records(np.array([["a"], ["b"]])), "no kind of number"),
        (header("(2, 1 << 62)"), ""),
        (header("(2, 4611686018427387904)"), "cut off"),
        (header("(2, 99999999999999999999999999)"), "cut off"),
        (header("(2, -3)"), "shape"),
        (header("(2, 3)", descr="'|V0'"), "no kind of number"),
        (header("(2, 3)", descr="[('a', '<f4')]", fill=24), "no kind of number"),
        (header("(" * 2000 + ")" * 2000), ""),
    ],
)
def test_anything_else_is_one_error(data: bytes, message: str) -> None:
    with pytest.raises(AgentError, match=rf"board: the outputs can't be read: .*{message}"):
        read_outputs(data, ["logits"], [2], source="board")


def test_two_outputs_of_one_name_are_refused() -> None:
    with pytest.raises(AgentError, match="two outputs have one name"):
        read_outputs(records(LOGITS, LOGITS), ["logits", "logits"], [2], source="board")


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@given(st.binary(max_size=300), st.integers(0, 200))
def test_damage_is_no_crash(noise: bytes, at: int) -> None:
    data = records(LOGITS)
    damaged = data[:at] + noise + data[at + len(noise) :]
    try:
        (answer,) = read_outputs(damaged, ["logits"], [2], source="board")
    except AgentError:
        return
    assert answer["logits"].shape[0] == 2
