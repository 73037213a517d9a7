"""Real output is what the JSON Schemas in edgebench/schemas say, and has no key that they do not describe.

Cost: some 10 s of one core, half of it one run on this machine. What needs a board, torch or a converter is checked
where it is made: tests of `evaluate`, `export` and `device` call `tests.schemas.check_schema`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edgebench import Store
from edgebench.cli import main
from edgebench.facts import Tuning
from edgebench.figures import ColdStart, Energy, Minute, PaddingCost, Score, Sustained
from edgebench.measurement import Measurement, Subject, measurements_to_json
from edgebench.operators import Operator, OperatorProfile
from edgebench.run import Overhead, Run
from edgebench.stats import Probe, RateSearch
from tests.sample_runs import MS, run, subject, trace
from tests.schemas import check_schema, is_described, schemas

HERE = Path(__file__).parent
GOLDEN_ID = "20250102T030405-abcdef-000"


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("EDGEBENCH_STORE", raising=False)
    return tmp_path


def edgebench(*arguments: str | Path, codes: tuple[int, ...] = (0,)) -> Any:
    """Return the JSON that a command wrote; it must end with one of these codes."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--json", "result.json"])
    assert ended.value.code in codes
    return json.loads(Path("result.json").read_text(encoding="utf-8"))


# --- the schemas themselves -----------------------------------------------------------------------------------------


def parts_of(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema inside a schema, with where it stands."""
    if isinstance(schema, dict):
        yield where, schema
        for key, value in schema.items():
            yield from parts_of(value, f"{where}/{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from parts_of(value, f"{where}/{number}")


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_valid_and_named_as_its_file(name: str) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:edgebench:schema:1:{name}"
    assert schema["title"] and schema["description"]


@pytest.mark.parametrize("name", schemas())
def test_every_key_is_described(name: str) -> None:
    shared = {f"{schema['$id']}#/$defs/{key}" for schema in schemas().values() for key in schema.get("$defs", ())}
    for where, part in parts_of(schemas()[name], name):
        for key, value in part.get("properties", {}).items():
            target = value.get("$ref", "")
            target = f"{schemas()[name]['$id']}{target}" if target.startswith("#") else target
            assert "description" in value or target in shared, f"{where}/{key}"


@pytest.mark.parametrize("name", schemas())
def test_every_object_says_which_other_keys_it_may_have(name: str) -> None:
    """A shared part that others add keys to is left open; whoever refers to it closes it."""
    for where, part in parts_of(schemas()[name], name):
        if isinstance(part.get("properties"), dict) and not where.startswith("common/$defs/"):
            is_base = any(
                closed.get("$ref") == f"#{where.removeprefix(name)}" and "unevaluatedProperties" in closed
                for _, closed in parts_of(schemas()[name], name)
            )
            is_closed = {"additionalProperties", "unevaluatedProperties"} & set(part)
            assert is_closed or is_base, where


def objects_in(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in a document; of those in a list, which are alike, only the first."""
    if isinstance(document, dict):
        yield document
        for value in document.values():
            yield from objects_in(value)
    elif isinstance(document, list):
        yield from objects_in(document[0] if document else None)


def check_unknown_keys_are_refused(document: Any, name: str) -> None:
    """Put an unknown key into each object of a document, one after the other."""
    check_schema(document, name)
    for each in objects_in(document):
        each["surprise"] = {"of": "another kind"}
        assert not is_described(document, name), each
        del each["surprise"]


# --- samples --------------------------------------------------------------------------------------------------------

OVERHEAD = Overhead(
    per_inference=0.1,
    per_inference_ci=(0.05, 0.2),
    loop_per_inference=0.5,
    loop_per_inference_ci=(0.4, 0.6),
    sensors_ratio=1.001,
    sensors_ratio_ci=(0.99, 1.01),
)
OPERATORS = OperatorProfile(
    inferences=10,
    wall_ns=20 * MS,
    operators=(
        Operator(name="encoder.layer.0/MatMul", type="MatMul", provider="CPU", calls=10, total_ns=9 * MS),
        Operator(name="Add", type="Add", provider="CPU", calls=10, total_ns=MS),
    ),
)
SEARCH = RateSearch(
    latency_bound_ms=30.0,
    service_ms=10.0,
    probes=(
        Probe(queries_per_s=80.0, queries=1001, over_bound=40, p99_ms=41.0, holds=False, utilisation=0.8),
        Probe(queries_per_s=40.0, queries=1001, over_bound=1, p99_ms=19.0, holds=True, utilisation=0.4, runs=6),
    ),
)
COLD = ColdStart(load_ns=900 * MS, first_ns=30 * MS, resident_share=0.0)
READINGS = {"temperature_mc/cpu-thermal": [48_000, 52_000], "throttled": [0, 0], "rss_bytes": [250_000_000] * 2}


def measured() -> Measurement:
    """A measurement that has all that one can have."""
    from edgebench.analysis import summarise

    of = replace(subject(), overhead_us=OVERHEAD, seed=7)
    server = {"scenario": "server", "queries_per_s": 40.0, "latency_bound_ms": 30.0, "sustained_min": 1.0}
    special = {"choices": 2, "truncate": True, "affinity": [0, 1], "alternating": ["0" * 64, "1" * 64]}
    of = replace(of, workload={**of.workload, **server, **special})
    kept = trace([10 * MS + number for number in range(700)], readings=READINGS, warmup_ns=[20 * MS])
    done = [run(of, number, kept) for number in range(2)]
    failed = run(of, 2, trace([]), load_ns=None, first_ns=None, reasons=("failed: killed",))
    return replace(
        summarise(of, [*done, failed]),
        scores=(Score(task="xnli", lang="sw", metric="accuracy", value=71.5, n=5010, artifact_sha256="0" * 64),),
        padding=PaddingCost(buckets=(64, 128), tokens=50.0, padded_tokens=64.0),
        operators=OPERATORS,
        sustained=Sustained(planned_min=1.0, minutes=(MINUTE, replace(MINUTE, number=2, throttled=None))),
        cold_start=COLD,
        find_qps=SEARCH,
        energy_j=Energy(
            per_inference=0.02,
            per_inference_net=0.01,
            mean_w=4.0,
            idle_w=2.0,
            rails=("pmic/VDD_CORE",),
            covers="the rails of the Raspberry Pi 5's power chip, not the whole board",
            runs=2,
        ),
    )


MINUTE = Minute(
    number=1,
    seconds=60.0,
    inferences=6000,
    p50_ms=10.0,
    p95_ms=11.0,
    throughput_per_s=100.0,
    clock_mhz=1800.0,
    temperature_c=61.5,
    throttled=("throttled",),
    others_cores=0.01,
)


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """A copy of the golden store."""
    return Path(shutil.copytree(HERE / "store-v1", tmp_path / "golden"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two variants in two languages, the second one 1 % slower, measured interleaved."""
    folder = tmp_path / "store"
    for at, lang in enumerate(("sw", "th")):
        session = f"20250101T00000{at}-513a1a"
        for number, kind in enumerate(("english", "multilingual")):
            of = subject(number, name=f"{kind}-1", source=f"org/{kind}-1", device="local", planned_runs=2, label=lang)
            workload = {name: value for name, value in of.workload.items() if name != "seq_len"} | {"lang": lang}
            of = replace(of, id=f"{session}-{number:03d}", session=session, workload=workload)
            for repeat in range(2):
                Store(folder).add_run(of, plain_run(of, 2 * repeat + number, factor=1 + number / 100))
    return folder


def plain_run(of: Subject, number: int, *, factor: float) -> Run:
    """Return a run of 150 latencies of some 10 ms, a little other in each run."""
    return run(of, number, trace([round(factor * (10 * MS + 10 * at + 1000 * (number % 5))) for at in range(150)]))


# --- measurements ---------------------------------------------------------------------------------------------------


def test_a_document_of_the_first_edgebench_of_this_version_has_no_other_keys() -> None:
    check_schema(json.loads((HERE / "profile-v1.json").read_text(encoding="utf-8")), "profile", is_old=True)


def test_a_golden_store_is_listed_and_shown(golden: Path) -> None:
    for path in golden.glob("runs/*/run.json"):
        check_schema(json.loads(path.read_text(encoding="utf-8")), "store-run", is_old=True)
    check_schema(edgebench("runs", "list", "--store", golden), "profile")
    check_unknown_keys_are_refused(edgebench("runs", "show", GOLDEN_ID, "--store", golden), "profile")


def test_all_that_a_measurement_can_have_is_described() -> None:
    document = json.loads(json.dumps(measurements_to_json([measured()], failures={"pi5": "the board is off"})))
    check_unknown_keys_are_refused(document, "profile")


def test_a_measurement_of_nothing_is_as_described() -> None:
    from edgebench.analysis import summarise

    check_schema(measurements_to_json([summarise(subject(), [])]), "profile")


@pytest.mark.parametrize("runs", [2, 1])
def test_a_tuned_session_is_as_described(runs: int, tmp_path: Path) -> None:
    folder = tmp_path / "tuned"
    for number, threads in enumerate((4, 2)):
        of = subject(number, planned_runs=runs)
        tuning = Tuning(parameters=("threads",), power_as_found=True)
        of = replace(of, device=replace(of.device, tune=tuning), workload={**of.workload, "threads": threads})
        for repeat in range(runs):
            Store(folder).add_run(of, plain_run(of, 2 * repeat + number, factor=1.0 + number))
    document = edgebench("runs", "show", subject(1).id, "--store", folder)
    assert (document["tune"]["best"] is None) == (runs == 1)  # one run decides nothing
    check_unknown_keys_are_refused(document, "profile")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with the inputs of XLM-R that is an embedding and nothing else."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    table = helper.make_tensor("table", kinds.FLOAT, [1000, 1], [0.5] * 1000)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["states"]),
        helper.make_node("Identity", ["attention_mask"], ["mask"]),
    ]
    inputs = [helper.make_tensor_value_info(name, kinds.INT64, ["n", "t"]) for name in ("input_ids", "attention_mask")]
    outputs = [
        helper.make_tensor_value_info("states", kinds.FLOAT, ["n", "t", 1]),
        helper.make_tensor_value_info("mask", kinds.INT64, ["n", "t"]),
    ]
    graph = helper.make_graph(nodes, "embedding", inputs, outputs, initializer=[table])
    path = tmp_path / "embedding.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_a_real_run_and_what_it_leaves_in_the_store_are_as_described(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    document = edgebench(
        "profile", "--model", model, "--seq-len", "8", "--runs", "1", "--min-count", "5", "--min-duration", "0",
        "--no-own-cost", "--no-cold", "--store", "store", codes=(0, 4),  # a busy machine may disturb the run
    )  # fmt: skip
    check_schema(document, "profile")
    (found,) = document["measurements"]
    common = schemas()["common"]["$defs"]
    of_device = set(common["board"]["properties"]) | set(common["device"]["properties"]) - {"tune"}
    assert set(found["device"]) == of_device
    sometimes = {"queries_per_s", "alternating", "idle_power_uw", "cool_down", "log", "busiest"}
    assert set(found["runs"][0]["facts"]) | sometimes == set(common["run_facts"]["properties"])
    for files, name in {"runs/*/run.json": "store-run", "sessions/*.json": "store-session"}.items():
        (path,) = (tmp_path / "store").glob(files)
        check_unknown_keys_are_refused(json.loads(path.read_text(encoding="utf-8")), name)


# --- the store ------------------------------------------------------------------------------------------------------


def stored(folder: Path, subject: Subject, kept: Run) -> Any:
    """Return the run.json that a store writes."""
    return json.loads((Store(folder).add_run(subject, kept) / "run.json").read_text(encoding="utf-8"))


def test_run_json_is_as_described(tmp_path: Path) -> None:
    of = replace(subject(), overhead_us=OVERHEAD)
    kept = run(
        of, 1, trace([10 * MS] * 200, readings=READINGS), excluded_spans=((5, 6),), log_ratios={f"{of.id}-002": 0.1}
    )
    facts = {
        "board": {"arch": "aarch64", "cores": 4, "temperature_mc": {"cpu-thermal": 48_000}, "governor": None},
        "alternating": {"process": kept.id, "models": 2},
        "cool_down": {"target_mc": 60_000, "started_mc": 59_000, "waited_ms": 1200},
        "idle_power_uw": {"pmic/VDD_CORE": 2.5e6},
        "log": ["a sensor stopped"],
    }
    check_unknown_keys_are_refused(
        stored(tmp_path / "one", of, replace(kept, facts=kept.facts.adding(facts))), "store-run"
    )
    check_schema(
        stored(tmp_path / "two", of, run(of, 1, trace([]), load_ns=None, first_ns=None, facts={})), "store-run"
    )


def test_what_a_store_keeps_besides_runs_is_as_described(tmp_path: Path) -> None:
    keep = Store(tmp_path / "kept")
    keep.write_operators("a", OPERATORS)
    keep.write_cold_start("a", COLD)
    keep.write_search("a", SEARCH)
    kinds = {"operators": "store-operators", "cold_starts": "store-cold-start", "searches": "store-search"}
    for folder, name in kinds.items():
        text = (tmp_path / "kept" / folder / "a.json").read_text(encoding="utf-8")
        check_unknown_keys_are_refused(json.loads(text), name)


def test_a_session_of_an_earlier_version_has_no_other_keys() -> None:
    check_schema(json.loads((HERE / "session-v1.json").read_text(encoding="utf-8")), "store-session", is_old=True)


# --- comparisons and studies ----------------------------------------------------------------------------------------


def test_one_comparison_and_several_are_as_described(store: Path) -> None:
    scores = "variant,task,lang,metric,value\nenglish-1,xnli,sw,accuracy,70\nmultilingual-1,xnli,sw,accuracy,72\n"
    Path("scores.csv").write_text(scores, encoding="utf-8")
    ids = ("20250101T000000-513a1a-000", "20250101T000000-513a1a-001")
    one = edgebench("compare", *ids, "--store", store, "--scores", "scores.csv")
    assert one["scores"]
    check_unknown_keys_are_refused(one, "compare")
    several = edgebench("compare", "english-1", "multilingual-1", "--store", store)
    # The two languages are in two sessions, and names stand for the latest one.
    assert one["comparisons"] == several["comparisons"] == 1
    assert one["results"] == [{key: one[key] for key in one["results"][0]}]  # the keys of the first version stay
    both = {**one, "results": one["results"] + several["results"], "comparisons": one["results"] + several["results"]}
    check_schema(
        {key: both[key] for key in ("format_version", "edgebench_version", "results", "comparisons", "verdict")},
        "compare",
    )


STUDY = """
devices = ["local"]
[study]
name = "s"
scores = "scores.csv"
[plan]
runs = 2
[[variant]]
name = "english-1"
model = "org/english-1"
lineage = {base = "xlm-roberta-base", target = "xnli", kind = "english", intermediate = ["mnli"], seed = 1}
[[variant]]
name = "multilingual-1"
model = "org/multilingual-1"
lineage = {base = "xlm-roberta-base", target = "xnli", kind = "multilingual", intermediate = ["mnli"], seed = 1}
[[workload]]
lang = ["sw", "th", "en"]
[[contrast]]
baseline = {kind = "english"}
candidate = {kind = "multilingual"}
"""


def test_a_study_is_as_described(store: Path) -> None:
    scores = "variant,task,lang,metric,value\nenglish-1,xnli,sw,accuracy,70\nmultilingual-1,xnli,sw,accuracy,72\n"
    Path("scores.csv").write_text(scores, encoding="utf-8")
    Path("STUDY.toml").write_text(STUDY, encoding="utf-8")
    status = edgebench("study", "status", "STUDY.toml", "--store", store)
    assert [part["done"] for part in status["parts"]] == [True, True, False]
    check_unknown_keys_are_refused(status, "study-status")
    report = edgebench("study", "report", "STUDY.toml", "--store", store)
    assert len(report["contrasts"][0]["comparisons"]) == 2
    assert report["fronts"]["local, sw"]
    check_unknown_keys_are_refused(report, "study-report")


# --- scores, artifacts, devices -------------------------------------------------------------------------------------


def test_scores_are_as_described() -> None:
    for folder, answers in {"labels": "neutral\nneutral\n", "predictions": "neutral\nentailment\n"}.items():
        for lang in ("sw", "th"):
            path = Path(folder, "xnli", f"test-{lang}.tsv")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(answers, encoding="utf-8")
    document = edgebench("scores", "eval", "--predictions", "predictions", "--labels", "labels")
    check_unknown_keys_are_refused(document, "scores-eval")
    Path("eval.json").write_text(json.dumps(document), encoding="utf-8")
    imported = edgebench("scores", "import", "eval.json", "--variant", "xnli", "--out", "scores.csv")
    check_unknown_keys_are_refused(imported, "scores-show")
    check_schema(edgebench("scores", "show", "scores.csv"), "scores-show")


def test_an_existing_file_as_an_artifact_is_as_described(model: Path) -> None:
    document = edgebench("export", "--model", model)
    assert document["artifacts"][0]["parity"] is None
    check_unknown_keys_are_refused(document, "export")


def test_devices_are_as_described() -> None:
    config = '[device.pi4]\nprofile = "pi4"\nhost = "10.0.0.4"\nuser = "pi"\nport = 2222\n'
    Path("edgebench.toml").write_text(config, encoding="utf-8")
    listed = edgebench("device", "list")
    assert [each["name"] for each in listed["devices"]] == ["local", "pi4"]
    check_unknown_keys_are_refused(listed, "device-list")
    check_schema(edgebench("device", "release", "local"), "device-release")
    check_schema(edgebench("device", "clean", "local", "--older-than", "1d", "--dry-run"), "device-clean")
    check_without = {"device": "pi4", "can_measure": False, "findings": [], "overhead_us": None, "board": {}}
    check_unknown_keys_are_refused(check_without, "device-check")


def test_a_missing_key_a_wrong_type_and_a_wrong_word_are_refused() -> None:
    (found,) = measurements_to_json([measured()])["measurements"]
    wrong: tuple[Mapping[str, Any], ...] = (
        {"throughput_per_s": "12"},
        {"covers": "tokens"},
        {"workload": {**found["workload"], "scenario": "serial"}},
        {"workload": {**found["workload"], "lang": "sw"}},  # besides seq_len
        {"memory_bytes": {**found["memory_bytes"], "peak_rss": 1.5}},
    )
    for change in wrong:
        with pytest.raises(AssertionError):
            check_schema(
                {"format_version": 1, "edgebench_version": "0", "measurements": [{**found, **change}]}, "profile"
            )
    del found["latency_ms"]["p50"]
    with pytest.raises(AssertionError, match="'p50' is a required property"):
        check_schema({"format_version": 1, "edgebench_version": "0", "measurements": [found]}, "profile")
