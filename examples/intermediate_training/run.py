"""All variants of a small study: each kind of intermediate training with each seed, then STUDY.toml.

    python text_tasks.py PARALLEL.json study/data
    python run.py --from CHECKPOINT --out study --kinds english multilingual --seeds 1 2

A variant that exists is not trained again. Options after `--` go to every call of train.py.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomlkit
import train

KINDS = ("none", *train.KINDS)


def train_variant(options: argparse.Namespace, kind: str, seed: int, more: Sequence[str]) -> Path:
    """Train one variant and return its folder; what lies between the phases is removed."""
    out: Path = options.out / "variants" / f"{kind}-{seed}"
    if (out / "lineage.json").is_file():
        return out
    between = out.with_name(f"{out.name}.intermediate")
    shared = ["--data", str(options.out / "data"), "--seed", str(seed), *more]
    source = options.source
    base = ["--base", options.base or Path(options.source).name]
    if kind != "none":
        steps = ["--steps", str(options.intermediate_steps)]
        mlm = ["--mlm"] if options.mlm else []
        phase = ["intermediate", "--from", source, "--out", str(between), "--task", *options.task, "--kind", kind]
        call([*phase, *mlm, *steps, *base, *shared])
        source = str(between)
    steps = ["--steps", str(options.target_steps)]
    call(["target", "--from", source, "--out", str(out), "--task", options.target, *steps, *base, *shared])
    shutil.rmtree(between, ignore_errors=True)
    return out


def call(arguments: list[str]) -> None:
    print("python train.py", shlex.join(arguments), flush=True)
    train.main(arguments)


def write_study(options: argparse.Namespace, folders: Sequence[Path]) -> Path:
    """Write STUDY.toml for the existing variants, next to their folder."""
    of_kind: dict[str, list[str]] = {}
    for folder in folders:
        of_kind.setdefault(folder.name.rpartition("-")[0], []).append(folder.name)
    (baseline, *_) = of_kind
    study: dict[str, Any] = {
        "devices": [options.device],
        "formats": options.formats,
        "study": {"name": "intermediate training"},
        "variant": [
            {
                "name": folder.name,
                "model": str(folder.relative_to(options.out)),
                "lineage": json.loads((folder / "lineage.json").read_text(encoding="utf-8")),
            }
            for folder in folders
        ],
        "workload": [{"lang": options.langs} | ({"threads": options.threads} if options.threads else {})],
        "task": [{"name": options.evaluate, "data": "data", "lang": options.langs}],
        "contrast": [
            {
                "name": f"{kind} against {baseline}",
                "baseline": {"name": of_kind[baseline]},
                "candidate": {"name": of_kind[kind]},
            }
            for kind in of_kind
            if kind != baseline
        ],
    }
    path: Path = options.out / "STUDY.toml"
    path.write_text(tomlkit.dumps(study), encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", required=True, metavar="CHECKPOINT")
    parser.add_argument("--base", help="the checkpoint's name in the lineage (its folder's)")
    parser.add_argument("--out", type=Path, required=True, help="has or gets data/, variants/ and STUDY.toml")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["english", "multilingual"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--task", nargs="+", default=["next"], help="the intermediate tasks (next)")
    parser.add_argument("--mlm", action="store_true", help="also train on masked words")
    parser.add_argument("--target", default="spans", help="(spans)")
    parser.add_argument("--intermediate-steps", type=int, default=100, help="(100)")
    parser.add_argument("--target-steps", type=int, default=200, help="(200)")
    parser.add_argument("--evaluate", default="xnli", help="the task whose test files are in data/ (xnli)")
    parser.add_argument("--langs", nargs="+", default=["en", "sw", "th", "zh"], help="of the study (en sw th zh)")
    parser.add_argument("--threads", type=int, help="of an inference on the board (the runtime's choice)")
    parser.add_argument("--formats", nargs="+", default=["onnx-int8", "tflite-int8"])
    parser.add_argument("--device", default="local", help="a name of edgebench.toml (local)")
    options, more = parser.parse_known_args(arguments)
    more = [option for option in more if option != "--"]
    folders = [train_variant(options, kind, seed, more) for kind in options.kinds for seed in options.seeds]
    study = shlex.quote(str(write_study(options, folders)))
    data = shlex.quote(str(options.out / "data"))
    print(f"""
python zero_shot.py {shlex.join(map(str, folders))} --data {data}
edgebench export --model {shlex.quote(str(folders[0]))} --format {",".join(options.formats)}
edgebench study run {study}
edgebench study status {study}
edgebench study report {study}""")


if __name__ == "__main__":
    main()
