"""Warm-up's end and the arrays that a model gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench_agent.protocol import RunSpec
from edgebench_agent.protocol.failure import Failure
from edgebench_agent.run.inputs import Batches
from edgebench_agent.run.warm_up import RotationWarmUp, WarmUp, has_settled
from edgebench_agent.runtimes.interface import Tensor
from edgebench_agent.runtimes.registry import RUNTIMES, install_command, open_runtime

medians = st.integers(1_000, 10**9)


@given(st.lists(medians, max_size=5))
def test_a_few_windows_never_settle(few: list[int]) -> None:
    assert not has_settled(few)


@given(st.lists(medians, max_size=5), medians)
def test_equal_windows_have_settled(before: list[int], same: int) -> None:
    assert has_settled([*before, *[same] * 6])


@given(st.integers(10_000, 10**9), st.floats(0.01, 0.3))
def test_a_steady_fall_has_not_settled(start: int, fall: float) -> None:
    assert not has_settled([int(start * (1 - fall) ** window) for window in range(6)])


def test_noise_without_drift_has_settled() -> None:
    assert has_settled([120, 100, 118, 99, 121, 119])


def ended_s(excess: float, time_constant_s: float, *, noise: float = 0.01, ppm: int = 1000) -> float:
    """Return after how many seconds, at most 30, a warm-up ends whose latencies begin too high by `excess`."""
    random = np.random.default_rng(3)
    warm_up, now_s = WarmUp(ppm), 0.0
    while not warm_up.has_ended() and now_s < 30:
        now_s += 0.05
        latency = 1 + excess * np.exp(-now_s / time_constant_s) + random.normal(0, noise)
        warm_up.add(round(1e9 * now_s), [[1e7 * latency]])
    return now_s if now_s < 30 else float("inf") if not warm_up.is_steady() else 30.0


def test_warm_up_goes_on_while_latencies_fall_slowly() -> None:
    steady = ended_s(0.0, 1.0)
    assert 1 < steady <= 7
    assert ended_s(0.06, 2.0) > max(steady, 2 * np.log(6))  # less than 1 % is left
    assert ended_s(0.15, 3.0) > 3 * np.log(15)
    assert ended_s(0.15, 10.0, noise=0.003) == float("inf")  # it still falls after 30 s


def test_of_a_run_that_is_not_judged_warm_up_ends_when_its_parts_agree() -> None:
    assert ended_s(0.15, 10.0, ppm=0) < 2


def test_a_fast_fall_at_the_beginning_holds_up_nothing() -> None:
    assert ended_s(0.5, 0.3) <= 10


def rotation_ended_s(excess: float, neighbours: float) -> float:
    """Return after how many seconds, at most 30, two models' warm-up ends; the second begins too slow by `excess`.

    What slows both of them changes every 5 seconds by some `neighbours`.
    """
    random = np.random.default_rng(3)
    warm_up, now_s = RotationWarmUp(1000), 0.0
    while not warm_up.has_ended() and now_s < 30:
        now_s += 0.1
        board = 1 + neighbours * np.sin(now_s / 5 * np.pi) * np.exp(-now_s / 20)
        second = 1 + excess * np.exp(-now_s / 10)
        spread = random.normal(1, 0.005, (2, 20))
        warm_up.add(round(1e9 * now_s), (1e7 * board * spread * [[1], [second]]).tolist())
    return now_s if now_s < 30 else float("inf") if not warm_up.is_steady() else 30.0


def test_models_that_alternate_warm_up_until_their_ratio_is_steady() -> None:
    assert rotation_ended_s(0, 0.2) < 10
    assert rotation_ended_s(0.15, 0.2) == float("inf")
    assert rotation_ended_s(-0.15, 0.2) == float("inf")


def spec(lengths: list[int], **changes: object) -> RunSpec:
    plain = {
        "run_id": "run",
        "mode": "infer",
        "runtime": "null",
        "files": [],
        "inputs_sha256": "ab" * 32,
        "lengths": lengths,
        "batch": 2,
        "pad_token_id": 1,
        "threads": 0,
        "providers": [],
        "min_count": 1,
        "min_duration_ns": 0,
        "max_duration_ns": 1,
        "lease_ns": 10**9,
    }
    return RunSpec(**{**plain, **changes})  # type: ignore[arg-type]


def ids_file(folder: Path, count: int) -> str:
    path = folder / "ids"
    path.write_bytes((np.arange(count, dtype="<i4") + 10).tobytes())
    return str(path)


IDS = Tensor("input_ids", "int64", [None, None])
MASK = Tensor("attention_mask", "int64", [None, None])


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=9), batch=st.integers(1, 4))
def test_batches_hold_every_token_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], batch: int
) -> None:
    path = ids_file(tmp_path_factory.mktemp("ids"), sum(lengths))
    batches = Batches(spec(lengths, batch=batch), path, [IDS, MASK])
    assert sum(batches.sizes) == len(lengths)
    tokens = []
    for index in range(len(batches)):
        arrays = batches.arrays(index)
        ids, mask = arrays["input_ids"], arrays["attention_mask"]
        longest = max(lengths[index * batch : (index + 1) * batch])
        assert ids.shape == mask.shape == (batches.sizes[index], longest)
        assert (ids[mask == 0] == 1).all()
        tokens += ids[mask == 1].tolist()
    assert tokens == [token + 10 for token in range(sum(lengths))]


def test_a_model_without_inputs_needs_neither_ids_nor_numpy() -> None:
    assert Batches(spec([3]), "/no/such/file", []).arrays(0) == {}


@pytest.mark.parametrize(
    ("tensors", "kind"),
    [
        ([IDS, Tensor("pixel_values", "float32", [None, 3])], "inputs_rejected"),
        ([IDS, Tensor("attention_mask", "string", [None, None])], "inputs_rejected"),
        ([IDS, Tensor("attention_mask", "float32", [None, 1, None, None])], "inputs_rejected"),
        ([IDS, MASK, Tensor("input_mask", "int64", [None, None])], "inputs_rejected"),
        (
            [Tensor("input_ids", "int8", [None, None]), Tensor("position_ids", "bfloat16", [None, None])],
            "inputs_rejected",
        ),
        ([Tensor("input_ids", "int64", [None, 2])], "inputs_rejected"),
        ([Tensor("input_ids", "int64", [1, None])], "inputs_rejected"),
    ],
)
def test_what_a_model_wants_and_we_cannot_make_is_refused(tmp_path: Path, tensors: list[Tensor], kind: str) -> None:
    with pytest.raises(Failure) as caught:
        Batches(spec([3, 3]), ids_file(tmp_path, 6), tensors)
    assert caught.value.kind == kind


def test_ids_that_do_not_add_up_are_corrupt(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="5 token ids, their lengths add up to 6") as caught:
        Batches(spec([3, 3]), ids_file(tmp_path, 5), [IDS])
    assert caught.value.kind == "corrupt"


def test_every_runtime_of_the_table_has_its_room_and_its_mending() -> None:
    for name, row in RUNTIMES.items():
        module = open_runtime(name)
        assert callable(module.load)
        assert callable(module.describe)
        assert all(package in install_command(name) for package in row.packages)
