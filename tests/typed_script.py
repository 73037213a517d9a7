"""Everything that the commands do, by the public names of edgebench. Checked by `mypy --strict`, never run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import edgebench


def listen(event: edgebench.Event) -> None:
    if isinstance(event, edgebench.LogMessage):
        print(event.text)


def listen_to_boards(board: str, event: edgebench.Event) -> None:
    print(board, event)


#: Every error, from the special to the general: what a script may catch.
ERRORS: tuple[type[edgebench.EdgebenchError], ...] = (
    edgebench.AgentError,
    edgebench.AuthenticationError,
    edgebench.BoardBusy,
    edgebench.BoardError,
    edgebench.CheckpointError,
    edgebench.ConfigError,
    edgebench.ConnectionFailed,
    edgebench.ConnectionLost,
    edgebench.DeviceError,
    edgebench.ExportError,
    edgebench.HostKeyError,
    edgebench.LeaseLost,
    edgebench.MissingExtra,
    edgebench.NoWheelFits,
    edgebench.NotComparable,
    edgebench.NotValid,
    edgebench.ParityError,
    edgebench.PasswordRefused,
    edgebench.RunFailed,
    edgebench.ScoresError,
    edgebench.StoreError,
    edgebench.TooFewRuns,
    edgebench.UnknownName,
    edgebench.UsageError,
    edgebench.EdgebenchError,
)


def devices() -> edgebench.Device:
    """`edgebench device`: add, list, set up, check, clean and release."""
    key, fingerprint = edgebench.fetch_host_key("10.0.0.4", 22)
    print(fingerprint)
    added: edgebench.Device = edgebench.add_device("pi4", "pi@10.0.0.4", profile="pi4", host_key=key, replace=True)
    is_new: bool = edgebench.install_public_key(added, "ssh-ed25519 AAAA me", "password")
    settings: Path = edgebench.remove_device("pi4")
    known: list[edgebench.Device] = edgebench.list_devices()
    profiles: list[edgebench.DeviceProfile] = edgebench.list_profiles()
    print(is_new, settings, [device.name for device in known], [profile.title for profile in profiles])
    plan = edgebench.SetupPlan(runtimes=("onnxruntime",), upgrade=True)
    setup: edgebench.Setup = edgebench.set_up_device(added, plan, listen)
    checkup: edgebench.Checkup = edgebench.check_device(added)
    print(setup.is_ready, checkup.can_measure)
    cleanup: edgebench.Cleanup = edgebench.clean_device(added, older_than_s=86_400, keep_bytes=10**9, dry_run=True)
    release: edgebench.Release = edgebench.release_device(added, force=True, reason="the job hangs")
    holder: edgebench.Holder | None = release.released
    removal: edgebench.Removal = edgebench.remove_setup(added, on_event=listen)
    print(cleanup.removed_bytes, holder, removal.left)
    return edgebench.find_device("pi4")


def profiles(device: edgebench.Device, store: edgebench.Store) -> list[edgebench.Measurement]:
    """`edgebench profile` and `edgebench runs resume`."""
    measurement: edgebench.Measurement = edgebench.profile(
        "runs/xnli-multi",
        device="pi4",
        format="onnx-int8",
        workload=edgebench.Workload(lang="sw", padding=edgebench.Padding.BUCKET),
        plan=edgebench.RunPlan(runs=6, min_count=100),
        scores="scores.csv",
        store=".edgebench",
        on_event=listen,
    )
    several: list[edgebench.Measurement] = edgebench.profile(
        ["runs/xnli-english", Path("runs/xnli-multi")], workload=edgebench.Workload(seq_len=64), alternate=True
    )
    formats: list[edgebench.Measurement] = edgebench.profile(format=["onnx-fp32", edgebench.Format.ONNX_INT8])
    settings: list[edgebench.Measurement] = edgebench.profile("runs/xnli-multi", tune=["threads"], wait_s=60)
    print(len(several), len(formats), len(settings), edgebench.open_store().folder)
    p95: float | None = measurement.latency_ms.p95
    first: edgebench.Run = measurement.runs[0]
    scores: tuple[edgebench.Score, ...] = tuple(measurement.scores)
    print(p95, first.latencies_ns.mean(), scores)
    request = edgebench.Request(
        device=device,
        models=("runs/xnli-english", "runs/xnli-multi"),
        formats=(edgebench.Format.ONNX_INT8,),
        workloads=(edgebench.Workload(scenario=edgebench.Scenario.SERVER, queries_per_s=5.0),),
        alternate=False,
        overhead=False,
    )
    edgebench.set_up_for(request, listen)
    rows: list[edgebench.ScoreRow] = edgebench.read_scores(Path("scores.csv"))
    plans: list[edgebench.ExportPlan] = edgebench.plan_export(
        "reference:tiny", ["onnx-int8"], device="pi4", store=store
    )
    predicted: edgebench.Prediction | None = plans[0].prediction
    assert predicted is not None
    together: list[edgebench.Measurement] = edgebench.profile_all(request, store=store, scores=rows, on_event=listen)
    again: list[edgebench.Measurement] = edgebench.resume("20250101T120000-1a2b3c", store=store, scores=rows)
    more: list[edgebench.Measurement] = edgebench.extend(again[0].id, runs=20, store=store, scores=rows)
    print([each.subject.extends for each in more])
    results: list[edgebench.BoardResult] = edgebench.run_sessions(
        {device.name: partial(edgebench.profile_all, request, store=store)}, on_event=listen_to_boards
    )
    tuned: edgebench.Tuned = edgebench.tune("runs/xnli-multi", ["threads"], device=device, store=store)
    print(tuned.sentence, [result.error for result in results])
    return [*together, *again]


def exports() -> edgebench.Artifact:
    """`edgebench export`."""
    exported: edgebench.Exported = edgebench.export_model("runs/xnli-multi", "onnx-int8", out=Path("exported"))
    variant: edgebench.Variant = exported.variant
    texts = edgebench.read_parallel(Path("texts.json"))
    compared: list[edgebench.FormatResult] = edgebench.compare_formats("runs/encoder", texts=texts, device="local")
    print(variant.name, [each.error for each in compared])
    return exported.artifact


def lineage() -> edgebench.Lineage:
    task = edgebench.IntermediateTask(name="MNLI", kind=edgebench.TrainingKind.ENGLISH, languages=("en",))
    return edgebench.Lineage(base="xlm-roberta-base", intermediate=(task,), target="xnli", seed=1)


def scores(artifact: edgebench.Artifact, store: edgebench.Store) -> None:
    """`edgebench evaluate` and `edgebench scores`."""
    evaluation: edgebench.Evaluation = edgebench.evaluate(
        "runs/xnli-multi", tasks=["xnli"], data="download", langs=["sw"], device="pi4", store=store, on_event=listen
    )
    folder: edgebench.FolderScores = edgebench.score_predictions(Path("predictions"), Path("labels"))
    whose = edgebench.Provenance(variant="xnli-multi", artifact_sha256=artifact.sha256)
    imported: edgebench.ImportedScores = edgebench.import_scores(Path("report.json"), whose)
    edgebench.write_scores(Path("scores.csv"), imported.rows)
    recipe: edgebench.CiRecipe = edgebench.write_ci_recipe(".", system="github", device="pi4", model="runs/new")
    print(recipe.path, *recipe.next_steps)
    print(evaluation.to_json(), folder.overall)


def compares(measurements: list[edgebench.Measurement], store: edgebench.Store) -> None:
    """`edgebench compare` and `edgebench runs`."""
    comparison: edgebench.Comparison = edgebench.compare(measurements[0], measurements[1], margin=0.03)
    pairs: list[edgebench.PairedComparison] = edgebench.compare_stored(
        "xnli-english", "xnli-multi", store=store, scores="scores.csv", allow=["governor"]
    )
    print(comparison.verdict, [pair.verdict for pair in pairs])
    stored: list[edgebench.Measurement] = store.measurements(device="pi4")
    shown: edgebench.Measurement = store.measurement(stored[0].id)
    count: int = store.export(Path("latencies.csv"), ids=[shown.id], kind="csv")
    print(count)
    reasons: tuple[edgebench.Reason, ...] = shown.reasons
    print([reason.text for reason in reasons if reason.code is edgebench.ReasonCode.THROTTLED])


def gates(store: edgebench.Store) -> None:
    """`edgebench gate`, `gate accept` and `history`."""
    main_branch: edgebench.Baseline = edgebench.accept_baseline("20250101T120000-1a2b3c-000", store=store, name="main")
    budgets: tuple[edgebench.Budget, ...] = edgebench.read_budgets()
    result: edgebench.GateResult = edgebench.gate(
        "runs/xnli-new", baseline="last", device="pi4", budgets=budgets, store=store, on_event=listen
    )
    failing: list[edgebench.BudgetResult] = [
        each for each in result.budgets if each.result is edgebench.GateVerdict.FAIL
    ]
    histories: list[edgebench.GateHistory] = edgebench.gate_history("pi4", store=store)
    print(main_branch.artifact.sha256, result.sentence, failing, [history.levels for history in histories])


def studies(store: edgebench.Store) -> None:
    """`edgebench study`."""
    study: edgebench.Study = edgebench.read_study(Path("STUDY.toml"))
    status: edgebench.StudyStatus = edgebench.study_status(study, store)
    if not status.done:
        measured: list[edgebench.Measurement] = edgebench.run_study(study, store, on_event=listen)
        print(len(measured), status.estimated_remaining_s)
    lab = edgebench.Scheduler(address="tls://lab:8786", tls_ca_file="ca.pem", tls_cert="me.pem", tls_key="me.key")
    far = edgebench.read_study(Path("STUDY.toml"), any_device=True)
    measured = edgebench.run_study(far, store, executor=lab, bench_wait_s=600.0)
    benches: edgebench.StudyBenchStatus = edgebench.study_bench_status(far, lab, on_event=listen)
    print(benches.not_offered, *benches.lines())
    edgebench.start_bench("tcp://lab:8786", devices=["pi4"], name="bench", listen="10.0.0.7", on_event=listen)
    report: edgebench.StudyReport = edgebench.study_report(study, store, allow_variant_scores=True)
    Path("report.md").write_text(edgebench.study_markdown(report), encoding="utf-8")
    page: str = edgebench.report(report, *store.measurements(), out="report.html", title="A study")
    picture: Path = edgebench.plot(report, kind="front", out="front.svg")
    exported: edgebench.ExportedResults = edgebench.export_results(
        store.each_measurement(), to="bmf", out="results.json", store=store
    )
    brought: edgebench.SyncResult = edgebench.bring_from(store, edgebench.Store("s3://bucket/results"))
    print(len(page), picture, exported.measurements, brought.runs, brought.documents)


def main() -> None:
    print(edgebench.__version__, lineage())
    store = edgebench.Store(".edgebench")
    try:
        compares(profiles(devices(), store), store)
        scores(exports(), store)
        gates(store)
        studies(store)
    except edgebench.EdgebenchError as error:
        print(error)
