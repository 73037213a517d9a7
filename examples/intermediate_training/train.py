"""One phase of training: from a checkpoint to the next.

    python train.py mlm          --from xlm-roberta-large --out runs/mlm
    python train.py intermediate --from xlm-roberta-large --out runs/mnli --task MNLI --kind english
    python train.py intermediate --from xlm-roberta-large --out runs/multi --task MNLI "SQuAD 1.1" --mlm
    python train.py target       --from runs/mnli --out runs/xnli-mnli --task xnli --seed 1

OUT becomes a checkpoint of transformers with its tokenizer and lineage.json, which `edgebench export` and `profile`
take. The learning rate, batch, warm-up and lengths are those of Phang et al. (2020, arXiv 2005.13013), unless given.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEARNING_RATE = 1e-5
BATCH = 32
WARM_UP = 0.1  # of the steps
MAX_LEN, MAX_LEN_QUESTION = 256, 384  # tokens
MOST_OF_A_TASK = 1 << 17  # examples that count when tasks are mixed
KINDS = ("english", "multilingual", "translated")


@dataclass(frozen=True, slots=True)
class Step:
    """What one step is trained on: a batch of one task."""

    task: int
    rows: tuple[int, ...]


def plan_steps(sizes: Sequence[int], *, batch: int, epochs: float, steps: int | None, seed: int) -> list[Step]:
    """Return all steps of a phase: which task, which of its rows.

    Each batch is from a random task, in proportion to its number of examples, capped at MOST_OF_A_TASK (Raffel et al.
    2020). Each task's rows come in a new order whenever all have been seen. steps: instead of `epochs` of the rows.
    """
    stream = random.Random(seed)
    shares = [min(size, MOST_OF_A_TASK) for size in sizes]
    count = steps if steps is not None else max(1, round(epochs * sum(shares) / batch))
    rows = [_shuffled(size, stream) for size in sizes]
    drawn = stream.choices(range(len(sizes)), weights=shares, k=count)
    return [Step(task, tuple(next(rows[task]) for _ in range(batch))) for task in drawn]


def _shuffled(size: int, stream: random.Random) -> Iterator[int]:
    while True:
        yield from stream.sample(range(size), size)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    from tasks import load_task

    tasks = [load_task(name, options.kind, options.data) for name in options.task]
    if options.phase == "mlm" or options.mlm:
        tasks.append(load_task("text", "multilingual", options.data))
    began = time.monotonic()
    train(options, tasks)
    lineage = lineage_after(options, tasks)
    (options.out / "lineage.json").write_text(json.dumps(lineage, indent=2) + "\n", encoding="utf-8")
    print(f"{options.out}: {options.phase}, {time.monotonic() - began:.0f} s")


def train(options: argparse.Namespace, tasks: Sequence[Any]) -> None:
    """Train the tasks side by side and write the checkpoint: of the target with its head, else without."""
    # These take seconds; --help must not.
    import torch
    from heads import Encoder, SharedEncoder
    from transformers import AutoTokenizer, Trainer, TrainingArguments, set_seed

    set_seed(options.seed)  # new heads are drawn from it too
    tokenizer = AutoTokenizer.from_pretrained(options.source)
    model = SharedEncoder(options.source, tasks, freeze_embeddings=options.freeze_embeddings)
    longest = model.carrier.config.max_position_embeddings - 2
    encoder = Encoder(
        tokenizer, max_len=min(options.max_len, longest), max_len_question=min(options.max_len_question, longest)
    )
    steps = plan_steps(
        [len(task.rows) for task in tasks],
        batch=options.batch,
        epochs=options.epochs,
        steps=options.steps,
        seed=options.seed,
    )

    def collate(step: Sequence[Step]) -> dict[str, Any]:
        task = tasks[step[0].task]
        return {"task": task.name, "batch": encoder.batch(task, [task.rows[row] for row in step[0].rows])}

    settings = TrainingArguments(
        output_dir=str(options.out),
        max_steps=len(steps),
        per_device_train_batch_size=1,  # one Step, which is a batch
        learning_rate=options.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(WARM_UP * len(steps)),
        optim="adamw_torch",
        seed=options.seed,
        remove_unused_columns=False,
        save_strategy="no",
        logging_steps=max(1, len(steps) // 10),
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
    )
    Trainer(model=model, args=settings, train_dataset=steps, data_collator=collate).train()

    trained = model.head_of(tasks[0].name) if options.phase == "target" else model.carrier
    trained.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)


def lineage_after(options: argparse.Namespace, tasks: Sequence[Any]) -> dict[str, Any]:
    """Return the lineage of the checkpoint before, with this phase in it."""
    path = Path(options.source) / "lineage.json"
    before = (
        json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"base": options.base or options.source}
    )
    if options.phase == "target":
        return before | {"target": options.task[0], "seed": options.seed}
    added = [
        {"name": "MLM" if task.head == "text" else task.name, "kind": "mlm" if task.head == "text" else task.kind}
        | ({"languages": list(task.langs)} if task.langs else {})
        for task in tasks
    ]
    return before | {"intermediate": [*before.get("intermediate", []), *added], "seed": options.seed}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=("mlm", "intermediate", "target"))
    parser.add_argument("--from", dest="source", required=True, metavar="CHECKPOINT", help="a folder or the hub's name")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", help="what lineage.json calls the checkpoint that is begun with (as in --from)")
    parser.add_argument("--task", nargs="+", default=[], help="of DATA/train or the hub; several: side by side")
    parser.add_argument("--kind", choices=KINDS, default="english", help="the languages of the tasks (english)")
    parser.add_argument("--mlm", action="store_true", help="also train on masked words")
    parser.add_argument("--data", type=Path, default=Path("data"), help="a folder as text_tasks.py makes it (data)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=1.0, help="(1)")
    parser.add_argument("--steps", type=int, help="instead of --epochs")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help=f"({LEARNING_RATE:g})")
    parser.add_argument("--batch", type=int, default=BATCH, help=f"({BATCH})")
    parser.add_argument("--max-len", type=int, default=MAX_LEN, help=f"tokens ({MAX_LEN})")
    parser.add_argument("--max-len-question", type=int, default=MAX_LEN_QUESTION, help=f"tokens ({MAX_LEN_QUESTION})")
    parser.add_argument("--freeze-embeddings", action="store_true", help="less memory and time for small runs")
    options = parser.parse_args(arguments)
    if (options.phase == "mlm") != (not options.task):
        parser.error("--task is wanted by intermediate and target, and by no other")
    if options.phase == "target" and (len(options.task) != 1 or options.mlm or options.kind != "english"):
        parser.error("a target is one task, tuned in English")
    return options


if __name__ == "__main__":
    main()
