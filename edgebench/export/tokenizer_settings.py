"""Tokenizer settings: whether tokenizer_config.json asks for other tokens than tokenizer.json makes.

Texts are encoded with tokenizer.json alone. transformers also applies some entries of tokenizer_config.json to it, so
that a folder in which the two contradict each other was trained with other tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebench.errors import ConfigError
from edgebench.reading import parse_json, read_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Classes of transformers that apply these entries; others, such as PreTrainedTokenizerFast, apply none.
_LOWERING = (
    "",
    "Bert",
    "DistilBert",
    "Electra",
    "MPNet",
    "Funnel",
    "LayoutLM",
    "MobileBert",
    "ConvBert",
    "SqueezeBert",
)
_PREFIXING = ("", "Roberta", "GPT2", "Bart", "Longformer", "Deberta")
_BERT_ENTRIES = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def refuse_contradictions(tokenizer: Tokenizer, folder: Path) -> None:
    """Refuse a tokenizer.json that contradicts the tokenizer_config.json beside it.

    Raises:
        ConfigError: it names the first entry.
    """
    settings, added = _read(folder / "tokenizer_config.json"), _read(folder / "added_tokens.json")
    name = str(settings.get("tokenizer_class") or "").removesuffix("Fast").removesuffix("Tokenizer")
    found = [
        *(_lowering(_state(tokenizer.normalizer), settings) if name in _LOWERING else ()),
        *(_prefixing(_state(tokenizer.pre_tokenizer), settings) if name in _PREFIXING else ()),
        *_added(tokenizer, settings, added),
    ]
    if found:
        raise ConfigError(
            f"{folder}: its tokenizer_config.json contradicts its tokenizer.json: {found[0]}; transformers follows the"
            " former, edgebench reads the latter",
            hint="correct either, or save both again: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
        )


def _lowering(normalizer: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    if normalizer.get("type") != "BertNormalizer":
        return
    wanted = {ours: settings[theirs] for theirs, ours in _BERT_ENTRIES.items() if type(settings.get(theirs)) is bool}
    merged = {**normalizer, **wanted}
    for theirs, ours in _BERT_ENTRIES.items():
        if theirs in settings and _effect(merged, ours) != _effect(normalizer, ours):
            yield f"{theirs} is {str(settings[theirs]).lower()}, and its normalizer has {ours} {normalizer.get(ours)}"


def _effect(normalizer: Mapping[str, Any], name: str) -> Any:
    """Return what an entry of BERT's normalizer does; accents that it says nothing of follow the case."""
    value = normalizer.get(name)
    return normalizer.get("lowercase") if name == "strip_accents" and value is None else value


def _prefixing(splitter: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    wanted = settings.get("add_prefix_space")
    if splitter.get("type") == "ByteLevel" and type(wanted) is bool and wanted != splitter.get("add_prefix_space"):
        yield f"add_prefix_space is {str(wanted).lower()}, and its pre_tokenizer has the opposite"


def _added(tokenizer: Tokenizer, settings: Mapping[str, Any], added: Mapping[str, Any]) -> Iterator[str]:
    decoder = settings.get("added_tokens_decoder")
    entries = decoder.values() if isinstance(decoder, dict) else ()
    names = [*added, *(entry["content"] for entry in entries if isinstance(entry, dict) and "content" in entry)]
    for token in names:
        if isinstance(token, str) and tokenizer.token_to_id(token) is None:
            yield f"the added token {token!r} is not in tokenizer.json"


def _state(part: Any) -> Mapping[str, Any]:
    state = parse_json(part.__getstate__()) if part is not None else {}
    return state if isinstance(state, dict) else {}


def _read(path: Path) -> Mapping[str, Any]:
    """Return the entries of a file; empty if it can't be read, which whoever needs it says."""
    try:
        values = parse_json(read_text(path, within=path.parent))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
