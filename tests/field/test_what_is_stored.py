"""`runs`: more runs, filters, tags, deletion and exports of what is stored."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from edgebench.device import find_device
from edgebench.errors import ConfigError, UsageError
from edgebench.measure import extend, profile_all, request_to_extend
from edgebench.measurement import measurements_to_json
from edgebench.reporting.figures import with_interval
from edgebench.request import Request, request_to_json
from edgebench.run import Trace
from edgebench.store import Selection, Store
from edgebench.workload import RunPlan
from tests.field.stored_sessions import FIRST, SECOND, THIRD, add, edgebench, weeks_of_sessions
from tests.sample_runs import MS, run, subject, trace
from tests.schemas import check_schema


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return weeks_of_sessions(tmp_path_factory.mktemp("kept") / "results")


@pytest.fixture
def store(kept: Store, tmp_path: Path) -> Store:
    """The same sessions, which a test may change."""
    shutil.copytree(kept.folder, tmp_path / "results")
    return Store(tmp_path / "results")


# --- more runs ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_more_runs_are_a_further_session_with_all_rows(
    tiny_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two short sessions on this machine: about 8 s.
    other = tmp_path / "other.onnx"
    other.write_bytes(tiny_onnx.read_bytes())
    store = Store(tmp_path / "store")
    plan = RunPlan(runs=2, min_count=5, min_duration_s=0)
    request = Request(
        device=find_device("local"), models=(str(tiny_onnx), str(other)), plan=plan, overhead=False, cold=False
    )
    before = profile_all(request, store=store)
    code, out, _ = edgebench(capsys, "runs", "extend", before[0].id, "--runs", 3, "--store", store.folder)
    assert code in (0, 4)  # 4: others work on this machine
    further = [each for each in store.measurements() if each.subject.session != before[0].subject.session]
    assert [each.subject.extends for each in further] == [each.id for each in before]
    assert [each.subject.planned_runs for each in further] == [3, 3]
    # The runs of before are as they were: nothing is pooled.
    assert [len(store.measurement(each.id).runs) for each in before] == [len(each.runs) for each in before]
    assert f"session {further[0].subject.session} repeats {before[0].subject.session}" in out
    document = measurements_to_json(further)
    check_schema(document, "profile")
    assert document["measurements"][0]["schedule"]["extends"] == before[0].id
    # A file that has changed meanwhile would be another measurement.
    other.write_bytes(changed(other))
    with pytest.raises(ConfigError, match="has changed since session"):
        extend(before[0].id, runs=2, store=store)


def changed(path: Path) -> bytes:
    """Return the same model with another description."""
    import onnx

    model = onnx.load(str(path))
    model.doc_string = "another file"
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune": ("threads",)}, "was tuned; tune again"),
        ({"plan": RunPlan(runs=1, sustained_min=5)}, "is one long run"),
    ],
)
def test_what_has_no_runs_to_add_says_so(store: Store, changes: dict[str, object], message: str) -> None:
    request = replace(Request(device=find_device("local")), **changes)  # type: ignore[arg-type]
    store.write_session(FIRST, request_to_json(request))
    with pytest.raises(ConfigError, match=message):
        request_to_extend(store, f"{FIRST}-000", runs=6)


def test_a_further_session_has_a_plan_of_its_own(store: Store) -> None:
    request = Request(device=find_device("local"), models=("a", "b"), until_decided=True, budget_s=60, seed=1)
    store.write_session(FIRST, request_to_json(request))
    found = request_to_extend(store, f"{FIRST}-001", runs=139)
    assert (found.extends, found.plan.runs, found.looks, found.seed) == (FIRST, 139, (139,), None)
    assert (found.budget_s, found.models) == (None, ("a", "b"))
    with pytest.raises(UsageError, match="at least one run"):
        request_to_extend(store, f"{FIRST}-001", runs=0)


def test_the_advice_to_measure_more_is_a_command_that_works(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    session = "20260201T100000-abcdef"
    baseline = add(store, session, 0, "near-a", runs=4, planned=4)
    candidate = add(store, session, 1, "near-b", ms=10.2, runs=4, planned=4)
    code, out, _ = edgebench(capsys, "compare", baseline.id, candidate.id, "--store", store.folder, "--margin", 0.005)
    assert code == 0
    (advice,) = [line for line in out.splitlines() if line.startswith("to decide: ")]
    words = advice.removeprefix("to decide: ").split()
    assert words[:4] == ["edgebench", "runs", "extend", candidate.id]
    assert int(words[5]) > 4
    # The store has no request of this session that no board ran: the command is there, and says so.
    code, _, err = edgebench(capsys, *words[1:6], "--store", store.folder)
    assert code == 2
    assert "unknown session" in err


def test_more_runs_than_planned_are_not_shown_as_12_of_6(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "20260201T100000-abcdef", 0, "decided", runs=12, planned=6)
    add(store, "20260201T100000-abcdef", 1, "busy", runs=6, planned=6, invalid=2)
    _, out, _ = edgebench(capsys, "runs", "list", "--store", store.folder)
    rows = {line.split()[1]: line for line in out.splitlines() if line.startswith("20260201")}
    assert " of 6" not in rows["decided"]
    assert "  12  " in rows["decided"]
    assert "4 of 6" in rows["busy"]


# --- filters, tags, deletion ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--variant", "english"), [f"{each}-000" for each in (FIRST, SECOND, THIRD)]),
        (("--format", "tflite-int8"), [f"{each}-002" for each in (FIRST, SECOND, THIRD)]),
        (("--session", SECOND), [f"{SECOND}-{at:03d}" for at in range(3)]),
        (("--since", "2026-01-03"), [f"{THIRD}-{at:03d}" for at in range(3)]),
        (("--until", "2026-01-01"), [f"{FIRST}-{at:03d}" for at in range(3)]),
        (("--since", "2026-01-02", "--until", "2026-01-02", "--variant", "multi"), [f"{SECOND}-001", f"{SECOND}-002"]),
        (("--since", "2026-01-03T10:01"), []),
        (("--tag", "release"), [f"{SECOND}-001"]),
        (("--device", "pi4", "--tag", "release"), [f"{SECOND}-001"]),
        (("--device", "pi5"), []),
        (("--since", "1m"), []),
    ],
)
def test_list_and_export_are_filtered(
    store: Store, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], expected: list[str]
) -> None:
    store.tag(f"{SECOND}-001", "release")
    code, out, err = edgebench(capsys, "runs", "list", "--json", "-", *options, "--store", store.folder)
    assert code == 0
    assert [each["id"] for each in json.loads(out)["measurements"]] == expected
    code, table, written = edgebench(
        capsys, "runs", "export", "--to", "csv", "--out", "-", *options, "--store", store.folder
    )
    assert sorted({row["measurement"] for row in csv.DictReader(io.StringIO(table))}) == expected
    if not expected:
        # `1m` is of the moment at which it is read.
        assert code == 2
        assert err.startswith("edgebench: no stored measurement fits: ")
        assert written.startswith("edgebench: no stored measurement fits: ")


def test_a_filter_that_nothing_has_names_the_nearest(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for option, word, near in (("--device", "pi44", "device pi4"), ("--variant", "mutli", "variant multi")):
        _, _, err = edgebench(capsys, "runs", "list", option, word, "--store", store.folder)
        assert f"did you mean {near}?" in err
    code, _, err = edgebench(capsys, "runs", "list", "--since", "31.1.2026", "--store", store.folder)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not a date" in err


def test_tags_are_kept_shown_and_removed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--store", store.folder)
    assert edgebench(capsys, "runs", "tag", f"{FIRST}-000", "v1", "best", *where)[1] == f"{FIRST}-000: best, v1\n"
    assert store.measurement(f"{FIRST}-000").tags == ("best", "v1")
    check_schema(measurements_to_json([store.measurement(f"{FIRST}-000")]), "profile")
    assert "best, v1" in edgebench(capsys, "runs", "list", *where)[1]
    assert "best, v1" in edgebench(capsys, "runs", "show", f"{FIRST}-000", *where)[1]
    edgebench(capsys, "runs", "tag", f"{FIRST}-000", "v1", "absent", "--remove", *where)
    assert store.tags(f"{FIRST}-000") == ("best",)
    edgebench(capsys, "runs", "tag", SECOND, "nightly", *where)  # a session: all of it
    assert len(store.measurements(tag="nightly")) == 3
    edgebench(capsys, "runs", "tag", SECOND, "nightly", "--remove", *where)
    assert not list((store.folder / "tags").glob(f"{SECOND}*"))


@pytest.mark.parametrize("tag", ["two words", "", "-x", "a/b", "x" * 65, "ä"])
def test_a_tag_is_a_word(store: Store, tag: str) -> None:
    with pytest.raises(UsageError, match="can't be a tag"):
        store.tag(f"{FIRST}-000", tag)


def test_deletion_is_asked_for_and_leaves_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--store", store.folder)
    store.tag(f"{FIRST}-001", "v1")
    store.write_session(FIRST, {})
    code, _, err = edgebench(capsys, "runs", "delete", f"{FIRST}-001", *where)
    assert code == 2
    assert "nobody can be asked; try: --yes" in err
    assert len(store.measurements(session=FIRST)) == 3
    code, _, err = edgebench(capsys, "runs", "delete", f"{FIRST}-001", "--yes", *where)
    assert code == 0
    assert f"{FIRST}-001: multi onnx-int8 on pi4, 128 tok" in err
    assert "6 runs deleted" in err
    assert not list(store.folder.rglob(f"*{FIRST}-001*"))
    assert store.sessions() == [FIRST]
    edgebench(capsys, "runs", "delete", FIRST, "--yes", *where)  # a session: all of it
    assert (store.measurements(session=FIRST), store.sessions()) == ([], [])
    assert len(store.measurements()) == 6
    code, _, err = edgebench(capsys, "runs", "delete", FIRST, "--yes", *where)
    assert code == 2
    assert "unknown measurement" in err


def test_models_that_alternated_are_deleted_together(store: Store) -> None:
    alternating = {"alternating": {"process": "20260301T100000-abcdef-000-000", "position": 0, "models": 2}}
    of = [
        replace(subject(at), id=f"20260301T100000-abcdef-{at:03d}", session="20260301T100000-abcdef") for at in (0, 1)
    ]
    kept = trace([10 * MS] * 20)
    runs = [run(each, 0, kept, facts=alternating) for each in of]
    store.add_runs(
        [
            (each, replace(run, log_ratios={other.id: 0.0}))
            for each, run, other in zip(of, runs, reversed(runs), strict=True)
        ]
    )
    with pytest.raises(
        UsageError, match="they count only together; delete the session: edgebench runs delete 20260301"
    ):
        store.delete([of[0].id])
    assert store.delete([each.id for each in of]) == 2


def test_python_filters_by_dates(store: Store) -> None:
    assert len(store.measurements(since=date(2026, 1, 2))) == 6
    assert len(store.measurements(since="2026-01-02", until=date(2026, 1, 2), variant="multi")) == 2
    assert [each.id for each in store.select(Selection(session=THIRD))] == [f"{THIRD}-{at:03d}" for at in range(3)]


# --- exports --------------------------------------------------------------------------------------------------------


def test_exported_inferences_are_in_order_and_have_their_tokens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    store, of = Store(tmp_path / "results"), subject(0)
    kept = trace([(5 + at % 7) * MS for at in range(3000)], readings={"frequency_khz/0": [1_500_000] * 100})
    items = np.arange(3000) % 3
    tokens = [5, 90, 31]
    for number in (1, 0):
        store.add_run(
            of,
            run(
                of,
                number,
                Trace(**{name: getattr(kept, name) for name in kept.__slots__} | {"items": items}),
                facts={"batches": 3, "batch_tokens": tokens, "batch_padded_tokens": [90] * 3, "batch_sizes": [1] * 3},
            ),
        )
    code, out, err = edgebench(capsys, "runs", "export", "--to", "csv", "--out", "-", "--store", store.folder)
    assert (code, "6,000 inferences written to standard output" in err) == (0, True)
    rows = list(csv.DictReader(io.StringIO(out)))
    places = [(row["run"], int(row["start_ns"])) for row in rows]
    assert places == sorted(places)
    assert [int(row["tokens"]) for row in rows] == [tokens[int(row["item"])] for row in rows]
    assert {row["padded_tokens"] for row in rows} == {"90"}


def test_parquet_is_not_written_to_standard_output(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind, expected in (("parquet", 2), ("csv", 0)):
        code, _, _ = edgebench(capsys, "runs", "export", "--to", kind, "--out", "-", "--store", store.folder)
        assert code == expected
    assert not Path("-").exists()


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "interval", "expected"),
    [
        (194.2, (73.8, 559.5), "194 (73.8 to 560)"),
        (10.0, (9.9, 10.1), "10.0 ±0.1"),
        (10.0, (9.0, 11.11), "10.0 (9.00 to 11.1)"),
        (10.0, (10.0, 10.0), "10.0 ±0.0"),
        (10.0, None, "10.0"),
        (None, None, ""),
    ],
)
def test_an_interval_that_is_not_symmetric_is_shown_from_low_to_high(
    value: float | None, interval: tuple[float, float] | None, expected: str
) -> None:
    assert with_interval(value, interval) == expected


def test_output_to_a_pipe_is_not_padded(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (("list",), ("show", f"{FIRST}-000")):
        _, out, _ = edgebench(capsys, "runs", *command, "--store", store.folder)
        assert not [line for line in out.splitlines() if line != line.rstrip()]
        assert "\x1b" not in out


def test_verdicts_have_colours_on_a_terminal_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from edgebench.reporting import comparison_parts, list_of_measurements
    from edgebench.store import compare_stored

    def shown(*, no_colour: bool = False) -> str:
        if no_colour:
            monkeypatch.setenv("NO_COLOR", "1")
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=True, color_system="standard", width=120)
        for part in comparison_parts(compare_stored("english", "multi", store=store)):
            console.print(part)
        console.print(list_of_measurements(store.measurements()))
        return stream.getvalue()

    assert "\x1b[31mslower\x1b[0m" in shown()
    assert "\x1b[32m✓ yes" in shown()
    assert "\x1b[3" not in shown(no_colour=True)
