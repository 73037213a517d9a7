"""Studies over benches: a real scheduler, real workers, simulated boards with real waits, and one real board."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgebench.benches import Scheduler, read_executor
from edgebench.board.lease import give_back, take_lease
from edgebench.device import find_device
from edgebench.errors import BoardError, ConfigError, ConnectionFailed, ConnectionLost, MissingExtra
from edgebench.events import Event, LogMessage
from edgebench.store import Store
from edgebench.study import (
    Study,
    read_study,
    read_study_of,
    run_study,
    study_bench_status,
    study_cells,
    study_report,
    study_status,
)
from tests.benches.cluster import Cluster, cluster
from tests.schemas import check_schema

pytest.importorskip("distributed")
RUNS = 3


@pytest.fixture
def benches(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    with cluster(folder) as made:
        yield made


@pytest.fixture
def models(tiny_onnx: Path, tmp_path: Path) -> list[Path]:
    """Two variants: the same file under two names, which is kept once."""
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append(Path(shutil.copy(tiny_onnx, tmp_path / name / f"{name}.onnx")))
    return found


def study_of(folder: Path, models: list[Path], *, devices: list[str], workloads: int, extra: str = "") -> Study:
    path = folder / "STUDY.toml"
    variants = "".join(f'[[variant]]\nname = "{each.stem}"\nmodel = "{each}"\n' for each in models)
    lengths = "".join(f"[[workload]]\nseq_len = {8 + at}\n" for at in range(workloads))
    path.write_text(
        f'devices = {json.dumps(devices)}\n[study]\nname = "matrix"\ncold = false\noverhead = false\n{extra}'
        f"[plan]\nruns = {RUNS}\nmin_count = 30\n{variants}{lengths}"
    )
    return read_study(path, any_device=True)


def assert_once(study: Study, store: Store) -> None:
    """Every cell is there in one session, and no run is there that no cell needs."""
    cells = study_cells(study, store)
    assert all(cell.done for cell in cells)
    runs = Counter(
        (each.subject.device.name, each.subject.label, each.subject.variant.name)
        for each in store.measurements()
        for _ in each.runs
    )
    variants = [variant.name for variant in study.variants]
    expected = {(cell.device.name, cell.workload.label, name): RUNS for cell in cells for name in variants}
    assert runs == expected
    assert len(store.sessions()) == len(cells)


def said(events: list[Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, LogMessage))


def test_benches_measure_each_cell_once_and_files_travel_through_the_store(
    benches: Cluster, models: list[Path], tmp_path: Path
) -> None:
    benches.start_bench("lab-1", ["sim-1", "sim-2"], "--pace", "0")
    benches.start_bench("lab-2", ["sim-3"], "--pace", "0")
    study = study_of(tmp_path, models, devices=["sim-1", "sim-2", "sim-3"], workloads=2)
    store, events = Store(tmp_path / "store"), []
    found = run_study(study, store, executor=benches.executor, on_event=events.append)
    assert_once(study, store)
    assert sorted(each.subject.device.name for each in found) == sorted(["sim-1", "sim-2", "sim-3"] * 4)
    assert {each.subject.variant.name for each in found} == {"one", "two"}
    assert len(list((store.folder / "artifacts").iterdir())) == 1
    assert "sim-3, 8 tok (bench lab-2): measuring" in said(events)
    assert run_study(study, store, executor=benches.executor) == []  # nothing is missing
    # Whoever has the store alone reads the report: no settings file here names these boards.
    assert study_report(read_study_of(study.path, store), store).missing == ()


@pytest.mark.long
def test_a_bench_that_is_killed_costs_no_cell_and_doubles_none(
    benches: Cluster, models: list[Path], tmp_path: Path
) -> None:
    doomed = benches.start_bench("lab-1", ["sim"])
    benches.start_bench("lab-2", ["sim"])
    study = study_of(tmp_path, models, devices=["sim"], workloads=8)
    store = Store(tmp_path / "store")

    def kill_later() -> None:
        runs = store.folder / "runs"
        while not runs.is_dir() or len(list(runs.glob("2*"))) < 7:  # in the middle of a session
            time.sleep(0.02)
        doomed.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_later)
    killer.start()
    run_study(study, store, executor=benches.executor)
    killer.join()
    assert doomed.wait() == -signal.SIGKILL
    assert_once(study, store)


@pytest.mark.slow
def test_two_clients_of_one_study_measure_it_once(benches: Cluster, models: list[Path], tmp_path: Path) -> None:
    benches.start_bench("lab", ["sim"])
    study = study_of(tmp_path, models, devices=["sim"], workloads=4)
    store = Store(tmp_path / "store")
    clients = [
        threading.Thread(target=run_study, args=(study, store), kwargs={"executor": benches.executor}) for _ in "ab"
    ]
    for client in clients:
        client.start()
        time.sleep(0.7)
    for client in clients:
        client.join()
    assert_once(study, store)


@pytest.mark.slow
def test_status_says_who_measures_what(benches: Cluster, models: list[Path], tmp_path: Path) -> None:
    benches.start_bench("lab", ["sim"], "--pause", "2")
    study = study_of(tmp_path, models, devices=["sim"], workloads=1)
    run = threading.Thread(target=run_study, args=(study, Store(tmp_path / "s")), kwargs={"executor": benches.executor})
    run.start()
    scheduler = read_executor(benches.executor)
    assert scheduler is not None
    assert waited_for(lambda: bool(study_bench_status(study, scheduler).running), 60)
    running = study_bench_status(study, scheduler).running
    assert [(each.bench, each.device, each.study, each.workload) for each in running] == [
        ("lab", "sim", "matrix", "8 tok")
    ]
    assert str(running[0]).startswith("sim: bench lab measures 8 tok of matrix, for ")
    run.join()
    other = study_of(tmp_path, models, devices=["sim", "pi9"], workloads=1)
    status = study_bench_status(other, scheduler)
    assert status.not_offered == ("pi9",)
    document = study_status(other, Store(tmp_path / "s")).to_json() | {"benches": status.to_json()}
    check_schema(document, "study-status")


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_board_that_no_bench_offers_is_named_with_those_that_are(
    benches: Cluster, models: list[Path], tmp_path: Path
) -> None:
    benches.start_bench("lab", ["sim"])
    study = study_of(tmp_path, models, devices=["sim", "pi9"], workloads=1)
    with pytest.raises(ConfigError, match=r"no bench at tcp://.* offers pi9; offered: sim; .*edgebench bench start"):
        run_study(study, Store(tmp_path / "store"), executor=benches.executor)


def test_a_bench_with_another_version_is_refused_by_name(benches: Cluster, models: list[Path], tmp_path: Path) -> None:
    benches.start_bench("old", ["sim"], "--version", "0.0.1")
    study = study_of(tmp_path, models, devices=["sim"], workloads=1)
    with pytest.raises(
        ConfigError, match=r"bench old \(tcp://.*\) has edgebench 0.0.1, and this is .*: it is given nothing"
    ):
        run_study(study, Store(tmp_path / "store"), executor=benches.executor)
    benches.start_bench("new", ["sim"], "--pace", "0")
    events: list[Event] = []
    run_study(study, Store(tmp_path / "store"), executor=benches.executor, on_event=events.append)
    assert "bench old" in said(events)
    assert "sim, 8 tok (bench new): measuring" in said(events)
    assert "measures" not in benches.output("old")


def test_a_scheduler_that_is_not_there_is_one_line(models: list[Path], tmp_path: Path) -> None:
    study = study_of(tmp_path, models, devices=["sim"], workloads=1)
    with pytest.raises(
        ConnectionFailed, match=r"can't reach the scheduler tcp://127.0.0.1:9: .*dask scheduler"
    ) as error:
        run_study(study, Store(tmp_path / "store"), executor="dask://127.0.0.1:9")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_leaves_what_was_measured_and_the_study_goes_on(
    benches: Cluster, models: list[Path], tmp_path: Path
) -> None:
    benches.start_bench("lab", ["sim"])
    study, store = study_of(tmp_path, models, devices=["sim"], workloads=3), Store(tmp_path / "store")

    def watch() -> None:
        while len(store.sessions()) < 2:
            time.sleep(0.05)
        assert benches.scheduler is not None
        benches.scheduler.kill()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(ConnectionLost, match=r"the scheduler tcp://.* went away"):
        run_study(study, store, executor=benches.executor)
    watcher.join()
    kept = sum(len(each.runs) for each in store.measurements())
    assert kept >= 2 * RUNS
    again = Cluster(tmp_path / "again")
    again.folder.mkdir()
    try:
        again.start_scheduler()
        again.start_bench("lab", ["sim"], "--pace", "0")
        run_study(study, store, executor=again.executor)
    finally:
        again.stop()
    assert_once(study, store)
    assert "went away; sessions end, and the bench waits for it" in benches.output("lab")


@pytest.mark.slow
def test_a_board_that_disappears_is_waited_for_and_then_given_up(
    benches: Cluster, models: list[Path], tmp_path: Path
) -> None:
    bench = benches.start_bench("lab", ["gone"], "--pause", "1")
    benches.start_bench("other", ["sim"], "--pace", "0")
    study, store = study_of(tmp_path, models, devices=["gone", "sim"], workloads=2), Store(tmp_path / "store")
    threading.Timer(4, bench.send_signal, [signal.SIGTERM]).start()
    events: list[Event] = []
    with pytest.raises(BoardError, match=r"gone: no bench has offered it for .*; offered: sim"):
        run_study(study, store, executor=benches.executor, bench_wait_s=3, on_event=events.append)
    assert "gone: no bench offers it any more; waiting for at most" in said(events)
    assert [cell.done for cell in study_cells(study, store) if cell.device.name == "sim"] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_client_that_ends_frees_boards_in_time(
    number: signal.Signals, benches: Cluster, models: list[Path], tmp_path: Path
) -> None:
    benches.start_bench("lab", ["sim"], "--pause", "300")
    study = study_of(tmp_path, models, devices=["sim"], workloads=2)
    command = [sys.executable, "-m", "edgebench", "study", "run", str(study.path), "--executor", benches.executor]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    client = subprocess.Popen(
        [*command, "--store", str(tmp_path / "store")], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert waited_for(lambda: "measures 8 tok" in benches.output("lab"), 90)
    began_s = time.monotonic()
    client.send_signal(number)
    _, output = client.communicate(timeout=60)
    assert waited_for(lambda: "8 tok of matrix: interrupted" in benches.output("lab"), 15)
    assert time.monotonic() - began_s < 15
    assert "measures 9 tok" not in benches.output("lab")
    if number is signal.SIGINT:
        assert client.returncode == 130
        assert "go on with: edgebench study run" in output


def waited_for(is_there: Callable[[], bool], seconds: float) -> bool:
    """Return whether something is there within so many seconds."""
    until_s = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.1)
    return True


def test_without_dask_one_line_names_the_extra(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(tmp_path, models, devices=["sim"], workloads=1)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        MissingExtra, match=r"dask.distributed, which is not installed; try: pip install 'edgebench\[dask\]'"
    ):
        run_study(study, Store(tmp_path / "store"), executor="dask://127.0.0.1:8786")


# --- encryption -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_tls_is_for_those_who_have_a_certificate(models: list[Path], tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    made = Cluster(tmp_path)
    try:
        made.start_scheduler(
            "--protocol", "tls", "--tls-ca-file", str(cert), "--tls-cert", str(cert), "--tls-key", str(key)
        )
        assert made.address.startswith("tls://")
        made.start_bench("lab", ["sim"], "--pace", "0", "--tls", str(cert), str(cert), str(key))
        study, store = study_of(tmp_path, models, devices=["sim"], workloads=1), Store(tmp_path / "store")
        stranger, stranger_key = certificate(tmp_path / "stranger")
        for files in ((stranger, stranger_key), (None, None)):
            ca, own, own_key = (str(files[0]), str(files[0]), str(files[1])) if files[0] else (None, None, None)
            with pytest.raises((ConnectionFailed, ConfigError)):
                run_study(
                    study,
                    store,
                    executor=Scheduler(address=made.address, tls_ca_file=ca, tls_cert=own, tls_key=own_key),
                )
        trusted = Scheduler(address=made.address, tls_ca_file=str(cert), tls_cert=str(cert), tls_key=str(key))
        run_study(study, store, executor=trusted)
        assert_once(study, store)
    finally:
        made.stop()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate that signs itself, and its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


# --- a real board ---------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_real_bench_measures_in_a_process_of_its_own_and_waits_for_the_lease(
    benches: Cluster, models: list[Path], tmp_path: Path
) -> None:
    benches.start(
        "lab",
        ["-m", "edgebench", "bench", "start", "--scheduler", benches.address, "--device", "local", "--name", "lab"],
    )
    study = study_of(tmp_path, models, devices=["local"], workloads=1)
    text = study.path.read_text().replace("min_count = 30", "min_count = 30\nmin_duration_s = 0.1\nmax_duration_s = 5")
    study.path.write_text(text)
    study, store, events = read_study(study.path, any_device=True), Store(tmp_path / "store"), []
    token = take_lease(find_device("local"), purpose="a test")
    threading.Timer(6, give_back, [find_device("local"), token]).start()
    found = run_study(study, store, executor=benches.executor, on_event=events.append)
    assert "has the board; waiting for at most" in said(events)
    assert sorted(each.subject.variant.name for each in found) == ["one", "two"]
    assert all(sum(run.valid for run in each.runs) >= RUNS for each in found)
    assert [each.subject.session for each in found] == [store.sessions()[0]] * 2
