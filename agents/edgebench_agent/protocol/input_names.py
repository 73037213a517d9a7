"""Names of a model's inputs: what exporters put around them, and what other families of encoders call them."""

import re

#: The inputs that the agent makes.
INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids", "position_ids")

_SYNONYMS = {
    "input_word_ids": "input_ids",
    "input_mask": "attention_mask",
    "segment_ids": "token_type_ids",
    "input_type_ids": "token_type_ids",
}
_COUNTER = re.compile(r"[._]\d+$")


def plain_input_name(name: str) -> str:
    """Return what an input is, one of INPUT_NAMES, by its name in a model file; other names come back as they are.

    Converters write `input_ids:0`, `serving_default_input_ids:0`, `bert/input_ids` or `input_ids.1`; TensorFlow's BERT
    calls the inputs `input_word_ids`, `input_mask` and `segment_ids`.
    """
    plain = name.split(":")[0].split("/")[-1].lower().replace("-", "_")
    if plain.startswith("serving_default_"):
        plain = plain[len("serving_default_") :]
    for candidate in (plain, _COUNTER.sub("", plain)):
        found = _SYNONYMS.get(candidate, candidate)
        if found in INPUT_NAMES:
            return found
    return name
