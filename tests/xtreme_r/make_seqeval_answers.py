"""Make tests/xtreme_r/seqeval_answers.json: what two versions of seqeval themselves say of random tags.

    python tests/xtreme_r/make_seqeval_answers.py PYTHON_WITH_0_0_12 PYTHON_WITH_1_2_2

They can't be installed side by side, so each runs in the Python of a virtual environment of its own.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

UPOS = [
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
    "_",
]
BIO = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
ODD = [*BIO, "S-PER", "E-PER", "B", "I", "E", ".", "B-A-B", "I-A-B", "O-B"]
ASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
from seqeval.metrics import f1_score, precision_score, recall_score
cases = json.load(sys.stdin)
json.dump([[float(f(*case)) for f in (precision_score, recall_score, f1_score)] for case in cases], sys.stdout)
"""


def cases() -> list[tuple[list[list[str]], list[list[str]]]]:
    """Return (labels, predictions) pairs: of each kind of tags, all right to all wrong."""
    chance = random.Random(7)
    made = []
    for tags in (UPOS, BIO, ODD):
        for share in (0.0, 0.3, 0.6, 0.9, 1.0):
            for _ in range(6):
                labels = [[chance.choice(tags) for _ in range(chance.randrange(9))] for _ in range(6)]
                labels.append([tags[0]])
                found = [
                    [tag if chance.random() < share else chance.choice(tags) for tag in sentence] for sentence in labels
                ]
                made.append((labels, found))
    return made


def ask(python: str, asked: object) -> object:
    """Return what the seqeval of that Python says of the cases."""
    done = subprocess.run([python, "-c", ASK], input=json.dumps(asked), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    _, old, new = sys.argv
    document = {
        "_readme": "Made by tests/xtreme_r/make_seqeval_answers.py; answers: precision, recall and F1 of each case.",
        "cases": cases(),
        "answers": {"0.0.12": ask(old, cases()), "1.2.2": ask(new, cases())},
    }
    Path(__file__).with_name("seqeval_answers.json").write_text(json.dumps(document))
