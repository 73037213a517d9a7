"""`compare`: which measurements two names stand for, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgebench.analysis import compare_pairs
from edgebench.errors import ConfigError, EdgebenchError, UnknownName, UsageError
from edgebench.measurement import measurements_to_json
from edgebench.store import Store, compare_stored
from edgebench.store.lookup import find_pairs
from tests.field.stored_sessions import FIRST, SECOND, THIRD, add, edgebench, weeks_of_sessions
from tests.schemas import check_schema


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return weeks_of_sessions(tmp_path_factory.mktemp("stored") / "results")


def ids(store: Store, *names: str, session: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(one.id, other.id) for one, other in find_pairs(store, *names, session=session).pairs]


def test_ids_and_dates_of_both_sides_are_printed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = edgebench(capsys, "compare", "english", "multi", "--store", store.folder)
    assert code == 0
    assert f"  baseline:  english onnx-int8, {THIRD}-000, measured 2026-01-03 10:00 UTC" in out
    assert f"  candidate: multi onnx-int8, {THIRD}-001, measured 2026-01-03 10:00 UTC" in out
    assert f"session {THIRD} is the latest of 3 that have both; another one: --session ID" in out


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ((), (THIRD, THIRD)),
        (("latest",), (THIRD, THIRD)),
        (("previous",), (SECOND, SECOND)),
        ((FIRST,), (FIRST, FIRST)),
        (("20260101",), (FIRST, FIRST)),
        (("previous", "latest"), (SECOND, THIRD)),
        ((FIRST, "latest"), (FIRST, THIRD)),
    ],
)
def test_a_session_is_chosen(store: Store, session: tuple[str, ...], expected: tuple[str, str]) -> None:
    assert ids(store, "english", "multi", session=session) == [(f"{expected[0]}-000", f"{expected[1]}-001")]


@pytest.mark.parametrize(
    ("session", "error", "message"),
    [
        (("2026",), UsageError, "'2026' is the beginning of 3 sessions"),
        (("20270101",), UnknownName, "unknown session '20270101'"),
        (("a", "b", "c"), UsageError, "a comparison has two sides, not 3 sessions"),
    ],
)
def test_a_session_that_is_not_there_is_one_line(
    store: Store, session: tuple[str, ...], error: type[EdgebenchError], message: str
) -> None:
    with pytest.raises(error, match=message):
        find_pairs(store, "english", "multi", session=session)


def test_one_variant_twice_says_how_to_compare_two_sessions_of_it(store: Store) -> None:
    with pytest.raises(ConfigError) as refused:
        find_pairs(store, "multi", "multi")
    assert "one and the same measurement" in str(refused.value)
    assert "`session=['previous', 'latest']`" in str(refused.value)
    assert ids(store, "multi:onnx-int8", "multi:onnx-int8", session=("previous", "latest")) == [
        (f"{SECOND}-001", f"{THIRD}-001")
    ]


def test_a_name_beside_a_name_with_a_format_takes_that_format(store: Store) -> None:
    add(store, "20260104T100000-dddddd", 0, "multi", format="tflite-int8")
    add(store, "20260104T100000-dddddd", 1, "multi", format="onnx-int8")
    add(store, "20260104T100000-dddddd", 2, "other", format="onnx-int8")
    assert ids(store, "multi", "other:onnx-int8") == [("20260104T100000-dddddd-001", "20260104T100000-dddddd-002")]
    assert ids(store, "other:onnx-int8", "multi") == [("20260104T100000-dddddd-002", "20260104T100000-dddddd-001")]
    # An id says a format, too.
    assert ids(store, "multi", "20260104T100000-dddddd-002") == [
        ("20260104T100000-dddddd-001", "20260104T100000-dddddd-002")
    ]


def test_a_format_that_a_variant_does_not_have_is_said(store: Store) -> None:
    chosen = find_pairs(store, "english", "multi:tflite-int8", session=(FIRST,))
    assert [(one.id, other.id) for one, other in chosen.pairs] == [(f"{FIRST}-000", f"{FIRST}-002")]
    assert chosen.notes == ("english was not measured in tflite-int8: its onnx-int8 is compared",)
    with pytest.raises(UsageError, match="english was not measured in tflite-int8, only in onnx-int8"):
        find_pairs(store, "english:tflite-int8", "multi")


def test_a_name_with_int8_stands_for_what_the_board_got_for_it(store: Store) -> None:
    session = "20251107T100000-ababab"
    add(store, session, 0, "before", format="tflite-int8-per-tensor")
    add(store, session, 1, "after", format="tflite-int8-per-tensor")
    pair = [(f"{session}-000", f"{session}-001")]
    assert ids(store, "before:tflite-int8", "after:tflite-int8") == pair
    assert ids(store, "before:tflite-int8", "after") == pair
    add(store, session, 2, "after", format="tflite-int8")  # the board has the other runtime, too: the name is exact
    assert ids(store, "before", "after:tflite-int8-per-tensor") == pair
    assert ids(store, "before:tflite-int8", "after:tflite-int8") == [(f"{session}-000", f"{session}-002")]


def test_of_several_formats_none_is_chosen_silently(store: Store) -> None:
    session = "20251201T100000-eeeeee"
    add(store, session, 0, "two", format="onnx-fp32")
    add(store, session, 1, "two", format="onnx-fp16")
    add(store, session, 2, "third", format="onnx-int8")
    with pytest.raises(ConfigError, match="two was not measured in onnx-int8, but in onnx-fp16, onnx-fp32; name one"):
        find_pairs(store, "two", "third:onnx-int8")
    with pytest.raises(ConfigError, match="name the formats: two:onnx-fp16 third:onnx-int8"):
        find_pairs(store, "two", "third")
    assert ids(store, "two:onnx-fp16", "third:onnx-int8") == [(f"{session}-001", f"{session}-002")]


def test_rows_that_differ_are_named(store: Store) -> None:
    session = "20251202T100000-eeeeee"
    add(store, session, 0, "short", label="32 tok", workload={"seq_len": 32, "batch": 1, "threads": 1})
    add(store, session, 1, "long", label="256 tok", workload={"seq_len": 256, "batch": 1, "threads": 4})
    with pytest.raises(ConfigError) as refused:
        find_pairs(store, "short", "long")
    assert "short has onnx-int8 32 tok (batch 1, 1 thread) on pi4; long has onnx-int8 256 tok (batch 1, 4" in str(
        refused.value
    )


def test_what_differs_within_a_session_is_not_said_to_go_away_by_measuring_again(store: Store) -> None:
    session = "20251203T100000-eeeeee"
    padded = {"scenario": "single-stream", "seq_len": 128, "batch": 1, "threads": 4}
    add(store, session, 0, "same", workload=padded | {"padding": "longest"})
    add(store, session, 1, "same", format="tflite-int8", workload=padded | {"padding": "bucket"})
    with pytest.raises(EdgebenchError) as refused:
        compare_stored("same:onnx-int8", "same:tflite-int8", store=store)
    assert "one session measured them so; accept the difference: `allow=['padding']`" in str(refused.value)
    assert "measure both in one session" not in str(refused.value)


def test_the_command_that_decides_allows_another_format(store: Store) -> None:
    (found,) = compare_stored("english", "multi:tflite-int8", store=store, session=(FIRST, SECOND))
    assert found.comparison.to_decide is not None
    assert found.comparison.to_decide.endswith("--format tflite-int8 --allow format --allow runtime")


# --- result files ---------------------------------------------------------------------------------------------------


def result_file(store: Store, path: Path, *ids: str) -> Path:
    path.write_text(json.dumps(measurements_to_json([store.measurement(id) for id in ids])), encoding="utf-8")
    return path


def test_result_files_stand_for_their_measurements(store: Store, tmp_path: Path) -> None:
    base = result_file(store, tmp_path / "base.json", f"{FIRST}-000")
    both = result_file(store, tmp_path / "both.json", f"{FIRST}-001", f"{FIRST}-002")
    assert ids(store, str(base), str(both)) == [(f"{FIRST}-000", f"{FIRST}-001")]
    assert ids(store, str(base), "multi:onnx-int8", session=(FIRST,)) == [(f"{FIRST}-000", f"{FIRST}-001")]
    first = result_file(store, tmp_path / "first.json", f"{FIRST}-000", f"{FIRST}-001")
    second = result_file(store, tmp_path / "second.json", f"{SECOND}-000", f"{SECOND}-001")
    # Each variant with itself.
    assert ids(store, str(first), str(second)) == [(f"{FIRST}-{n:03d}", f"{SECOND}-{n:03d}") for n in range(2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "can't be read: No such file or directory"),
        ("{", "is not JSON"),
        ("[]", "is not a result of `profile --json`"),
        ('{"measurements": []}', "has no measurements"),
        ('{"scores": []}', "it has scores; pass it as `scores`"),
        ('{"name": "v1", "accepted_at": "2026-01-01"}', "edgebench gate --baseline"),
        ('{"measurements": [{"id": "20200101T000000-ffffff-000"}]}', "its runs are not in the store"),
    ],
)
def test_a_file_that_can_not_be_compared_is_one_line(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    code, out, err = edgebench(capsys, "compare", path, "multi", "--store", store.folder)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert str(path) in err
    assert message.replace("`scores`", "--scores") in err


def test_a_misspelled_variant_is_told_the_nearest(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = edgebench(capsys, "compare", "engish", "multi", "--store", store.folder)
    assert code == 2
    assert "unknown variant or measurement 'engish'; did you mean 'english'?" in err


# --- the result -----------------------------------------------------------------------------------------------------


def test_one_comparison_and_several_have_one_shape(store: Store, tmp_path: Path) -> None:
    session, target = "20251204T100000-eeeeee", tmp_path / "comparison.json"
    for number, lang in enumerate(("en", "sw")):
        workload = {"scenario": "single-stream", "lang": lang, "batch": 1, "threads": 4}
        add(store, session, number, "base", label=lang, workload=workload)
        add(store, session, 2 + number, "tuned", label=lang, workload=workload)

    def document(*arguments: object) -> dict[str, object]:
        with pytest.raises(SystemExit):
            from edgebench.cli import main

            main([str(each) for each in (*arguments, "--store", store.folder, "--json", target)])
        found: dict[str, object] = json.loads(target.read_text(encoding="utf-8"))
        check_schema(found, "compare")
        return found

    one = document("compare", f"{session}-000", f"{session}-002")
    several = document("compare", "base", "tuned")
    for found, count in ((one, 1), (several, 2)):
        assert found["format_version"] == 1
        assert isinstance(found["results"], list)
        assert len(found["results"]) == count
        assert {"baseline", "candidate", "latency", "scores", "verdict"} <= found["results"][0].keys()
    # What scripts of earlier versions read.
    assert {key: one[key] for key in one["results"][0]} == one["results"][0]  # type: ignore[index]
    assert several["comparisons"] == several["results"]
    assert str(several["verdict"]).startswith("2 comparisons: ")


def test_quantities_of_one_comparison_have_one_level(store: Store) -> None:
    (found,) = compare_stored("english", "multi", store=store)
    comparison = found.comparison
    assert (comparison.latency.verdict, comparison.p95 and comparison.p95.verdict) == ("slower", "slower")
    levels = {
        each.level for each in (comparison.latency, comparison.p95, comparison.throughput, comparison.memory) if each
    }
    assert levels == {0.975}


def test_an_interval_is_never_at_a_level_that_contradicts_its_verdict(store: Store) -> None:
    for ms in (10.05, 10.1, 10.15, 10.2, 10.3):
        session = f"202511{int(100 * (ms - 10)):02d}T100000-abcdef"
        baseline = store.measurement(add(store, session, 0, f"a{ms}").id)
        candidate = store.measurement(add(store, session, 1, f"b{ms}", ms=ms).id)
        (found,) = compare_pairs([(baseline, candidate)])
        for each in found.decisive:
            assert each.ci is not None
            low, high = each.ci
            assert (each.verdict in ("slower", "faster")) == (each.verdict != "equivalent" and not low <= 1 <= high)


def test_scores_are_compared_where_latency_can_not_be(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = "20251205T100000-eeeeee"
    add(store, session, 0, "busy-a", invalid=5)
    add(store, session, 1, "busy-b", invalid=6)
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "variant,task,lang,metric,value\nbusy-a,xnli,sw,accuracy,70\nbusy-b,xnli,sw,accuracy,60\n", encoding="utf-8"
    )
    arguments = ("compare", "busy-a", "busy-b", "--store", store.folder)
    target = tmp_path / "comparison.json"
    code, out, err = edgebench(capsys, *arguments, "--scores", scores, "--json", target)
    assert code == 4
    assert "-10.00" in out
    assert "1 and 0 valid runs; a comparison needs two of each" in out
    assert err.count("\n") == 1
    document = json.loads(target.read_text(encoding="utf-8"))
    check_schema(document, "compare")
    assert (document["latency"]["ratio"], document["latency"]["verdict"]) == (None, "not decided")
    assert document["scores"][0]["difference"] == -10
    # Nothing to compare at all is an error, as it was.
    code, out, _ = edgebench(capsys, *arguments)
    assert (code, out) == (4, "")


def test_a_comparison_prints_a_few_lines(store: Store) -> None:
    (found,) = compare_stored("english", "multi", store=store)
    for shown in (repr(found), str(found), repr(found.comparison)):
        lines = shown.splitlines()
        assert lines[0].startswith("multi onnx-int8 is slower than english onnx-int8")
        assert len(lines) <= 8
        assert THIRD in shown
    assert len(repr(found.comparison.latency)) < 100


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_breaks_inside_a_word(store: Store, columns: int) -> None:
    from io import StringIO

    from rich.console import Console

    from edgebench.reporting import PlainTable, comparison_parts

    found = compare_stored("english", "multi", store=store)
    words = {word for part in comparison_parts(found) if isinstance(part, PlainTable) for word in words_of(part)}
    stream = StringIO()
    console = Console(file=stream, width=columns)
    for part in comparison_parts(found):
        if isinstance(part, PlainTable):
            console.print(part)
    shown = {word for word in stream.getvalue().split() if not set(word) <= {"─"}}
    assert shown - {"hidden:", "--wide", "shows", "it", "them"} <= words | {f"{word};" for word in words} | {
        f"{word}," for word in words
    }
    assert max(len(line.rstrip()) for line in stream.getvalue().splitlines()) <= columns


def words_of(table: object) -> set[str]:
    columns = table.columns  # type: ignore[attr-defined]
    return {word for column in columns for cell in (column.header, *column.cells) for word in str(cell).split()}
