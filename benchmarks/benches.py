"""What do benches gain, and what does the scheduler cost? Real schedulers and workers, simulated boards.

python -m benchmarks.benches throughput     40 cells on four benches, 10 on one; boards wait as real ones would
python -m benchmarks.benches kill           40 cells, four benches, one killed in mid-study
python -m benchmarks.benches overhead       1,000 boards that measure nothing: what is left is the way there
python -m benchmarks.benches scale          10, 100 and 1,000 boards that store their runs: what grows
"""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from edgebench.benches import connect_benches, read_executor
from edgebench.device import Device, load_profile
from edgebench.export import export_model
from edgebench.reporting import study_markdown
from edgebench.store import Store
from edgebench.study import Study, read_study, run_study, study_cells, study_report
from edgebench.study.on_benches import missing_tasks
from tests.benches.cluster import Cluster, cluster


def study_of(folder: Path, *, devices: list[str], workloads: int, runs: int) -> Study:
    """Return a study of two variants, with a contrast."""
    model = export_model("reference:tiny", "onnx-int8").artifact.model_path
    variants = ""
    for name in ("one", "two"):
        (folder / name).mkdir()
        file = folder / name / f"{name}.onnx"
        file.write_bytes(model.read_bytes())
        variants += f'[[variant]]\nname = "{name}"\nmodel = "{file}"\n'
    lengths = "".join(f"[[workload]]\nseq_len = {8 + at}\n" for at in range(workloads))
    contrast = '[[contrast]]\nbaseline = {name = "one"}\ncandidate = {name = "two"}\n'
    path = folder / "STUDY.toml"
    path.write_text(
        f'devices = {json.dumps(devices)}\n[study]\nname = "matrix"\ncold = false\noverhead = false\n'
        f"[plan]\nruns = {runs}\nmin_count = 50\n{variants}{lengths}{contrast}"
    )
    return read_study(path, any_device=True)


def timed_study(folder: Path, benches: int, cells: int, *, runs: int, pause_s: float, kill: bool = False) -> float:
    """Run a study of so many cells on benches with one board each; return how long it took, seconds."""
    with cluster(folder) as made:
        study = study_of(folder, devices=["sim"], workloads=cells, runs=runs)
        started = [made.start_bench(f"lab-{at}", ["sim"], "--pause", str(pause_s)) for at in range(benches)]
        store = Store(folder / "store")
        if kill:
            threading.Timer(8.0, started[0].send_signal, [signal.SIGKILL]).start()
        began_s = time.perf_counter()
        run_study(study, store, executor=made.executor)
        took_s = time.perf_counter() - began_s
        if kill:
            assert started[0].wait() == -signal.SIGKILL
        check_once(study, store, runs=runs)
    return took_s


def check_once(study: Study, store: Store, *, runs: int) -> None:
    """Fail unless every cell is in the store once, with all its runs."""
    cells = study_cells(study, store)
    assert all(cell.done for cell in cells)
    found = Counter(
        (run.subject.device.name, run.subject.label, run.subject.variant.name)
        for run in store.measurements()
        for _ in run.runs
    )
    assert set(found.values()) == {runs}, Counter(found.values())
    assert len(found) == len(cells) * len(study.variants)
    assert len(store.sessions()) == len(cells)


def throughput(folder: Path) -> None:
    """40 cells on four benches, and as many as one of them has on one bench."""
    pace = {}
    for benches, cells in ((1, 10), (4, 40)):
        (place := folder / str(benches)).mkdir()
        took_s = timed_study(place, benches, cells, runs=2, pause_s=2.0)
        pace[benches] = cells / took_s
        print(f"{benches} bench(es): {cells} cells in {took_s:.1f} s, {pace[benches]:.3f} cells/s", flush=True)
    print(f"four against one: {pace[4] / pace[1]:.2f} times the throughput")


def kill(folder: Path) -> None:
    """One of four benches is killed after 8 s."""
    took_s = timed_study(folder, 4, 40, runs=3, pause_s=0.4, kill=True)
    print(f"40 cells on 4 benches, one killed (SIGKILL) after 8 s: {took_s:.1f} s; every cell and run is there once")


def start_boards(made: Cluster, boards: int, *options: str) -> list[str]:
    """Start up to four benches that share so many boards; return the boards."""
    names = [f"sim-{at:04d}" for at in range(boards)]
    benches = min(4, boards)
    for at in range(benches):
        made.start_bench(f"lab-{at}", names[at::benches], "--pace", "0", *options)
    return names


def overhead(folder: Path) -> None:
    """1,000 boards that measure nothing, one cell each."""
    with cluster(folder) as made:
        names = start_boards(made, 1000, "--empty")
        study = study_of(folder, devices=names, workloads=1, runs=3)
        profile = load_profile("pi4")
        placed = Study(
            **{field: getattr(study, field) for field in Study.__slots__}
            | {"devices": tuple(Device(name=name, profile=profile) for name in names)}
        )
        scheduler = read_executor(made.executor)
        assert scheduler is not None
        began_s = time.perf_counter()
        tasks = missing_tasks(placed, Store(folder / "store"), on_event=lambda _: None)
        planned_s = time.perf_counter()
        with connect_benches(scheduler) as benches:
            connected_s = time.perf_counter()
            outcomes = benches.run_cells(tasks)
            took_s = time.perf_counter() - connected_s
        assert len(outcomes) == 1000
        assert all(each.result is not None and each.error is None for each in outcomes)
        memory, offers = scheduler_size(made)
        print(f"scheduler: {memory:.0f} MB; what it says of its benches: {offers:.0f} kB")
        print(f"planning 1,000 cells: {(planned_s - began_s):.1f} s")
        print(f"1,000 cells through the scheduler: {took_s:.1f} s, {took_s:.1f} ms a cell")


def scheduler_size(made: Cluster) -> tuple[float, float]:
    """Return the scheduler's resident memory, MB, and what it says of all its workers, kB."""
    scheduler = read_executor(made.executor)
    assert made.scheduler is not None
    assert scheduler is not None
    with connect_benches(scheduler) as benches:
        said = benches.client.sync(benches.client.scheduler.identity, n_workers=-1)
    return psutil.Process(made.scheduler.pid).memory_info().rss / 1e6, len(repr(said)) / 1e3


def scale(folder: Path, sizes: list[int]) -> None:
    """What grows with the number of boards, where runs are stored."""
    print("boards | cells/s | ms a cell | scheduler MB | offers kB | store entries | listing s | report s | report kB")
    for boards in sizes:
        (place := folder / str(boards)).mkdir()
        with cluster(place) as made:
            names = start_boards(made, boards)
            study, store = study_of(place, devices=names, workloads=1, runs=2), Store(place / "store")
            began_s = time.perf_counter()
            run_study(study, store, executor=made.executor)
            took_s = time.perf_counter() - began_s
            memory, offers = scheduler_size(made)
            began_s = time.perf_counter()
            study_cells(study, store)
            listed_s = time.perf_counter() - began_s
            check_once(study, store, runs=2)
            entries = len(list((store.folder / "runs").iterdir()))
            began_s = time.perf_counter()
            text = study_markdown(study_report(study, store))
            report_s = time.perf_counter() - began_s
            print(
                f"{boards} | {boards / took_s:.1f} | {1000 * took_s / boards:.0f} | {memory:.0f} | {offers:.0f} | "
                f"{entries} | {listed_s:.2f} | {report_s:.2f} | {len(text.encode()) / 1e3:.0f}",
                flush=True,
            )


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.benches")
    parser.add_argument("what", choices=("throughput", "kill", "overhead", "scale"))
    parser.add_argument("--boards", default="10,100,1000", help="of scale")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "scale":
            scale(Path(folder), [int(each) for each in given.boards.split(",")])
        else:
            {"throughput": throughput, "kill": kill, "overhead": overhead}[given.what](Path(folder))


if __name__ == "__main__":
    main()
