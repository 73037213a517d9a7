"""What client and bench say to each other: texts of JSON, checked where they enter; no dask is needed for these."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.benches import Bench, CellFile, CellTask, Scheduler, read_executor, task_key
from edgebench.benches.child import following_session
from edgebench.benches.offers import other_versions, read_offers, refuse_missing
from edgebench.benches.simulated import SimulatedBoards
from edgebench.benches.task import DONE, CellResult, error_of, failed, plain_request, read_result, read_task
from edgebench.device import Device, load_profile
from edgebench.errors import AgentError, BoardBusy, ConfigError, ConnectionLost, EdgebenchError, RunFailed, StoreError
from edgebench.request import Request
from edgebench.variant import Variant

PI4 = Device(name="pi4", profile=load_profile("pi4"), host="10.0.0.7", user="me", identity_file="/home/me/key")
FILE = CellFile(variant=Variant(name="a", source="runs/a"), sha256="0" * 64)


def task(**changes: object) -> CellTask:
    request = plain_request(Request(device=PI4, models=("runs/a",)))
    key = task_key(study="s", request=request, files=(FILE,), store="/results", workload="128 tok")
    made = CellTask(
        key=key,
        study="s",
        workload="128 tok",
        topic="t",
        store="/results",
        session="20260101T000000-abcdef",
        request=request,
        files=(FILE,),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_task_names_a_device_and_never_says_where_it_is() -> None:
    text = task().to_text()
    assert read_task(text) == task()
    for secret in ("10.0.0.7", "/home/me/key", '"me"'):
        assert secret not in text
    here = Device(name="pi4", profile=load_profile("pi4"), host="192.168.1.2")
    assert read_task(text).request_on(here).device == here


def test_the_same_cell_has_the_same_name_whatever_its_seed() -> None:
    request = plain_request(Request(device=PI4, models=("runs/a",)))
    names = {
        task_key(study="s", request={**request, "seed": seed}, files=(FILE,), store="/results", workload="sw")
        for seed in (None, 1, 2)
    }
    (name,) = names
    assert name.startswith("s: sw on pi4 (")
    assert name not in {
        task_key(study="s", request=request, files=(FILE,), store="/elsewhere", workload="sw"),
        task_key(study="s", request=request, files=(replace(FILE, sha256="1" * 64),), store="/results", workload="sw"),
        task_key(study="s", request={**request, "margin": 0.1}, files=(FILE,), store="/results", workload="sw"),
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"key": 1}', json.dumps({**json.loads(task().to_text()), "request": {}})]
)
def test_a_text_that_is_no_task_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        read_task(text)


def test_a_bench_refuses_another_version_and_a_board_that_it_does_not_offer() -> None:
    bench = Bench(name="lab", devices={"nano": replace(PI4, name="nano")}, measure=SimulatedBoards())
    for wrong, problem in ((task(), "offers no 'pi4': nano"), (task(version="0.0.1"), "the study's client 0.0.1")):
        result = bench.run(wrong.to_text(), lambda *_: None)
        assert (result.state, result.kind) == ("failed", "ConfigError")
        assert problem in (result.error or "")
    assert bench.is_idle()


@pytest.mark.parametrize(
    ("error", "is_passing"),
    [
        (ConnectionLost("gone"), True),
        (AgentError("silent"), True),
        (RunFailed("no memory", kind="out_of_memory"), False),
        (BoardBusy("alice has it", hint="try later"), False),
        (ConfigError("no"), False),
    ],
)
def test_an_error_comes_back_as_what_it_was(error: EdgebenchError, is_passing: bool) -> None:
    result = read_result(failed(error, bench="lab", session="s").to_text())
    assert result.is_passing == is_passing
    back = error_of(result, "pi4")
    assert back.exit_code == error.exit_code
    assert str(back) == f"pi4 on bench lab: {error}"


def test_what_a_bench_says_is_one_harmless_line() -> None:
    said = CellResult(state=DONE, bench="lab\x1b[2J", session="s", error="a\nb\x1b]0;x\x07")
    result = read_result(said.to_text())
    assert "\x1b" not in result.bench + (result.error or "")
    assert "\n" not in (result.error or "")
    offers = read_offers(
        {"tcp://a": {"edgebench": {"bench": "x\x1b[1m", "version": 7, "boards": {"pi\x1b4": "no-such"}}}}
    )
    assert "\x1b" not in f"{offers[0].bench}{offers[0].boards}"
    assert list(offers[0].boards.values()) == ["generic-linux"]
    assert read_offers({"tcp://a": {}, "tcp://b": {"edgebench": 3}}) == []
    assert len(other_versions(offers)) == 1
    with pytest.raises(ConfigError, match="no bench offers any board"):
        refuse_missing(["pi4"], [], scheduler="tcp://s:1")


def test_following_sessions_are_the_same_for_each_attempt() -> None:
    first = "20260101T000000-abcdef"
    assert following_session(first) == following_session(first) != first
    assert following_session(first).startswith("20260101T000000-")


@pytest.mark.parametrize(
    "text",
    [
        "dask",
        "dask://",
        "dask://host",
        "http://host:1",
        "dask://host:port",
        "dask://host:99999",
        "tcp://a:1/x",
        "tcp://u@a:1",
    ],
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected dask://HOST:PORT|known: local, dask://HOST:PORT") as error:
        read_executor(text)
    assert "\n" not in str(error.value)


def test_addresses() -> None:
    assert read_executor("local") is None
    assert Scheduler(address="dask://lab:8786").dask_address == "tcp://lab:8786"
    assert Scheduler(address="tls://[::1]:8786").dask_address == "tls://[::1]:8786"
    with pytest.raises(ConfigError, match="certificates are for tls://"):
        Scheduler(address="dask://lab:1", tls_ca_file=str(Path("ca.pem")))
