"""The tasks of all phases: where their rows come from, and which head answers them.

Rows are of one shape for each head:

    pair       {"first", "second", "label"}                a label for a text or a pair of texts
    choice     {"first", "choices", "label"}               the position of the right choice
    question   {"context", "question", "answer", "start"}  a span of the context; "" and -1: there is none
    text       {"text"}                                    masked words

`lang` may stand beside. Rows are read from DATA/train/TASK.jsonl or TASK.KIND.jsonl where there is such a file, else
from the hub.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
NLI = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubTask:
    """A data set of the hub. columns: of our rows -> of the data set's; `row` makes of one what columns can't tell.

    labels: the names of whole-number labels. configs: kind -> the data set's configurations; each is a language where
    there is more than one. take: only so many rows of each configuration, and no more are downloaded.
    """

    dataset: str
    head: str
    columns: Mapping[str, str] = field(default_factory=dict)
    row: Callable[[Row], Row] | None = None
    labels: tuple[str, ...] = ()
    configs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"english": ()})
    splits: tuple[str, ...] = ("train",)
    take: int | None = None


def _squad(row: Row) -> Row:
    texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
    return {
        "context": row["context"],
        "question": row["question"],
        "answer": texts[0] if texts else "",
        "start": starts[0] if starts else -1,
    }


def _hellaswag(row: Row) -> Row:
    return {"first": row["ctx"], "choices": row["endings"], "label": int(row["label"])}


def _cosmos_qa(row: Row) -> Row:
    question = f"{row['context']} {row['question']}"
    return {"first": question, "choices": [row[f"answer{at}"] for at in range(4)], "label": row["label"]}


def _commonsense_qa(row: Row) -> Row:
    choices = row["choices"]
    return {"first": row["question"], "choices": choices["text"], "label": choices["label"].index(row["answerKey"])}


_PAIR = {"first": "premise", "second": "hypothesis", "label": "label"}
_XNLI = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
_PAWSX = ("de", "en", "es", "fr", "ja", "ko", "zh")

#: The names are those that edgebench knows (`edgebench.variant.INTERMEDIATE_TASKS`) where the task is among them.
#: CCG, the ninth of Phang et al., is licensed and not on the hub.
HUB = {
    "MNLI": HubTask(dataset="nyu-mll/multi_nli", head="pair", columns=_PAIR, labels=NLI),
    "ANLI+": HubTask(
        dataset="facebook/anli",
        head="pair",
        columns=_PAIR,
        labels=NLI,
        splits=("train_r1", "train_r2", "train_r3"),
    ),
    "QQP": HubTask(
        dataset="nyu-mll/glue",
        head="pair",
        columns={"first": "question1", "second": "question2", "label": "label"},
        labels=("not_duplicate", "duplicate"),
        configs={"english": ("qqp",)},
    ),
    "SQuAD 1.1": HubTask(dataset="rajpurkar/squad", head="question", row=_squad),
    "SQuAD 2.0": HubTask(dataset="rajpurkar/squad_v2", head="question", row=_squad),
    "HellaSwag": HubTask(dataset="Rowan/hellaswag", head="choice", row=_hellaswag),
    "CosmosQA": HubTask(dataset="allenai/cosmos_qa", head="choice", row=_cosmos_qa),
    "CommonsenseQA": HubTask(dataset="tau/commonsense_qa", head="choice", row=_commonsense_qa),
    # MNLI's training set, translated by machine into XNLI's languages
    "xnli": HubTask(
        dataset="facebook/xnli",
        head="pair",
        columns=_PAIR,
        labels=NLI,
        configs={"english": ("en",), "translated": _XNLI},
    ),
    "pawsx": HubTask(
        dataset="google-research-datasets/paws-x",
        head="pair",
        columns={"first": "sentence1", "second": "sentence2", "label": "label"},
        labels=("0", "1"),
        configs={"english": ("en",), "translated": _PAWSX},
    ),
    # written in each language, not translated
    "tydiqa": HubTask(
        dataset="google-research-datasets/tydiqa",
        head="question",
        row=_squad,
        configs={"multilingual": ("secondary_task",)},
    ),
    "text": HubTask(
        dataset="wikimedia/wikipedia",
        head="text",
        columns={"text": "text"},
        configs={"multilingual": tuple(f"20231101.{lang}" for lang in _XNLI)},
        take=5000,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task with its rows, which may be a list or a data set of the library `datasets`."""

    name: str
    kind: str
    head: str
    rows: Any
    labels: tuple[str, ...] = ()
    langs: tuple[str, ...] = ()


def load_task(name: str, kind: str, data: Path) -> Task:
    """Return a task's training rows of a kind: english, multilingual or translated.

    Raises:
        SystemExit: the file does not exist, and the hub's table has no such task or kind.
    """
    for path in (data / "train" / f"{name}.{kind}.jsonl", data / "train" / f"{name}.jsonl"):
        if path.is_file():
            return _from_file(path, name, kind)
    if name not in HUB:
        raise SystemExit(f"no {data}/train/{name}.{kind}.jsonl, and the hub's table has {', '.join(HUB)}")
    hub = HUB[name]
    if kind not in hub.configs:
        raise SystemExit(f"{name} is there as {', '.join(hub.configs)}, not {kind}")
    return _from_hub(hub, name, kind)


def _from_file(path: Path, name: str, kind: str) -> Task:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not rows:
        raise SystemExit(f"{path} is empty")
    head = next(head for key, head in _HEADS.items() if key in rows[0])
    labels = tuple(sorted({row["label"] for row in rows})) if head == "pair" else ()
    langs = tuple(sorted({row["lang"] for row in rows if "lang" in row}))
    return Task(name=name, kind=kind, head=head, rows=rows, labels=labels, langs=langs)


#: What only rows of a head have.
_HEADS = {"choices": "choice", "context": "question", "text": "text", "second": "pair"}


def _from_hub(hub: HubTask, name: str, kind: str) -> Task:
    from datasets import Dataset, concatenate_datasets, load_dataset

    def part(config: str | None, split: str) -> Any:
        if hub.take is None:
            return load_dataset(hub.dataset, config, split=split)
        return Dataset.from_list(list(load_dataset(hub.dataset, config, split=split, streaming=True).take(hub.take)))

    configs = hub.configs[kind]
    rows = concatenate_datasets([part(config, split) for config in configs or (None,) for split in hub.splits])

    def ours(row: Row) -> Row:
        found = dict(hub.row(row) if hub.row else {key: row[column] for key, column in hub.columns.items()})
        return found | ({"label": hub.labels[found["label"]]} if hub.labels else {})

    if hub.labels:
        rows = rows.filter(lambda label: label >= 0, input_columns=[hub.columns["label"]])  # -1: annotators disagreed
    langs = tuple(config.rpartition(".")[2] for config in configs) if len(configs) > 1 else ()
    return Task(
        name=name,
        kind=kind,
        head=hub.head,
        rows=rows.map(ours, remove_columns=rows.column_names),
        labels=hub.labels,
        langs=langs or (("en",) if kind == "english" else ()),
    )
