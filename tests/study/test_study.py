"""Studies: what STUDY.toml says, what of it is there, what the report answers, and a real one on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from edgebench.artifact import Format
from edgebench.errors import ConfigError, ConnectionFailed, EdgebenchError
from edgebench.events import ignore
from edgebench.measure.scheduler import order_of_runs
from edgebench.reporting import study_markdown
from edgebench.request import Request
from edgebench.store import Store
from edgebench.study.answers import answer_study
from edgebench.study.cells import estimated_remaining_s, study_cells
from edgebench.study.file import Study, read_study
from edgebench.study.run import missing_sessions
from edgebench.study.training import ALL_LANGUAGES
from edgebench.testing import SimulatedBoard
from edgebench.testing.simulated_board import simulated_subject
from edgebench.variant import TrainingKind
from edgebench.xtreme_r.scores import ScoreRow
from tests.fork_server import edgebench_command
from tests.schemas import check_schema

HEAD = 'devices = ["local"]\n[study]\nname = "s"\n'
LINEAGE = 'base = "xlm-roberta-base", target = "xnli"'
WORKLOADS = '[[workload]]\nlang = ["sw", "th"]\n'
CONTRAST = (
    '[[contrast]]\nname = "multilingual or english"\nbaseline = {kind = "english"}\n'
    'candidate = {kind = "multilingual"}\n'
)
BY_NAME = '[[contrast]]\nbaseline = {name = "englih-1"}\ncandidate = {seed = 1}\n'
BY_SEED = "[[contrast]]\nbaseline = {seed = 1}\ncandidate = {seed = 1}\n"


def variant(kind: str, seed: int) -> str:
    lineage = f'{{{LINEAGE}, kind = "{kind}", intermediate = ["mnli"], seed = {seed}}}'
    return f'[[variant]]\nname = "{kind}-{seed}"\nmodel = "org/{kind}-{seed}"\nlineage = {lineage}\n'


def study_of(folder: Path, text: str) -> Study:
    path = folder / "STUDY.toml"
    path.write_text(text)
    return read_study(path)


def whole(folder: Path, *, seeds: int = 1) -> Study:
    variants = "".join(variant(kind, seed) for kind in ("english", "multilingual") for seed in range(1, seeds + 1))
    return study_of(folder, HEAD + variants + WORKLOADS + CONTRAST)


def keep(
    study: Study, store: Store, *, factors: Mapping[str, float] | None = None, langs: Sequence[str] = ("sw", "th")
) -> None:
    """Keep what a simulated board measures of the study, interleaved."""
    board = SimulatedBoard(seed=1)
    for at, lang in enumerate(langs):
        session = f"20250101T00000{at}-513a1a"
        subjects = []
        for number, each in enumerate(study.variants):
            made = simulated_subject(number, name="any", planned_runs=6)
            device = replace(made.device, name="local")
            workload = {name: value for name, value in made.workload.items() if name != "seq_len"} | {"lang": lang}
            subjects.append(
                replace(
                    made,
                    id=f"{session}-{number:03d}",
                    session=session,
                    label=lang,
                    device=device,
                    workload=workload,
                    variant=replace(made.variant, source=each.source),
                )
            )
        for run, cell in enumerate(order_of_runs(len(subjects), 6, seed=1)):
            factor = (factors or {}).get(study.variants[cell].name, 1.0)
            store.add_run(subjects[cell], board.run(subjects[cell], run, factor=factor, count=150))


def scores(values: Mapping[str, float], lang: str = "sw") -> list[ScoreRow]:
    return [ScoreRow(variant=name, task="xnli", lang=lang, metric="accuracy", value=it) for name, it in values.items()]


# --- the file -------------------------------------------------------------------------------------------------------


def test_a_study_says_what_is_measured_and_asked(tmp_path: Path) -> None:
    study = whole(tmp_path)
    english, multilingual = study.variants
    assert english.lineage is not None
    assert (english.lineage.kind, english.lineage.intermediate[0].name) == (TrainingKind.ENGLISH, "MNLI")
    assert [workload.lang for workload in study.workloads] == ["sw", "th"]
    assert (study.contrasts[0].baseline, study.contrasts[0].candidate) == ((english,), (multilingual,))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD.replace("name", "nam"), r"\[study\]: unknown key 'nam'; did you mean 'name'"),
        (HEAD, r"no \[\[variant\]\]"),
        (HEAD + '[[tasks]]\nname = "xnli"\n', "unknown key 'tasks'; did you mean 'task'"),
        (HEAD + '[[variant]]\nname = "a"\nmodle = "b"\n', "unknown key 'modle'; did you mean 'model'"),
        (HEAD + '[[variant]]\nname = "a"\nmodel = "./nowhere/model.onnx"\n', "model.onnx is not there"),
        (HEAD + variant("english", 1) * 2, "two variants have the name 'english-1'"),
        (HEAD + variant("englsh", 1), "unknown kind 'englsh'; did you mean 'english'"),
        (HEAD + variant("none", 1), "'none' has no intermediate tasks"),
        (HEAD + variant("english", 1) + CONTRAST, "candidate chooses no variant; the variants have kind: english"),
        (HEAD + variant("english", 1) + BY_NAME, "unknown variant 'englih-1'; did you mean 'english-1'"),
        (HEAD + variant("english", 1) + BY_SEED, "on both sides"),
        (HEAD + variant("english", 1) + '[[workload]]\nlang = "xx"\n', "unknown language 'xx'"),
        (HEAD + 'scores = "nowhere.csv"\n' + variant("english", 1), "nowhere.csv is not there"),
        (HEAD + "margin = 3\n" + variant("english", 1), "margin must be between 0 and 1, got 3"),
        (HEAD + 'devices = ["local"]\n' + variant("english", 1), "stands at the top and in"),
        ('devices = ["nothing"]\n[study]\nname = "s"\n' + variant("english", 1), "unknown device 'nothing'"),
        ("[study\n", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_study_that_is_none_says_where(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(EdgebenchError, match=problem) as error:
        study_of(tmp_path, text)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


# --- what is there --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_format_is_there_where_the_board_got_another_for_it(tmp_path: Path) -> None:
    """The simulated board measures in onnx-int8; the files' formats are rewritten."""
    study, store = whole(tmp_path), Store(tmp_path / "store")
    keep(study, store, langs=("sw",))

    def done(requested: Sequence[str], measured: str) -> bool:
        only = replace(study, formats=tuple(map(Format, requested)), workloads=study.workloads[:1])
        subjects = [each.subject for each in store.measurements()]
        artifacts = [replace(subject.artifact, format=Format(measured)) for subject in subjects]
        patched = [
            replace(each, subject=replace(each.subject, artifact=artifact))
            for each, artifact in zip(store.measurements(), artifacts, strict=True)
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "measurements_by_figures", lambda _, wanted: [m for m in patched if wanted(m.subject)])
            return study_cells(only, store)[0].done

    assert done(["tflite-int8"], "tflite-int8")
    assert done(["tflite-int8"], "tflite-int8-per-tensor")
    assert done(["tflite-int8", "tflite-int8-per-tensor"], "tflite-int8-per-tensor")
    assert not done(["tflite-int8-per-tensor"], "tflite-int8")
    assert not done(["tflite-int8", "tflite-fp32"], "tflite-int8")


def test_a_board_that_does_not_say_its_runtime_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(tmp_path, HEAD + variant("english", 1) + WORKLOADS)
    here = study.devices[0]
    study = replace(study, devices=(here, replace(here, name="other")))

    def prepare(request: Request, _: object) -> list[object]:
        raise ConnectionFailed(f"{request.device.name} is off")

    monkeypatch.setattr("edgebench.study.run.prepare", prepare)
    sessions = missing_sessions(study, Store(tmp_path / "store"), on_event=ignore)
    for name, begin in sessions.items():
        with pytest.raises(ConnectionFailed, match=f"{name} is off"):
            begin(on_event=ignore)
    assert len(sessions) == 2


def test_a_workload_is_done_when_one_session_has_all_variants(tmp_path: Path) -> None:
    study, store = whole(tmp_path), Store(tmp_path / "store")
    assert [cell.done for cell in study_cells(study, store)] == [False, False]
    assert estimated_remaining_s(study, study_cells(study, store)) is None
    keep(study, store, langs=("sw",))
    cells = study_cells(study, store)
    assert [(cell.done, cell.have) for cell in cells] == [(True, ("english-1", "multilingual-1")), (False, ())]
    left_s = estimated_remaining_s(study, cells)
    assert left_s is not None
    assert left_s == pytest.approx(cells[0].took_s or 0)


def test_what_was_measured_of_other_files_does_not_count(tmp_path: Path) -> None:
    study, store = whole(tmp_path), Store(tmp_path / "store")
    keep(study, store)
    now = {each.source: [f"{number:064x}"] for number, each in enumerate(study.variants)}
    assert all(cell.done for cell in study_cells(study, store, artifacts=now))
    changed = now | {study.variants[1].source: ["f" * 64]}
    cells = study_cells(study, store, artifacts=changed)
    assert [(cell.done, cell.have) for cell in cells] == [(False, ("english-1",))] * 2


def test_more_planned_runs_than_were_measured_are_missing(tmp_path: Path) -> None:
    study, store = whole(tmp_path), Store(tmp_path / "store")
    keep(study, store)
    more = replace(study, plan=replace(study.plan, runs=8))
    assert not any(cell.done for cell in study_cells(more, store))


# --- the report -----------------------------------------------------------------------------------------------------


def test_a_contrast_is_answered_on_every_workload_and_judged_together(tmp_path: Path) -> None:
    study, store = whole(tmp_path), Store(tmp_path / "store")
    keep(study, store, factors={"multilingual-1": 1.2})
    rows = scores({"english-1": 60.0, "multilingual-1": 63.0})
    report = answer_study(study, study_cells(study, store), rows)
    (answer,) = report.answers
    assert [each.comparison.latency.verdict for each in answer.comparisons] == ["slower", "slower"]
    assert {each.comparison.comparisons for each in answer.comparisons} == {2}
    assert answer.verdict == (
        "multilingual or english: latency is slower in 2 of 2 comparisons, and its xnli scores (of the variant) differ "
        "by +3.0 points on the mean of 1 language, without an interval (worst: sw +3.0 points)"
    )
    assert "1 seed of the baseline and 1 of the candidate" in answer.about_training
    assert "not for the training" in answer.about_training
    assert answer.training == ()
    (choices,) = ([c.name for c in f.choices] for f in report.fronts["local, sw"] if f.cost == "latency")
    assert choices == ["multilingual-1 onnx-int8", "english-1 onnx-int8"]
    text = study_markdown(report)
    assert "## multilingual or english" in text
    assert "| multilingual-1 | english-1 | local | sw | onnx-int8 |" in text
    json.dumps(report.to_json(), allow_nan=False)


@pytest.mark.slow
def test_three_seeds_speak_about_the_training(tmp_path: Path) -> None:
    from scipy.stats import ttest_rel

    study, store = whole(tmp_path, seeds=3), Store(tmp_path / "store")
    keep(study, store, langs=("sw",))
    ours, theirs = [60.0, 61.0, 59.0], [70.0, 72.0, 70.5]
    rows = scores({f"english-{at}": value for at, value in enumerate(ours, start=1)})
    rows += scores({f"multilingual-{at}": value for at, value in enumerate(theirs, start=1)})
    (answer,) = answer_study(study, study_cells(study, store), rows).answers
    assert len(answer.comparisons) == 3  # seed by seed
    mean, one = answer.training
    assert (mean.lang, one.lang, mean.seeds) == (ALL_LANGUAGES, "sw", 3)
    low, high = ttest_rel(theirs, ours).confidence_interval(mean.level)
    assert (mean.verdict, mean.difference) == ("better", pytest.approx(10.8333, abs=1e-3))
    assert mean.ci == pytest.approx((low, high))


def test_a_variant_without_a_counterpart_is_named(tmp_path: Path) -> None:
    variants = variant("english", 1) + variant("english", 2) + variant("multilingual", 1)
    study, store = study_of(tmp_path, HEAD + variants + WORKLOADS + CONTRAST), Store(tmp_path / "store")
    keep(study, store, langs=("sw",))
    (answer,) = answer_study(study, study_cells(study, store), []).answers
    assert len(answer.comparisons) == 1
    assert "left out: english-2" in answer.notes[0]


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    study = whole(tmp_path)
    report = answer_study(study, study_cells(study, Store(tmp_path / "store")), [])
    assert "nothing is measured" in report.answers[0].verdict
    assert report.missing == ("local, sw: english-1, multilingual-1", "local, th: english-1, multilingual-1")


def test_figures_beside_the_trace_are_those_of_the_trace(tmp_path: Path) -> None:
    study, store = whole(tmp_path), Store(tmp_path / "store")
    keep(study, store, langs=("sw",))
    path = next((tmp_path / "store" / "runs").glob("*/run.json"))
    document = json.loads(path.read_text())
    del document["run"]["figures"]  # as an older edgebench kept it
    kept = {run.id: run.figures for each in store.measurements_by_figures(lambda _: True) for run in each.runs}
    path.write_text(json.dumps(document))
    again = {run.id: run.figures for each in store.measurements_by_figures(lambda _: True) for run in each.runs}
    assert again == kept
    assert {run.figures for each in store.measurements() for run in each.runs} == {None}


# --- the command ----------------------------------------------------------------------------------------------------


def edgebench_study(*arguments: str, timeout: int = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*edgebench_command(), "study", *arguments],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


@pytest.mark.long
def test_a_real_study_is_measured_once_and_answered(tmp_path: Path, tiny_onnx: Path) -> None:
    for name in ("english", "multilingual"):
        shutil.copy(tiny_onnx, tmp_path / f"{name}.onnx")
    text = 'devices = ["local"]\n[study]\nname = "tiny"\nown_cost = false\ncold = false\n'
    text += "[plan]\nruns = 2\nmin_count = 5\nmin_duration_s = 0.0\n"
    for name in ("english", "multilingual"):
        text += f'[[variant]]\nname = "{name}"\nmodel = "{name}.onnx"\nlineage = {{kind = "{name}", seed = 1}}\n'
    file, store = tmp_path / "STUDY.toml", str(tmp_path / "store")
    file.write_text(text + "[[workload]]\nseq_len = 16\n" + CONTRAST)
    first = edgebench_study("status", str(file), "--store", store, "--json", "-")
    assert [part["done"] for part in json.loads(first.stdout)["parts"]] == [False]
    done = edgebench_study("run", str(file), "--store", store, "--json", "-")
    assert done.returncode in (0, 4), done.stderr  # a busy machine's runs may not count
    ids = {each["id"] for each in json.loads(done.stdout)["measurements"]}
    assert len(ids) == 2
    assert len({id.rpartition("-")[0] for id in ids}) == 1
    reported = edgebench_study(
        "report", str(file), "--store", store, "--json", "-", "--markdown", str(tmp_path / "r.md")
    )
    assert reported.returncode == 0, reported.stderr
    if done.returncode == 0:
        again = edgebench_study("run", str(file), "--store", store, "--json", "-")
        assert (again.returncode, "nothing is missing" in again.stderr) == (0, True)
        check_schema(json.loads(again.stdout), "profile")
        assert len(json.loads(reported.stdout)["contrasts"][0]["comparisons"]) == 1
    assert (tmp_path / "r.md").read_text().startswith("# tiny\n")


@pytest.mark.slow
def test_a_wrong_study_is_one_line(tmp_path: Path) -> None:
    done = edgebench_study("status", str(tmp_path / "STUDY.toml"))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    with pytest.raises(ConfigError, match="can't read"):
        read_study(tmp_path / "STUDY.toml")
