"""What a board reports, typed: valid reports, and reports that can't be trusted."""

from __future__ import annotations

from typing import Any

import pytest

from edgebench.board.facts import BoardFacts, BoardProbe, SensorReading
from edgebench.board.lease_reply import LeaseReply
from edgebench.board.preflight import power_rails_ms
from edgebench.errors import AgentError
from edgebench.facts import BusyProcess

REPLY: dict[str, Any] = {
    "board": {
        "model": "Raspberry Pi 5",
        "arch": "aarch64",
        "libc": "glibc 2.36",
        "memory_available_bytes": 7_000_000_000,
        "temperature_mc": {"cpu-thermal": 45_123, "broken": "x"},
        "cpu_features": ["asimd", "fp"],
        "core_capacities": {"0": 1024},
    },
    "runtimes": {"onnxruntime": {"ok": True, "version": "1.20.0", "providers": ["CPU"], "libraries": {"numpy": "2"}}},
    "running": None,
    "busiest": [{"name": "chromium", "cpu_millicores": 940}, {"name": 7}, "nonsense"],
    "sensors": {"pmic": {"every_ms": 1000, "values": {"power_uw/core": 1, "temperature_mc/pmic": None}}},
}


def probe(**changes: Any) -> BoardProbe:
    return BoardProbe.from_reply(REPLY | changes, ["onnxruntime"], name="pi5")


def test_a_probe_is_typed() -> None:
    found = probe()

    assert (found.board.model, found.board.system.arch, found.board.system.libc) == (
        "Raspberry Pi 5",
        "aarch64",
        "glibc 2.36",
    )
    assert found.board.temperature_mc == {"cpu-thermal": 45_123}
    assert found.board.cpu_features == ("asimd", "fp")
    runtime = found.runtimes["onnxruntime"]
    assert (runtime.works, runtime.version, runtime.providers) == (True, "1.20.0", ("CPU",))
    assert runtime.libraries == {"numpy": "2"}
    assert found.running is None
    assert found.load.busiest == (BusyProcess("chromium", 940),)
    assert found.sensors == {"pmic": SensorReading(1000, {"power_uw/core": 1, "temperature_mc/pmic": None})}
    assert power_rails_ms(found.sensors) == {"core": 1000}


def test_all_reported_facts_are_kept_for_the_results() -> None:
    assert probe().board.reported == REPLY["board"]


@pytest.mark.parametrize("value", [None, "x", -1, 1.5, True, [], {}, ["\x1b[2J"], "\x1b[2J", 1 << 80])
def test_a_fact_of_another_type_is_not_reported(value: Any) -> None:
    facts = BoardFacts.from_report(dict.fromkeys(REPLY["board"], value))

    assert facts.memory_available_bytes in (None, -1)
    assert facts.model in (None, "x", "[2J")
    assert not any("\x1b" in str(fact) for fact in facts.reported.values())
    assert BoardFacts.from_report(value) == BoardFacts()


@pytest.mark.parametrize(
    "changes",
    [{"board": None}, {"runtimes": None}, {"runtimes": {}}, {"runtimes": {"onnxruntime": {"ok": "yes"}}}],
)
def test_an_answer_without_facts_or_runtimes_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match=r"pi5: the board's answer to probe is not valid"):
        probe(**changes)


def test_the_advice_of_an_error_is_kept_apart() -> None:
    broken = probe(runtimes={"onnxruntime": {"ok": False, "error": "it lacks numpy; try: pip install numpy"}})

    assert broken.runtimes["onnxruntime"].problem == "it lacks numpy"
    assert (broken.runtimes["onnxruntime"].error or "").endswith("try: pip install numpy")


# --- the lease --------------------------------------------------------------------------------------------------


def lease_reply(**reply: Any) -> LeaseReply:
    return LeaseReply.from_reply(reply, name="pi5")


def test_a_granted_lease_has_its_number() -> None:
    reply = lease_reply(granted=True, token=7, note="power was restored")

    assert (reply.is_granted, reply.token, reply.note) == (True, 7, "power was restored")


def test_the_holder_is_shown_and_kept_in_json_under_the_old_key() -> None:
    holder = {"who": "bert@laptop\x1b[2J", "purpose": "his job", "since": "10:00", "left_ns": 2_000_000_000, "token": 3}
    reply = lease_reply(granted=False, holder=holder, ahead=2, ask_again_ns=500_000_000)

    assert str(reply.holder) == "bert@laptop [2J (his job)"
    assert reply.holder is not None
    assert reply.holder.to_json() == {"who": "bert@laptop [2J", "purpose": "his job", "since": "10:00", "left_s": 2.0}
    assert (reply.is_granted, reply.token, reply.ahead, reply.poll_s) == (False, 3, 2, 0.5)


@pytest.mark.parametrize(
    "reply",
    [
        {"granted": True},
        {"granted": True, "token": 0},
        {"granted": True, "token": "7"},
        {"holder": {"token": -1}},
        {"holder": {"token": 1 << 80}},
        {"waiting": "bert"},
    ],
)
def test_an_answer_about_the_lease_that_is_not_valid_is_an_error(reply: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match=r"pi5: the board's answer about its lease is not valid"):
        lease_reply(**reply)
