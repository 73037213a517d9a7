"""Energy from the power of rails; the expected figures are worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from edgebench.analysis import energy_of, figures_of, idle_power_uw, rails_of, summarise
from edgebench.analysis.energy import energy_per_inference_j
from edgebench.figures import Energy
from edgebench.reason import reasons_from_json
from edgebench.reporting import measurement_table
from edgebench.run import Run, Series
from tests.sample_runs import MS, START_NS, run, subject, trace

W = 1_000_000  # microwatts
OF = subject(planned_runs=1)


def powered(rails: Mapping[str, Sequence[int]], *, number: int = 0, seconds: int = 2, idle: object = None) -> Run:
    """Return a run of ten inferences a second; the rails are read every 100 ms from its first one on."""
    readings = {f"power_uw/{rail}": values for rail, values in rails.items()}
    made = run(OF, number, trace([100 * MS] * 10 * seconds, readings=readings))
    return made if idle is None else replace(made, facts=made.facts.adding({"idle_power_uw": idle}))


def energy(of: Run) -> Energy:
    found = energy_of(of)
    assert isinstance(found, Energy), found
    return found


def test_constant_power_times_the_time_of_an_inference_is_its_energy() -> None:
    found = energy(powered({"ina3221/VDD_IN": [5 * W] * 21}))
    assert found.per_inference == pytest.approx(0.5)  # 5 W for 0.1 s
    assert found.mean_w == pytest.approx(5)
    assert (found.idle_w, found.per_inference_net) == (None, None)


def test_energy_is_the_area_under_the_readings() -> None:
    rising = [at * W // 10 for at in range(21)]  # 0 to 2 W in 2 s: 2 J, in 20 inferences
    assert energy(powered({"ina3221/VDD_IN": rising})).per_inference == pytest.approx(0.1)


def test_readings_before_and_after_do_not_count_and_the_edges_hold() -> None:
    values = Series(
        START_NS + np.asarray([-10 * MS, *range(50 * MS, 2000 * MS, 100 * MS), 2010 * MS], np.int64),
        np.asarray([90 * W, *[4 * W] * 20, 90 * W], np.int64),
    )
    of = powered({})
    assert energy(replace(of, trace=replace(of.trace, readings={"power_uw/ina3221/VDD_IN": values}))).mean_w == 4


def averaged(seconds: int, *, averaging_ms: int | None, window: int) -> Run:
    """A run at 5 W after a start at 2 W; each reading is the mean of the `window` times 100 ms before it."""
    true = np.concatenate([np.full(20, 2 * W), np.full(10 * seconds + 1, 5 * W)])
    read = np.convolve(true, np.ones(window) / window)[: len(true)]
    made = powered({"hwmon/ina226-power1": read[20:].astype(int).tolist()}, seconds=seconds)
    board = {"power_averaging_ms": {"hwmon/ina226": averaging_ms}} if averaging_ms is not None else {}
    return replace(made, facts=made.facts.adding({"board": board}))


def test_what_a_slow_sensor_still_sees_of_the_time_before_does_not_count() -> None:
    assert energy(averaged(6, averaging_ms=1000, window=10)).mean_w == pytest.approx(5, rel=1e-3)
    assert energy(averaged(6, averaging_ms=0, window=10)).mean_w < 4.9  # as if it did not average
    assert energy(averaged(6, averaging_ms=1000, window=10)).averaging_s == 1


def test_a_run_must_be_several_times_as_long_as_its_sensor_averages() -> None:
    assert energy_of(averaged(2, averaging_ms=1000, window=10)) == (
        "the power sensor averages over 1 s, so a run must take 4 s or more; allow longer runs"
    )


def test_a_sensor_of_unknown_averaging_says_so() -> None:
    of = averaged(6, averaging_ms=None, window=1)
    assert energy(of).averaging_s is None
    assert "over what time its sensor averages is not known" in table_of(of).replace("\n", " ")
    assert energy(powered({"rapl/psys": [5 * W] * 21})).averaging_s == 0


def test_net_of_idle_is_what_the_inferences_add() -> None:
    found = energy(powered({"ina3221/VDD_IN": [5 * W] * 21}, idle={"ina3221/VDD_IN": 3.0 * W}))
    assert found.idle_w == 3
    assert found.per_inference_net == pytest.approx(0.2)  # 2 W for 0.1 s


def test_an_input_of_a_batch_takes_its_part() -> None:
    of = powered({"ina3221/VDD_IN": [5 * W] * 21})
    assert energy_per_inference_j(replace(of, inferences=4 * of.inferences)) == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("names", "rails"),
    [
        (["ina3221/VDD_CPU_GPU_CV", "ina3221/VDD_IN", "ina3221/VDD_SOC"], ("ina3221/VDD_IN",)),  # never with its parts
        (["ina3221/POM_5V_CPU", "ina3221/POM_5V_GPU", "ina3221/POM_5V_IN"], ("ina3221/POM_5V_IN",)),
        (["pmic/HDMI", "pmic/VDD_CORE"], ("pmic/HDMI", "pmic/VDD_CORE")),
        (["rapl/package-0", "rapl/package-1", "rapl/dram"], ("rapl/package-0", "rapl/package-1")),
        (["rapl/package-0", "rapl/psys"], ("rapl/psys",)),
        (["battery/BAT0", "rapl/package-0"], ("battery/BAT0",)),
        (["hwmon/amdgpu-PPT"], None),  # a graphics card is no whole
        (["ina3221/VDD_GPU_SOC", "ina3221/VDD_CPU_CV", "ina3221/VIN_SYS_5V0"], None),
        (["ina3221/GPU", "ina3221/CPU"], None),  # without the other rails of that module
        ([], None),
    ],
)
def test_only_rails_that_make_a_whole_are_added(names: list[str], rails: tuple[str, ...] | None) -> None:
    found = rails_of([*(f"power_uw/{name}" for name in names), "temperature_mc/cpu"])
    assert (None if found is None else found[0]) == rails


def test_rails_that_are_independent_are_added() -> None:
    found = energy(powered({"pmic/A": [W] * 21, "pmic/B": [2 * W] * 21}, idle={"pmic/A": 0.25 * W, "pmic/B": 0.25 * W}))
    assert found.per_inference == pytest.approx(0.3)
    assert found.idle_w == pytest.approx(0.5)
    assert found.rails == ("pmic/A", "pmic/B")


def test_a_board_without_power_sensing_has_no_energy() -> None:
    of = run(OF, 0, trace([100 * MS] * 20, readings={"temperature_mc/cpu": [50_000] * 20}))
    assert energy_per_inference_j(of) is None
    measured = summarise(OF, [of])
    assert measured.energy_j is None
    assert measured.to_json()["energy_j"] is None
    assert measured.to_json()["energy_absent"] == "the board has no power sensor that this user may read"


def test_rails_that_nobody_knows_to_be_a_whole_are_no_energy() -> None:
    of = powered({"ina3221/VDD_GPU_SOC": [W] * 21, "ina3221/VDD_CPU_CV": [W] * 21})
    assert energy_of(of) == "what the board's power sensors cover together is not known"
    assert "J/inf: what the board's power sensors cover together is not known" in table_of(of)


def test_too_few_readings_are_no_energy_and_say_what_helps() -> None:
    of = powered({"pmic/A": [W] * 9, "pmic/B": [W] * 21})
    assert energy_of(of) == "fewer than 10 readings of pmic/A while timed; allow longer runs"


def test_an_idle_power_that_lacks_a_rail_is_none() -> None:
    found = energy(powered({"pmic/A": [W] * 21, "pmic/B": [W] * 21}, idle={"pmic/A": W}))
    assert (found.idle_w, found.per_inference_net) == (None, None)
    assert energy(powered({"pmic/A": [W] * 21}, idle="nonsense")).idle_w is None


def test_a_measurements_energy_is_the_mean_of_its_valid_runs() -> None:
    idle = {"ina3221/VDD_IN": 1.0 * W}
    runs = [powered({"ina3221/VDD_IN": [watts * W] * 21}, number=at, idle=idle) for at, watts in enumerate((4, 6, 100))]
    runs[2] = replace(runs[2], reasons=reasons_from_json(("throttled during the run",), None))
    found = summarise(OF, runs).to_json()["energy_j"]
    assert found["per_inference"] == pytest.approx(0.5)
    assert found["per_inference_net"] == pytest.approx(0.4)
    assert (found["idle_w"], found["runs"], found["rails"]) == (1.0, 2, ["ina3221/VDD_IN"])
    assert found["covers"] == "the Jetson module, without the carrier board"


def test_runs_of_different_sensors_have_no_mean() -> None:
    measured = summarise(OF, [powered({"pmic/A": [W] * 21}), powered({"pmic/B": [W] * 21}, number=1)])
    assert (measured.energy_j, measured.energy_absent) == (None, "the power sensors changed from run to run")


def test_idle_power_is_the_mean_of_each_rail_between_two_moments() -> None:
    times = START_NS + 100 * MS * np.arange(30, dtype=np.int64)
    series = Series(times, np.asarray([9 * W] * 10 + [2 * W] * 20, np.int64))
    short = Series(times[:5], np.full(5, W, np.int64))
    found = idle_power_uw(
        {"power_uw/pmic/A": series, "power_uw/pmic/B": short, "temperature_mc/cpu": series},
        int(times[10]),
        int(times[29]),
    )
    assert found == {"pmic/A": pytest.approx(2 * W)}


def table_of(*runs: Run) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(measurement_table([summarise(OF, list(runs))]))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_has_joules_only_where_they_were_measured() -> None:
    with_energy = table_of(powered({"ina3221/VDD_IN": [5 * W] * 21}, idle={"ina3221/VDD_IN": 3.0 * W}))
    assert "/inf" in with_energy
    assert "J/inf: the Jetson module, without the carrier board (ina3221/VDD_IN); idle it takes 3 W" in with_energy
    assert "/inf" not in table_of(run(OF, 0, trace([100 * MS] * 20)))
    assert "allow longer runs" in table_of(powered({"pmic/A": [W] * 3}))


def test_the_energy_of_a_process_of_several_models_is_nobodys_own() -> None:
    runs = [powered({"ina3221/VDD_IN": [5 * W] * 21}, number=number) for number in range(2)]
    shared = [
        replace(each, facts=each.facts.adding({"alternating": {"process": each.id, "models": 2}})) for each in runs
    ]
    found = summarise(OF, shared)
    assert found.energy_j is None
    assert found.energy_absent == "other models had their inferences in between"
    assert figures_of(shared[0]).energy_j is None
    assert summarise(OF, runs).energy_j is not None
