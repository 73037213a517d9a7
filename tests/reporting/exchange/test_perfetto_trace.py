"""Perfetto traces, read with the classes and the trace processor of the package `perfetto`."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebench import Store, UsageError, export_results
from edgebench.measurement import Measurement
from edgebench.reporting.exchange.perfetto import PerfettoTrace
from edgebench.run import Run, Series
from tests.needed import need
from tests.reporting.exchange.sample_store import AWKWARD, export, throttled, unusual
from tests.reporting.sample_results import measured
from tests.sample_runs import MS, run, subject, trace

need("perfetto")

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb  # type: ignore[import-untyped]  # noqa: E402

#: Of a board that has been on for half a year: a float, as JSON traces have it, loses the last digits.
UPTIME_NS = 15_552_000_123_456_789


def late(of: Run) -> Run:
    """Return a run whose board had been on for long."""
    kept = of.trace
    shifted = replace(
        kept,
        starts_ns=kept.starts_ns + UPTIME_NS,
        warmup_starts_ns=kept.warmup_starts_ns + UPTIME_NS,
        readings={name: Series(it.t_ns + UPTIME_NS, it.values) for name, it in kept.readings.items()},
    )
    return replace(of, trace=shifted)


def written(*measurements: Measurement, folder: Path) -> Any:
    target = folder / "runs.pftrace"
    export_results(measurements, to="perfetto", out=target)
    return pb.Trace.FromString(target.read_bytes())


def tracks_of(read: Any) -> dict[int, Any]:
    return {it.track_descriptor.uuid: it.track_descriptor for it in read.packet if it.HasField("track_descriptor")}


def slices_of(read: Any) -> Iterator[tuple[int, str, int, int, dict[str, Any]]]:
    """Yield track, name, begin, duration and arguments of each slice, by the rules of track events."""
    stacks: dict[int, list[tuple[int, Any]]] = defaultdict(list)
    for packet in sorted((it for it in read.packet if it.HasField("track_event")), key=lambda it: it.timestamp):
        event = packet.track_event
        if event.type == pb.TrackEvent.TYPE_SLICE_BEGIN:
            stacks[event.track_uuid].append((packet.timestamp, event))
        elif event.type == pb.TrackEvent.TYPE_SLICE_END:
            begin, of = stacks[event.track_uuid].pop()
            arguments = {it.name: getattr(it, it.WhichOneof("value")) for it in of.debug_annotations}
            yield event.track_uuid, of.name, begin, packet.timestamp - begin, arguments
    assert not any(stacks.values())


def counters_of(read: Any) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for packet in read.packet:
        if packet.track_event.type == pb.TrackEvent.TYPE_COUNTER:
            found[packet.track_event.track_uuid].append((packet.timestamp, packet.track_event.counter_value))
    return found


def test_every_inference_is_a_slice_of_its_own_nanoseconds(tmp_path: Path) -> None:
    of = subject(planned_runs=1)
    facts = {"batch_tokens": [7, 9], "batch_padded_tokens": [8, 16], "batch_sizes": [1, 2]}
    kept = replace(trace([3 * MS + 1, 5 * MS + 7, 4 * MS], pause_ns=3, warmup_ns=[9 * MS]), items=np.array([0, 1, 0]))
    one = late(run(of, 0, kept, facts=facts))
    read = written(replace(measured(0), subject=of, runs=(one,)), folder=tmp_path)
    tracks = tracks_of(read)
    found = [it for it in slices_of(read) if tracks[it[0]].name == "inferences"]
    assert [(begin, took) for _, _, begin, took, _ in found[1:]] == list(
        zip(one.trace.starts_ns.tolist(), one.trace.latencies_ns.tolist(), strict=True)
    )
    assert [name for _, name, *_ in found] == ["input 0", "input 0", "input 1", "input 0"]
    assert found[0][4] == {"input": 0, "tokens": 7, "padded_tokens": 8, "batch": 1, "timed": False}
    assert found[2][4] == {"input": 1, "tokens": 9, "padded_tokens": 16, "batch": 2, "timed": True}


def test_phases_follow_each_other(tmp_path: Path) -> None:
    one = late(measured(0, runs=1).runs[0])
    read = written(replace(measured(0), runs=(one,)), folder=tmp_path)
    tracks = tracks_of(read)
    phases = {name: (begin, begin + took) for track, name, begin, took, _ in slices_of(read)
              if tracks[track].name == "phases"}  # fmt: skip
    assert list(phases) == ["load", "first inference", "warm-up", "timed"]
    assert phases["load"][1] - phases["load"][0] == one.load_ns
    assert phases["load"][1] == phases["first inference"][0]
    assert phases["first inference"][1] == phases["warm-up"][0] == one.trace.warmup_starts_ns[0]
    assert phases["timed"] == (one.trace.starts_ns[0], one.trace.starts_ns[-1] + one.trace.latencies_ns[-1])


def test_runs_are_processes_with_counters(tmp_path: Path) -> None:
    measurement = measured(0, runs=3)
    read = written(measurement, folder=tmp_path)
    tracks = tracks_of(read)
    processes = {uuid: it.process for uuid, it in tracks.items() if it.HasField("process")}
    assert sorted(it.pid for it in processes.values()) == [1, 2, 3]
    assert [it.process_name for it in processes.values()] == [
        f"xnli-multi onnx-int8 on pi4, 128 tok, run 00{at}" for at in range(3)
    ]
    assert all(it.HasField("process") or it.parent_uuid in processes for it in tracks.values())
    counters = counters_of(read)
    named = [(tracks[track].name, tracks[track].counter.unit_name) for track in counters]
    assert Counter(named) == {
        ("temperature_mc/cpu-thermal", "m°C"): 3,
        ("frequency_khz/cpu0", "kHz"): 3,
        ("others_cpu_millicores", "millicores"): 3,
        ("rss_bytes", "bytes"): 3,
    }
    temperatures = next(values for track, values in counters.items() if tracks[track].name.startswith("temperature"))
    series = measurement.runs[0].trace.readings["temperature_mc/cpu-thermal"]
    assert temperatures == list(zip(series.t_ns.tolist(), series.values.tolist(), strict=True))


def test_overlapping_queries_of_a_server_are_on_tracks_of_their_own(tmp_path: Path) -> None:
    kept = trace([10, 10, 10, 10])
    starts = np.array([1000, 1004, 1010, 1011])
    one = run(subject(), 0, replace(kept, starts_ns=starts))
    read = written(replace(measured(0), runs=(one,)), folder=tmp_path)
    tracks = tracks_of(read)
    by_track: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for track, _, begin, took, _ in slices_of(read):
        by_track[tracks[track].name].append((begin, took))
    assert by_track["inferences"] == [(1000, 10), (1010, 10)]
    assert by_track["inferences 2"] == [(1004, 10)]
    assert by_track["inferences 3"] == [(1011, 10)]


def test_what_does_not_count_is_marked(tmp_path: Path) -> None:
    read = written(throttled(), unusual(), folder=tmp_path)
    tracks = tracks_of(read)
    names = [it.process.process_name for it in tracks.values() if it.HasField("process")]
    assert [name.endswith("(not valid)") for name in names] == [True] * 4 + [False] * 4
    labels = next(iter(tracks.values())).process.process_labels
    assert "reasons: under-voltage during the run" in labels
    assert names[4].startswith(f"{AWKWARD} onnx-int8")
    excluded = [it for it in slices_of(read) if tracks[it[0]].name == "excluded"]
    assert [(begin, took) for _, _, begin, took, _ in excluded] == [(6_000_000_000, 1_000_000_000)] * 4
    marked = [it for it in slices_of(read) if it[4].get("excluded")]
    assert len(marked) == sum(int(each.is_excluded.sum()) for each in unusual().runs) > 0


def test_measurements_without_traces_are_one_line(tmp_path: Path) -> None:
    target = tmp_path / "runs.pftrace"
    without = replace(measured(0), runs=tuple(replace(each, trace=trace([])) for each in measured(0).runs))
    with pytest.raises(UsageError, match="20250102T030405-abcdef-000 has no trace of its runs"):
        export_results([without], to="perfetto", out=target)
    assert list(tmp_path.iterdir()) == []
    both = export_results([without, measured(1)], to="perfetto", out=target)
    assert (both.measurements, both.notes) == (1, ("20250102T030405-abcdef-000 has no trace of its runs",))


def test_too_large_a_trace_is_refused(tmp_path: Path) -> None:
    trace_of_few = PerfettoTrace(most_events=100)
    with pytest.raises(UsageError, match="more than 100 inferences and readings"):
        list(trace_of_few.measurement(measured(0)))


def processor(path: Path) -> Any:
    """Return perfetto's trace processor with a trace; skip where its program, which it downloads, is not here."""
    api = pytest.importorskip("perfetto.trace_processor")
    programs: Iterable[Path] = Path("~/.local/share/perfetto/prebuilts").expanduser().glob("trace_processor_shell*")
    found = shutil.which("trace_processor_shell") or next((str(it) for it in programs if it.suffix != ".tmp"), None)
    if found is None:
        pytest.skip(
            "no trace_processor_shell in PATH or in ~/.local/share/perfetto: perfetto downloads it when first used"
        )
    return api.TraceProcessor(trace=str(path), config=api.TraceProcessorConfig(bin_path=found))


def test_the_trace_processor_answers_queries(exported_store: Store, tmp_path: Path) -> None:
    target = tmp_path / "runs.pftrace"
    assert export("--to", "perfetto", "--out", target, store=exported_store).code == 0
    with processor(target) as opened:
        (row,) = opened.query("SELECT count(*) AS n, min(dur) AS least FROM slice WHERE category = 'inferences'")
        runs = [each for kept in exported_store.measurements() for each in kept.runs]
        assert row.n == sum(len(each.trace.latencies_ns) + len(each.trace.warmup_latencies_ns) for each in runs)
        assert row.least == min(int(each.trace.latencies_ns.min()) for each in runs)
        (clocks,) = opened.query("SELECT count(*) AS n FROM counter_track WHERE name = 'frequency_khz/cpu0'")
        assert clocks.n == len(runs)
