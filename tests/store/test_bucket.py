"""A store in a bucket: a real server that speaks S3, several machines (each a replica of its own), and what goes wrong.

Cost: about 25 s, most of it the import of the server.
"""

from __future__ import annotations

import json
import pickle
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import edgebench
from edgebench import ConfigError, MissingExtra, Store, StoreError, UnknownName
from edgebench.cli import main
from edgebench.errors import UsageError
from edgebench.store.location import Address, parse_location
from edgebench.store.remote import replica
from tests.sample_runs import MS, run, subject, trace
from tests.store.bucket_server import KEY, REGION, SECRET, make_bucket, s3_server, settings_of

BUCKET = "results"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as address:
        make_bucket(address, BUCKET)
        yield address


@pytest.fixture
def service(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server as the user's environment names it, and a data folder of the test's own."""
    for name, value in settings_of(endpoint).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "EDGEBENCH_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(replica, "FRESH_S", 0.0)
    return endpoint


@pytest.fixture
def address(service: str) -> str:
    """A prefix that nobody has used."""
    return f"s3://{BUCKET}/{secrets.token_hex(6)}/store"


@pytest.fixture
def machine(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Store]:
    """Return the store as another machine has it: with a replica of its own."""

    def of(name: str) -> Store:
        with monkeypatch.context() as patched:
            patched.setenv("XDG_DATA_HOME", str(tmp_path / name))
            return Store(address)

    return of


def code(arguments: list[str]) -> object:
    """Run the command line here; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def s3(endpoint: str) -> Any:
    import boto3

    return boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name=REGION
    )


def keys(endpoint: str, address: str) -> list[str]:
    prefix = address.partition(f"s3://{BUCKET}/")[2] + "/"
    found = s3(endpoint).list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return [each["Key"].removeprefix(prefix) for each in found]


def fill(store: Store, *numbers: int, name: str = "xnli-multi", runs: int = 2) -> list[str]:
    """Keep measurements of two runs each; return their ids."""
    for number in numbers:
        of = subject(number, name=name)
        store.add_runs([(of, run(of, at, trace([(10 + at) * MS + each for each in range(150)]))) for at in range(runs)])
    return [subject(number).id for number in numbers]


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/a/b/", Address("s3", "bucket/a/b")),
        ("S3://bucket", Address("s3", "bucket")),
        (Path("s3://bucket/a"), Address("s3", "bucket/a")),
        ("gs://bucket/a", Address("gs", "bucket/a")),
        ("file:///tmp/a", Path("/tmp/a")),
        ("a/b:c", Path("a/b:c")),
        (".edgebench", Path(".edgebench")),
    ],
)
def test_a_location_is_a_folder_or_an_address(text: str | Path, expected: Path | Address) -> None:
    assert parse_location(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ftp://host/a", "unknown scheme ftp://; known: s3://"),
        ("s3://", "names no bucket"),
        ("s3://bucket/../other", "can't be the address"),
        ("s3://key:secret@bucket/a", "has no login"),
        ("s3://bucket/a?b", "can't be the address"),
        ("file://a", "three slashes"),
    ],
)
def test_an_address_that_can_be_none_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]*$") as refused:
        Store(text)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_store_opens_the_same_place_in_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickle.dumps(Store("s3://bucket/a"))).location == "s3://bucket/a"  # noqa: S301
    assert pickle.loads(pickle.dumps(Store("here"))).location == str(tmp_path / "here")  # noqa: S301


def test_importing_and_naming_a_bucket_loads_no_fsspec() -> None:
    code = (
        "import sys, edgebench; edgebench.Store('s3://b/c'); print([n for n in ('fsspec', 's3fs') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(
        MissingExtra, match=r"needs s3fs, which is not installed; try: pip install 'edgebench\[bucket\]'"
    ):
        Store("s3://bucket/a").subjects()


# --- the same store -------------------------------------------------------------------------------------------------


def test_what_one_machine_writes_another_reads(machine: Callable[[str], Store], service: str, address: str) -> None:
    (id,) = fill(machine("a"), 1)
    read = machine("b").measurement(id)
    assert [len(each.latencies_ns) for each in read.runs] == [150, 150]
    assert read.latency_ms.p50 == machine("a").measurement(id).latency_ms.p50
    found = keys(service, address)
    assert f"runs/{id}-000/run.json" in found
    assert f"runs/{id}-000/trace.parquet" in found


def test_a_folder_and_a_bucket_answer_alike(machine: Callable[[str], Store], tmp_path: Path) -> None:
    bucket, folder = machine("a"), Store(tmp_path / "folder")
    for each in (bucket, folder):
        fill(each, 1, 2)
        fill(each, 3, name="other")
        each.tag(subject(1).id, "release", "old")
        each.tag(subject(1).id, "old", remove=True)
    other = machine("b")
    assert [each.to_json() for each in other.measurements()] == [each.to_json() for each in folder.measurements()]
    assert [each.id for each in other.measurements(tag="release")] == [subject(1).id]
    assert [each.id for each in other.measurements(variant="other")] == [subject(3).id]
    sql = (
        "SELECT variant, quantile_cont(latency_ns, 0.95) AS p95, count(*) AS n FROM inferences GROUP BY ALL ORDER BY 1"
    )
    assert other.query(sql) == folder.query(sql)
    targets = [tmp_path / "bucket.csv", tmp_path / "folder.csv"]
    for each, target in zip((other, folder), targets, strict=True):
        each.export(target, kind="csv")
    assert targets[0].read_text() == targets[1].read_text()


def test_the_list_of_a_bucket_is_that_of_a_folder(
    machine: Callable[[str], Store], tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Store(tmp_path / "folder")
    for each in (machine("a"), folder):
        fill(each, 1, 2)
        fill(each, 3, runs=1)
        each.tag(subject(2).id, "release")
    assert code(["runs", "list", "--store", address]) == 0
    listed = capsys.readouterr().out
    assert code(["runs", "list", "--store", str(folder.folder)]) == 0
    assert listed == capsys.readouterr().out
    assert "release" in listed
    assert len(list((tmp_path / "data").rglob("trace.parquet"))) == 0


def test_duckdb_reads_the_runs_in_place(machine: Callable[[str], Store], service: str, address: str) -> None:
    import duckdb
    import s3fs

    fill(machine("a"), 1)
    with duckdb.connect() as connection:
        connection.register_filesystem(s3fs.S3FileSystem(skip_instance_cache=True))
        rows = connection.execute(
            "SELECT count(*) FROM read_parquet(?) WHERE series = 'latency_ns'", [f"{address}/runs/*/trace.parquet"]
        ).fetchall()
    assert rows == [(300,)]


def test_what_is_in_memory_is_a_store_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    address = f"memory://{secrets.token_hex(4)}/store"
    (id,) = fill(Store(address), 1)
    Store(address).tag(id, "a")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    assert Store(address).measurement(id).tags == ("a",)
    assert Store(address).delete([id]) == 2
    assert Store(address).measurements() == []


# --- two writers ----------------------------------------------------------------------------------------------------


def test_two_writers_lose_and_double_nothing(machine: Callable[[str], Store]) -> None:
    stores = [machine(name) for name in "abc"]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda at: [fill(stores[at], 10 * at + each) for each in range(4)], range(3)))
    expected = sorted(subject(10 * at + each).id for at in range(3) for each in range(4))
    for each in (*stores, machine("new")):
        measured = each.measurements()
        assert [of.id for of in measured] == expected
        assert all(len(of.runs) == 2 for of in measured)


def test_tags_of_two_writers_are_both_kept(machine: Callable[[str], Store]) -> None:
    (id,) = fill(machine("a"), 1)
    stores = [machine(name) for name in "abcd"]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda at: [stores[at].tag(id, f"tag-{at}-{each}") for each in range(3)], range(4)))
    assert len(machine("new").tags(id)) == 12


def test_the_same_run_of_two_processes_is_kept_once(machine: Callable[[str], Store]) -> None:
    first, second = machine("a"), machine("a")
    fill(first, 1)
    first._place._catalogue.forget([f"{subject(1).id}-000"])  # as if the answer of the bucket had been lost
    assert second._place.sync() == (1, 0)
    (measured,) = machine("new").measurements()
    assert len(measured.runs) == 2


def test_another_run_of_the_same_id_is_refused_and_the_first_one_stays(machine: Callable[[str], Store]) -> None:
    of = subject(1)
    first, second = machine("a"), machine("b")
    first.add_run(of, run(of, 0, trace([10 * MS] * 150)))
    with pytest.raises(StoreError, match="a stored run is never changed"):
        second.add_run(of, run(of, 0, trace([20 * MS] * 150)))
    assert machine("new").measurement(of.id).latency_ms.p50 == 10


def test_a_deletion_is_not_undone_by_another_replica(
    machine: Callable[[str], Store], service: str, address: str
) -> None:
    first, second = machine("a"), machine("b")
    gone, left = fill(first, 1, 2)
    second.measurements()
    second.tag(gone, "mine")
    assert first.delete([gone]) == 2
    second.sync()
    for each in (first, second, machine("new")):
        assert [of.id for of in each.measurements()] == [left]
    assert not [key for key in keys(service, address) if key.startswith((f"runs/{gone}", f"tags/{gone}"))]
    with pytest.raises(UnknownName):
        second.measurement(gone)


def test_many_small_objects_of_the_index_become_a_large_one(
    machine: Callable[[str], Store], service: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgebench.store.remote.run_index._MANY", 3)
    store, reader = machine("a"), machine("b")
    fill(store, 1)
    reader.measurements()
    fill(store, 2, 3, 4, 5)
    store.delete([subject(4).id])
    fill(store, 6)
    assert len([key for key in keys(service, address) if key.startswith("index/")]) < 4
    expected = [subject(number).id for number in (1, 2, 3, 5, 6)]
    for each in (store, reader, machine("new")):
        assert [of.id for of in each.measurements()] == expected


# --- connections that break -----------------------------------------------------------------------------------------


def test_a_run_that_can_not_be_sent_is_kept_and_sent_later_once(
    machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine("a")
    store.check_writable()
    of = subject(1)
    with monkeypatch.context() as broken:
        broken.setattr(replica, "_PAUSE_S", 0.0)
        broken.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        store._place.bucket._opened = None  # a connection that breaks: the next one goes nowhere
        store.add_run(of, run(of, 0, trace([10 * MS] * 150)))
        store.write_session("a-session", {"format_version": 1})
        assert "can't be reached" in str(store.take_problem())
        assert [each.id for each in store.measurements()] == [of.id]
        with pytest.raises(StoreError, match=r"1 run and 1 document of it is kept only here.*runs sync --store s3://"):
            store.deliver()
    assert machine("b").measurements() == []
    store._place.bucket._opened = None
    assert store.sync() == machine("a").sync().__class__(runs=1, documents=1)
    assert store.sync().runs == 0
    assert [len(each.runs) for each in machine("b").measurements()] == [1]
    assert machine("b").sessions() == ["a-session"]


def test_the_next_command_that_writes_brings_what_was_kept(machine: Callable[[str], Store]) -> None:
    folder = machine("a").folder
    fill(Store(folder), 1)  # as a session left it that could not reach the bucket
    machine("a").check_writable()
    assert [each.id for each in machine("b").measurements()] == [subject(1).id]


@pytest.mark.parametrize("step", range(4))
def test_a_writer_that_is_killed_between_two_requests_leaves_no_half_run(
    machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    store = machine("a")
    store.check_writable()
    bucket = store._place.bucket
    made, create = [], bucket.create

    def dies(name: str, content: bytes) -> str | None:
        if len(made) == step:
            raise KeyboardInterrupt
        made.append(name)
        return create(name, content)

    of = subject(1)
    with monkeypatch.context() as patched:
        patched.setattr(bucket, "create", dies)
        with suppress(KeyboardInterrupt):
            store.add_run(of, run(of, 0, trace([10 * MS] * 150)))
    expected = 1 if step == 3 else 0
    assert len(machine("b").measurements()) == expected
    machine("a").sync()
    assert [len(each.runs) for each in machine("b").measurements()] == [1]


def test_runs_of_a_folder_are_brought_to_a_bucket_once(
    machine: Callable[[str], Store], tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Store(tmp_path / "folder")
    fill(folder, 1, 2)
    folder.tag(subject(1).id, "release")
    arguments = ["runs", "sync", "--from", str(folder.folder), "--store", address]
    assert code(arguments) == 0
    assert f"4 runs and 1 document brought to {address}" in capsys.readouterr().out
    assert code([*arguments, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == {"store": address, "runs": 0, "documents": 0}
    assert [each.tags for each in machine("b").measurements()] == [("release",), ()]


def test_objects_that_were_copied_by_hand_are_a_store(
    machine: Callable[[str], Store], tmp_path: Path, service: str, address: str
) -> None:
    folder = Store(tmp_path / "folder")
    fill(folder, 1)
    prefix = address.partition(f"s3://{BUCKET}/")[2]
    for path in folder.folder.rglob("*"):
        if path.is_file():
            s3(service).upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder.folder)}")
    assert [len(each.runs) for each in machine("a").measurements()] == [2]
    machine("b").sync()
    assert "edgebench-store.json" in keys(service, address)
    assert [len(each.runs) for each in machine("c").measurements()] == [2]


# --- what is refused ------------------------------------------------------------------------------------------------


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_missing_credentials_are_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    said = refused(lambda: Store(address).subjects())
    assert said.startswith(f"can't read {address}: edgebench has no credentials for it here; set AWS_PROFILE")


def test_a_bucket_that_is_not_there_is_named(service: str) -> None:
    said = refused(lambda: Store("s3://no-such-bucket/a").check_writable())
    assert "can't read s3://no-such-bucket/a: there is no such bucket" in said


def test_a_bucket_that_is_gone_takes_nothing_with_it(service: str) -> None:
    make_bucket(service, "short-lived")
    store = Store("s3://short-lived/a")
    (id,) = fill(store, 1)
    client = s3(service)
    for each in client.list_objects_v2(Bucket="short-lived")["Contents"]:
        client.delete_object(Bucket="short-lived", Key=each["Key"])
    client.delete_bucket(Bucket="short-lived")
    assert "there is no such bucket" in refused(lambda: Store("s3://short-lived/a").measurements())
    make_bucket(service, "short-lived")
    said = refused(lambda: Store("s3://short-lived/a").measurements())
    assert "no longer holds the store that was there" in said
    assert f"edgebench runs sync --from {store.folder} --store NEW" in said
    assert len(Store(store.folder).measurement(id).runs) == 2


def test_a_prefix_that_holds_something_else_is_left_alone(service: str, address: str) -> None:
    prefix = address.partition(f"s3://{BUCKET}/")[2]
    s3(service).put_object(Bucket=BUCKET, Key=f"{prefix}/photos/cat.jpg", Body=b"cat")
    for call in (lambda: Store(address).subjects(), lambda: Store(address).check_writable()):
        assert refused(call) == f"{address} holds something else than a store: photos; name another prefix"
    assert keys(service, address) == ["photos/cat.jpg"]


class _Answer:
    """A server that refuses everything with one code, as a service does."""

    def __init__(self, code: str, status: int) -> None:
        import threading
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("RequestTimeTooSkewed", 403, "this machine's clock is wrong; set the clock"),
        ("InvalidAccessKeyId", 403, "the service refuses the credentials; check them"),
        ("SignatureDoesNotMatch", 403, "the service refuses the credentials; check them"),
        ("ExpiredToken", 400, "have expired; log in again"),
        ("AccessDenied", 403, "the service does not allow that; ask its owner"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_try(
    address: str, monkeypatch: pytest.MonkeyPatch, code: str, status: int, said: str
) -> None:
    answer = _Answer(code, status)
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", answer.endpoint)
        assert said in refused(lambda: Store(address).check_writable())
    finally:
        answer.server.shutdown()
        answer.server.server_close()


def test_an_unreachable_service_is_named_before_anything_is_measured(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert code(["runs", "list", "--store", address]) == 1
    assert "can't be reached; check the network" in capsys.readouterr().err


def test_sync_of_a_folder_says_what_it_is_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        Store(tmp_path).sync()


# --- a hostile bucket -----------------------------------------------------------------------------------------------


def put(service: str, address: str, name: str, body: bytes) -> None:
    s3(service).put_object(Bucket=BUCKET, Key=f"{address.partition(f's3://{BUCKET}/')[2]}/{name}", Body=body)


def index_of(**changes: Any) -> bytes:
    import gzip

    digest = {
        "id": "a-run", "measurement": "a", "session": "s", "started_at": "2025-01-01T00:00:00+00:00", "variant": "v",
        "format": "onnx-int8", "workload": "w", "planned_runs": 1, "valid": True,
    }  # fmt: skip
    return gzip.compress(
        json.dumps({"format_version": 1, "runs": [{"digest": digest | changes, "document": "{}"}]}).encode()
    )


INDEX = "index/20250101T000000000000-00000000.json.gz"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (index_of(id="../../outside"), "can't name a run"),
        (index_of(id="/etc/passwd"), "can't name a run"),
        (index_of(trace_bytes=1 << 50), "too large"),
        (index_of(started_at="yesterday"), "damaged"),
        (index_of(planned_runs="many"), "damaged"),
        (b"no gzip", "damaged"),
        (b"", "damaged"),
    ],
)
def test_an_index_that_is_damaged_is_named_and_mended(
    machine: Callable[[str], Store], service: str, address: str, tmp_path: Path, content: bytes, said: str
) -> None:
    fill(machine("a"), 1)
    put(service, address, INDEX, content)
    message = refused(lambda: machine("b").measurements())
    assert said in message
    assert f"{address}/{INDEX} is damaged" in message
    assert not list(tmp_path.rglob("outside"))
    machine("c").sync()
    assert [len(each.runs) for each in machine("b").measurements()] == [2]


def test_an_index_that_unpacks_without_end_is_refused(
    machine: Callable[[str], Store], service: str, address: str
) -> None:
    import zlib

    packer = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    content = b"".join(packer.compress(block) for _ in range(600)) + packer.flush()
    fill(machine("a"), 1)
    put(service, address, INDEX, content)
    assert "larger than 512 MiB" in refused(lambda: machine("b").measurements())


def test_keys_that_lead_elsewhere_are_passed_over(
    machine: Callable[[str], Store], service: str, address: str, tmp_path: Path
) -> None:
    fill(machine("a"), 1)
    for name in ("tags/../../outside.json", "tags/.hidden.json", "tags/a/b.json", "runs/../outside/run.json"):
        put(service, address, name, b'{"tags": []}')
    store = machine("b")
    store.sync()
    assert [each.tags for each in store.measurements()] == [()]
    assert not [path for path in tmp_path.rglob("*") if "outside" in path.name or "hidden" in path.name]


def test_documents_that_are_damaged_are_named_by_their_address(
    machine: Callable[[str], Store], service: str, address: str
) -> None:
    (id,) = fill(machine("a"), 1)
    put(service, address, f"tags/{id}.json", b"[" * 100_000)
    assert f"{address}/tags/{id}.json" in refused(lambda: machine("b").measurements())
    kept: list[StoreError] = []
    assert len(machine("b").measurements(on_unreadable=kept.append)) == 1
    assert len(kept) == 1


def test_a_document_that_is_huge_is_not_read(
    machine: Callable[[str], Store], service: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (id,) = fill(machine("a"), 1)
    put(service, address, f"sessions/{id}.json", bytes(65 << 20))
    assert "at most 67108864 are allowed" in refused(lambda: machine("b").sessions())


def test_a_run_whose_document_lies_is_refused_as_in_a_folder(
    machine: Callable[[str], Store], service: str, address: str
) -> None:
    fill(machine("a"), 1)
    put(service, address, INDEX, index_of())
    message = refused(lambda: machine("b").measurements())
    assert f"{address}/runs/a-run/run.json is not a valid run" in message
    unreadable: list[StoreError] = []
    assert len(machine("c").measurements(on_unreadable=unreadable.append)) == 1
    assert len(unreadable) == 1


def test_a_trace_that_is_gone_is_named(machine: Callable[[str], Store], service: str, address: str) -> None:
    (id,) = fill(machine("a"), 1)
    s3(service).delete_object(
        Bucket=BUCKET, Key=f"{address.partition(f's3://{BUCKET}/')[2]}/runs/{id}-000/trace.parquet"
    )
    assert "trace.parquet" in refused(lambda: machine("b").measurements())


def test_open_store_takes_an_address_from_the_environment(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEBENCH_STORE", address)
    assert edgebench.open_store().location == address
