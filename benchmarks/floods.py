"""Memory that a hostile board can take of this machine: `python -m benchmarks.floods`.

For each command that talks to a board, at each command of the agent that it uses, the board writes without end in
several ways. What is measured is the growth of the command's memory from the moment at which the flood begins. Where
results are taken (follow, fetch), the growth at the same moment on an honest board is subtracted. Exits with 1 if the
difference is above 50 MB anywhere, or a command had to be killed. `--only COMMAND` may be repeated.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import print_markdown
from tests.board.openssh import SSHD, OpenSshServer
from tests.board.ssh_board import SshBoard
from tests.hostile.flooding_board import JOURNALS, Flooded, FloodingBoard, environment

_MOST_BYTES = 50_000_000
_RUN = ("--runs", "1", "--min-count", "20", "--min-duration", "0.2", "--max-warmup", "0.2", "--no-cold")
_RUN = (*_RUN, "--no-overhead")
#: What every reply is tried with; and where the host reads what a reply may hold, all that the board can write.
_FEW, _ALL = ("line", "stderr"), ("line", "answers", "nested", "garbage", "stderr", "both")


#: Stands for the id of the measurement in the store `complete`.
_ID = "ID"
_STUDY = """devices = ["board"]
[study]
name = "s"
overhead = false
cold = false
[plan]
runs = 1
min_count = 20
min_duration_s = 0.2
[[variant]]
name = "a"
model = "{model}"
[[workload]]
seq_len = 8
"""


@dataclass(frozen=True)
class Case:
    """A command of edgebench. `needs`: the store that it begins with; `kinds`: of floods where a reply is expected."""

    name: str
    arguments: tuple[str, ...]
    needs: str = ""
    kinds: tuple[str, ...] = _FEW
    journals: tuple[str, ...] = ()
    in_store: bool = True


def _cases(desk: Path) -> list[Case]:
    model = str(desk / "tiny.onnx")
    on_board = ("--device", "board", "--model", model)
    checkpoint = ("--model", str(desk / "checkpoint"), "--format", "onnx-fp32")
    evaluate = ("evaluate", "--device", "board", *checkpoint, "--task", "xnli")
    return [
        Case("device check", ("device", "check", "board"), kinds=_ALL, in_store=False),
        Case("device clean", ("device", "clean", "board", "--older-than", "30d"), in_store=False),
        Case("device release", ("device", "release", "board", "--force"), in_store=False),
        Case("device setup --remove", ("device", "setup", "bare", "--remove"), in_store=False),
        Case("device setup", ("device", "setup", "bare", "--runtime", "onnxruntime"), in_store=False),
        Case("profile", ("profile", *on_board, *_RUN), journals=JOURNALS),
        Case("profile --tune", ("profile", *on_board, "--tune", "threads", *_RUN), journals=("latencies",)),
        Case("profile --ops", ("profile", *on_board, "--ops", *_RUN), journals=("readings",)),
        Case("evaluate", (*evaluate, "--data", str(desk / "data")), journals=("latencies", "logs")),
        Case("study run", ("study", "run", str(desk / "STUDY.toml")), journals=("latencies",)),
        Case("runs resume", ("runs", "resume"), needs="interrupted", journals=("latencies",)),
        Case("runs extend", ("runs", "extend", _ID, "--runs", "1"), needs="complete", journals=("latencies",)),
        Case("gate", ("gate", "--baseline", "main", *on_board), needs="accepted", journals=("latencies",)),
    ]


class Bench:
    """A host's folder, a hostile board, and stores in the states that commands begin with."""

    def __init__(self, folder: Path, most_s: float) -> None:
        if SSHD is None:
            raise SystemExit("OpenSSH's sshd is not installed; try: apt install openssh-server")
        self.folder = folder
        self.most_s = most_s
        self.home = folder / "host"
        (self.home / "work").mkdir(parents=True)
        (folder / "board").mkdir()
        self.server = OpenSshServer(folder / "board" / "home")
        self.board = SshBoard(self.server, folder / "board")
        self.hostile = FloodingBoard(self.board, folder / "hostile")
        config = self.home / ".config" / "edgebench"
        config.mkdir(parents=True)
        device = self.board.device(python=str(self.hostile.python), port=self.server.port)
        names = ("host", "port", "user", "identity_file", "host_key", "python")
        values = {name: getattr(device, name) for name in names}
        lines = [f"{name} = {value if isinstance(value, int) else repr(value)}" for name, value in values.items()]
        # `bare` has no Python of the user's choice, which `device setup` would not replace: a start-up file names ours.
        tables = ["[device.board]", *lines, "[device.bare]", *(line for line in lines if not line.startswith("python"))]
        (config / "edgebench.toml").write_text("\n".join(tables) + "\n")
        (self.hostile.folder / "python3").symlink_to(self.hostile.python)
        (self.board.home / ".bashrc").write_text(f"export PATH={self.hostile.folder}:$PATH\n")
        self._homes = 0
        self.complete_id = ""
        self._make_inputs()

    def _make_inputs(self) -> None:
        from edgebench.export import export_model
        from tests.evaluation.conftest import NLI, texts, write_tokenizer, write_xnli
        from tests.export.conftest import build

        made = export_model("reference:tiny", "onnx-int8", cache=self.folder / "cache").artifact.model_path
        shutil.copy(made, self.folder / "tiny.onnx")
        labels = dict(enumerate(NLI))
        model = build("XLMRobertaForSequenceClassification", num_labels=len(NLI))
        model.config.id2label, model.config.label2id = labels, {label: at for at, label in labels.items()}
        model.save_pretrained(self.folder / "checkpoint")
        write_tokenizer(self.folder / "checkpoint")
        pairs = list(zip(texts(1, 24), texts(2, 24), strict=True))
        write_xnli(self.folder / "data", "sw", pairs, [NLI[at % 3] for at in range(24)])
        tiny = self.folder / "tiny.onnx"
        (self.folder / "STUDY.toml").write_text(_STUDY.format(model=tiny))

    def run(self, case: Case, command: str, kind: str) -> Flooded:
        """Run a case on a fresh board, with a fresh store, that floods at one command of the agent."""
        self._homes += 1
        self.hostile.arm(command, kind, home=self.folder / "board" / f"edgebench-{self._homes}")
        store = self.folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        if case.needs:
            shutil.copytree(self.folder / case.needs, store)
        arguments = [self.complete_id if each == _ID else each for each in case.arguments]
        arguments = [*arguments, *(("--store", str(store)) if case.in_store else ())]
        program = [sys.executable, "-m", "edgebench", *arguments]
        return self.hostile.run(program, cwd=self.home / "work", env=environment(self.home), most_s=self.most_s)

    def prepare_stores(self, cases: Sequence[Case]) -> None:
        """Make the stores that cases begin with."""
        from edgebench import Store

        wanted = {case.needs for case in cases}
        profile = Case("", ("profile", "--device", "board", "--model", str(self.folder / "tiny.onnx"), *_RUN))
        if "interrupted" in wanted:
            self.run(profile, "follow", "garbage")
            shutil.copytree(self.folder / "store", self.folder / "interrupted")
        if wanted & {"complete", "accepted"}:
            done = self.run(profile, "", "honest")
            assert done.status in (0, 4), done.said
            shutil.copytree(self.folder / "store", self.folder / "complete")
            (measured,) = Store(self.folder / "complete").measurements()
            self.complete_id = measured.id
        if "accepted" in wanted:
            from edgebench.gating import accept_baseline

            shutil.copytree(self.folder / "complete", self.folder / "accepted")
            accept_baseline(self.complete_id, store=self.folder / "accepted", name="main")


def rows(bench: Bench, cases: Sequence[Case]) -> Iterator[tuple[list[str], bool]]:
    """Yield a row for each command, command of the agent and kind of flood, and whether it is within its bounds."""
    for case in cases:
        said = bench.run(case, "", "honest")
        used = bench.hostile.commands()
        if not used:
            print(f"{case.name} never reached the board: {said.said}", file=sys.stderr)
            yield [case.name, *[""] * 7, said.last_line[:160].replace("|", "/")], False
        for command in used:
            takes_results = command in ("follow", "fetch")
            honest = bench.run(case, command, "honest").grown_bytes if takes_results else 0
            kinds = (*case.kinds, *(case.journals if command == "follow" else ()))
            for kind in kinds:
                flooded = bench.run(case, command, kind)
                if flooded.grown_bytes is None or honest is None:
                    continue
                above = flooded.grown_bytes - honest
                is_good = above <= _MOST_BYTES and flooded.status >= 0 and "Traceback" not in flooded.said
                cells = [
                    case.name,
                    command,
                    kind,
                    _mb(honest) if takes_results else "",
                    _mb(flooded.grown_bytes),
                    _mb(above),
                ]
                how = str(flooded.status) if flooded.status >= 0 else "killed"
                yield [*cells, f"{flooded.flooded_s or 0:.1f}", how, flooded.last_line[:160].replace("|", "/")], is_good


def _mb(amount: int) -> str:
    return f"{amount / 1e6:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floods", description=__doc__)
    parser.add_argument("--only", action="append", metavar="COMMAND", help="only this command, such as 'device check'")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a flood may last before it is a failure")
    options = parser.parse_args(arguments)
    good = []
    with tempfile.TemporaryDirectory(prefix="edgebench-floods-") as place:
        bench = Bench(Path(place), options.seconds)
        try:
            cases = [case for case in _cases(bench.folder) if not options.only or case.name in options.only]
            if not cases:
                parser.error(f"no such command; there are: {', '.join(case.name for case in _cases(bench.folder))}")
            bench.prepare_stores(cases)

            def cells() -> Iterator[list[str]]:
                for row, is_good in rows(bench, cases):
                    good.append(is_good)
                    yield row

            headers = ["command", "at", "flood", "honest, MB", "flooded, MB", "above, MB", "s", "exit", "last line"]
            print_markdown(headers, cells())
        finally:
            bench.board.close()
    print(f"{sum(good)} of {len(good)} within {_MOST_BYTES / 1e6:.0f} MB and {options.seconds:g} s")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
