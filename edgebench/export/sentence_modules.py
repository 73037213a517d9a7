"""Modules of sentence-transformers: what a folder's modules.json puts after the encoder, read without torch.

A folder of sentence-transformers lists modules: a Transformer, then Pooling (states of tokens to one vector), and
optionally Dense and Normalize. They are exported with the encoder as one graph. Module types, the keys of their
config.json and their defaults are those of sentence-transformers (Reimers and Gurevych, 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebench.errors import CheckpointError
from edgebench.export.families import known_size
from edgebench.export.folder_files import refuse_foreign_module
from edgebench.export.json_files import read_json_object, read_json_value
from edgebench.reading import is_file

MODULES = "modules.json"
#: Settings of the encoder, in its folder, and of the model, in its own.
TRANSFORMER_SETTINGS, _SETTINGS = "sentence_bert_config.json", "config_sentence_transformers.json"
#: What early versions called the settings of the encoder; the first of them that is there counts.
_SETTINGS_BY_FAMILY = (
    TRANSFORMER_SETTINGS,
    *(
        f"sentence_{name}_config.json"
        for name in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    ),
)
#: The files that sentence-transformers adds to a folder, besides those of the modules.
SENTENCE_FILES = (MODULES, _SETTINGS, TRANSFORMER_SETTINGS)
#: The task of `export_model` that exports encoder and modules as one graph.
SENTENCE_EMBEDDING = "sentence-embedding"
#: The vector of a text: its name among sentence-transformers' features, and as the output of the graph.
VECTOR = "sentence_embedding"

#: Ways to pool with their keys in older files, in the order in which those concatenate several.
_POOLINGS = (
    ("cls", "pooling_mode_cls_token"),
    ("max", "pooling_mode_max_tokens"),
    ("mean", "pooling_mode_mean_tokens"),
    ("mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"),
    ("weightedmean", "pooling_mode_weightedmean_tokens"),
    ("lasttoken", "pooling_mode_lasttoken"),
)
#: Activations of Dense: classes of torch without arguments.
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU", "LeakyReLU", "ELU", "Mish", "Softplus")
_PACKAGE = "sentence_transformers."
_MOST_FEATURES = 65_536
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_NO_LIMIT = 1 << 31  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """A linear layer and its activation; `weights`: the file of `linear.weight` and `linear.bias`."""

    inputs: int
    outputs: int
    bias: bool
    activation: str
    weights: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceModules:
    """What makes one vector of the encoder's states.

    Args:
        pooling: one or several of cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, in the order in which
            they are concatenated.
        steps: what follows, in order: a Dense, or None for Normalize (to unit length).
        max_seq_length: the longest text in tokens; longer ones are cut there. None: the encoder's limit.
        prompt: put before each text by default.
        include_prompt: whether the tokens of a prompt are pooled as well.
        similarity: the function that compares two vectors; None: cosine.
    """

    pooling: tuple[str, ...]
    steps: tuple[Dense | None, ...] = ()
    max_seq_length: int | None = None
    prompt: str = ""
    include_prompt: bool = True
    similarity: str | None = None

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """The files of the dense layers."""
        return tuple(step.weights for step in self.steps if step is not None)

    @property
    def is_mean(self) -> bool:
        """Whether the vectors have the directions of the mean of all tokens' states."""
        return self.pooling == ("mean",) and all(step is None for step in self.steps)

    @property
    def ranks_as_cosine(self) -> bool:
        """Whether the similarity function ranks vectors as their cosine does; of unit vectors, several do."""
        is_unit = bool(self.steps) and self.steps[-1] is None
        return self.similarity is None or (is_unit and self.similarity in ("dot", "dot_score", "euclidean"))

    @property
    def description(self) -> str:
        """The modules in words, e.g. `cls, dense 32->16 Tanh, normalize`."""
        steps = [
            "normalize" if one is None else f"dense {one.inputs}->{one.outputs} {one.activation}" for one in self.steps
        ]
        return ", ".join([" + ".join(self.pooling), *steps])

    def identity(self) -> dict[str, Any]:
        """Return what determines the graph, as JSON values."""
        steps = [None if one is None else [one.inputs, one.outputs, one.bias, one.activation] for one in self.steps]
        return {"pooling": list(self.pooling), "steps": steps}


def is_sentence_folder(folder: Path) -> bool:
    """Return whether sentence-transformers saved a model in this folder."""
    return (folder / MODULES).is_file()


def module_paths(folder: Path) -> list[str]:
    """Return the subfolders of the modules; empty if sentence-transformers did not save a model here.

    Raises:
        CheckpointError: modules.json can't be read.
    """
    if not is_sentence_folder(folder):
        return []
    return [str(module["path"]) for module in _modules(folder) if module["path"] and _module_folder(folder, module)]


def transformer_folder(folder: Path) -> Path:
    """Return the folder of a sentence-transformers model's encoder: the folder itself, or e.g. its 0_Transformer.

    Raises:
        CheckpointError: modules.json can't be read, or names no Transformer first.
    """
    return _module_folder(folder, _modules(folder)[0])


def settings_of_transformer(encoder: Path) -> Path:
    """Return the file of the encoder's settings in its folder, under whichever name; it need not be there."""
    paths = [encoder / name for name in _SETTINGS_BY_FAMILY]
    return next((path for path in paths if path.is_file()), paths[0])


def sentence_modules_of(encoder: str | Path | None) -> SentenceModules | None:
    """Return the modules that belong to an encoder's folder; None if it is of no sentence-transformers model.

    Args:
        encoder: the folder of its tokenizer: the model's own, or a subfolder such as 0_Transformer or onnx.

    Raises:
        CheckpointError: a module is unknown or can't be read.
    """
    if encoder is None:
        return None
    folder = Path(encoder).absolute()
    for root in (folder, folder.parent):
        if is_sentence_folder(root):
            config = transformer_folder(root) / "config.json"
            size = known_size(read_json_object(config), "hidden_size")
            if size is None:
                raise CheckpointError(f"{config} has no hidden_size")
            return read_modules(root, hidden_size=size)
    return None


def read_modules(folder: Path, *, hidden_size: int) -> SentenceModules:
    """Return the modules after the encoder.

    Args:
        folder: contains modules.json.
        hidden_size: dimensions of the encoder's states.

    Raises:
        CheckpointError: a module is unknown or can't be read, or its sizes don't fit.
    """
    transformer, *others = _modules(folder)
    pooling: tuple[str, ...] = ()
    include_prompt = True
    steps: list[Dense | None] = []
    width = hidden_size
    for module in others:
        kind, place = _kind(module, folder), _module_folder(folder, module)
        if kind == "Pooling" and not pooling:
            values = read_json_object(place / "config.json")
            pooling, include_prompt = (
                _pooling(values, place / "config.json"),
                values.get("include_prompt", True) is True,
            )
            width = hidden_size * len(pooling)
        elif kind == "Dense" and pooling:
            dense = _dense(place)
            if dense.inputs != width:
                raise CheckpointError(
                    f"{place}: takes {dense.inputs} dimensions and the module before it gives {width}"
                )
            width = dense.outputs
            steps.append(dense)
        elif kind == "Normalize" and pooling:
            if is_file(place / "config.json"):
                _refuse_other_places(read_json_object(place / "config.json"), place / "config.json")
            steps.append(None)
        elif kind != "Dropout":  # which does nothing outside training
            raise CheckpointError(
                f"{folder / MODULES}: the module {module['type']} ({place.name}) can't be exported here",
                hint="supported: Transformer, then Pooling, Dense, Normalize; `task='encoder'` leaves all of them out",
            )
    if not pooling:
        raise CheckpointError(f"{folder / MODULES} has no Pooling: it makes no vector of a text")
    limit = _max_seq_length(_module_folder(folder, transformer))
    prompt, similarity = _settings(folder)
    return SentenceModules(
        pooling=pooling,
        steps=tuple(steps),
        max_seq_length=limit,
        prompt=prompt,
        include_prompt=include_prompt,
        similarity=similarity,
    )


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / MODULES
    modules = read_json_value(path)
    good = isinstance(modules, list) and all(
        isinstance(module, dict) and isinstance(module.get("type"), str) and isinstance(module.get("path"), str)
        for module in modules
    )
    if not good or not modules:
        raise CheckpointError(f"{path} is not a list of modules with a type and a path")
    if _kind(modules[0], folder) != "Transformer":
        raise CheckpointError(f"{path}: its first module is {modules[0]['type']}; only a Transformer can be exported")
    return list(modules)


def _kind(module: Mapping[str, Any], folder: Path) -> str:
    """Return the class of a module. Code from elsewhere than sentence-transformers is not known."""
    name = str(module["type"])
    if not name.startswith(_PACKAGE):
        raise CheckpointError(
            f"{folder / MODULES}: the module {name} is not of sentence-transformers: edgebench runs no code of a"
            " checkpoint",
            hint="`task='encoder'` exports the encoder without it",
        )
    return name.rsplit(".", 1)[-1]


def _module_folder(folder: Path, module: Mapping[str, Any]) -> Path:
    path = str(module["path"])
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise CheckpointError(f"{folder / MODULES} names a module outside its folder: {path!r}")
    refuse_foreign_module(folder, folder / path)
    return folder / path


def _pooling(values: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Return the ways to pool; today's key is `pooling_mode`, older files have one key for each way."""
    names = [name for name, _ in _POOLINGS]
    if (mode := values.get("pooling_mode")) is not None:
        chosen = [mode] if isinstance(mode, str) else mode
        if isinstance(chosen, list) and chosen and all(name in names for name in chosen):
            return tuple(chosen)
        raise CheckpointError(f"{path}: pooling_mode {mode!r} is not known; known: {', '.join(names)}")
    keys = {key for _, key in _POOLINGS}
    unknown = [key for key, value in values.items() if key.startswith("pooling_mode") and key not in keys and value]
    if unknown:
        raise CheckpointError(f"{path}: {unknown[0]} is not known; known: {', '.join(sorted(keys))}")
    return tuple(name for name, key in _POOLINGS if values.get(key)) or ("mean",)


def _refuse_other_places(values: Mapping[str, Any], path: Path) -> None:
    """Refuse a module that reads or writes something else than the vector."""
    for key in ("module_input_name", "module_output_name"):
        if values.get(key) not in (None, VECTOR):
            raise CheckpointError(f"{path}: {key} {values[key]!r} is not supported; only {VECTOR} is")


def _dense(place: Path) -> Dense:
    path = place / "config.json"
    values = read_json_object(path)
    sizes = [values.get(key) for key in ("in_features", "out_features")]
    if not all(type(size) is int and 0 < size <= _MOST_FEATURES for size in sizes):
        raise CheckpointError(f"{path} has no in_features and out_features")
    function = str(values.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = function.split("(")[0].rsplit(".", 1)[-1]
    if name not in ACTIVATIONS or not function.startswith("torch.nn."):
        raise CheckpointError(
            f"{path}: the activation {function!r} is not supported; supported: {', '.join(ACTIVATIONS)}"
        )
    _refuse_other_places(values, path)
    if values.get("use_residual"):
        raise CheckpointError(f"{path}: use_residual is not supported")
    weights = next((place / name for name in _WEIGHTS if is_file(place / name)), None)
    if weights is None:
        raise CheckpointError(f"{place} has no weights; looked for {', '.join(_WEIGHTS)}")
    return Dense(
        inputs=int(values["in_features"]),
        outputs=int(values["out_features"]),
        bias=values.get("bias", True) is True,
        activation=name,
        weights=weights,
    )


def _max_seq_length(transformer: Path) -> int | None:
    """Return where texts are cut, from the Transformer's settings or, as in today's versions, the tokenizer's."""
    path = settings_of_transformer(transformer)
    values = read_json_object(path) if path.is_file() else {}
    _refuse_other_states(values, path)
    if values.get("do_lower_case"):
        raise CheckpointError(
            f"{path}: do_lower_case is set, and texts would not be lowered here",
            hint="put a Lowercase normalizer into tokenizer.json and remove it",
        )
    limit = values.get("max_seq_length")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise CheckpointError(f"{path}: max_seq_length can't be {limit!r}")
    tokenizer = transformer / "tokenizer_config.json"
    if limit is None and tokenizer.is_file():
        limit = read_json_object(tokenizer).get("model_max_length")  # a huge number where there is no limit
    return int(limit) if isinstance(limit, int | float) and 1 <= limit < _NO_LIMIT else None


def _refuse_other_states(values: Mapping[str, Any], path: Path) -> None:
    """Refuse a Transformer that gives something else than the last layer's states."""
    modality = values.get("modality_config")
    text = modality.get("text", {}) if isinstance(modality, dict) else {}
    output = text.get("method_output_name") if isinstance(text, dict) else None
    settings = {
        "transformer_task": (values.get("transformer_task"), "feature-extraction"),
        "module_output_name": (values.get("module_output_name"), "token_embeddings"),
        "method_output_name": (output, "last_hidden_state"),
        "query_expansion": (values.get("query_expansion"), None),
    }
    for key, (value, supported) in settings.items():
        if value not in (None, supported):
            raise CheckpointError(f"{path}: {key} {value!r} is not supported")


def _settings(folder: Path) -> tuple[str, str | None]:
    """Return the default prompt and the similarity function."""
    path = folder / _SETTINGS
    if not path.is_file():
        return "", None
    values = read_json_object(path)
    prompts, name = values.get("prompts"), values.get("default_prompt_name")
    prompts = prompts if isinstance(prompts, dict) else {}
    if name is not None and (not isinstance(name, str) or name not in prompts):
        raise CheckpointError(
            f"{path}: default_prompt_name {name!r} is none of its prompts ({', '.join(map(str, prompts)) or 'none'})",
            hint="correct either",
        )
    prompt = prompts.get(name, "")
    similarity = values.get("similarity_fn_name")
    return str(prompt), None if similarity in (None, "cosine") else str(similarity)
