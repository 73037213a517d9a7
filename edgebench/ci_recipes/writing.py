"""write_ci_recipe(): the file for a CI system, with a board's and a model's name."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edgebench.ci_recipes.detection import CiSystem, detect_system, repository_of
from edgebench.device import LOCAL, configured_devices, find_device
from edgebench.errors import ConfigError, StoreError, UnknownName, UsageError
from edgebench.reading import read_text
from edgebench.request import DEFAULT_MODEL

_TEMPLATES = {CiSystem.GITHUB: "github.yml", CiSystem.GITLAB: "gitlab.yml", CiSystem.JENKINS: "Jenkinsfile"}
_GATE_OPTIONS = {
    CiSystem.GITHUB: "--github",
    CiSystem.GITLAB: "--gitlab gl-code-quality-report.json --gitlab-metrics metrics.txt",
    CiSystem.JENKINS: "",
}
#: The gate has written its own summary; a profile's is the report.
_GITHUB_SUMMARY = '[ -e gate.json ] || cat report.md >> "$GITHUB_STEP_SUMMARY"'
#: Stands in every recipe.
_SIGNATURE = "Written by `edgebench ci init`."
_PLACEHOLDER = re.compile(r"<<([A-Z_]+)>>")


@dataclass(frozen=True, slots=True, kw_only=True)
class CiRecipe:
    """A recipe that was written. `next_steps`: what is left to do by hand, a sentence each."""

    system: CiSystem
    path: Path
    device: str
    model: str
    next_steps: tuple[str, ...]


def write_ci_recipe(
    repository: str | Path | None = None,
    *,
    system: str | CiSystem | None = None,
    device: str | None = None,
    model: str | Path = DEFAULT_MODEL,
    output: str | Path | None = None,
    force: bool = False,
) -> CiRecipe:
    """Write a CI job that measures a model on a board with every change; return what was written.

    Args:
        repository: its folder, or one in it; default: the working folder.
        system: `github`, `gitlab` or `jenkins`; default: what the repository's files and its remote show.
        device: a board of edgebench.toml, or `local`; default: the only one there is.
        model: the candidate as the job finds it, as for `profile`; a path is relative to the repository.
        output: the file; default: .github/workflows/edgebench.yml, .gitlab-ci.yml or Jenkinsfile, and where one of the
            latter two exists, another one beside it.
        force: overwrite a file that exists.

    Raises:
        UsageError: the system or the board is not clear or unknown, a name can't be written, or the file exists.
        StoreError: the file can't be written.
    """
    root = repository_of(Path(repository) if repository is not None else Path.cwd())
    chosen = _system(system) if system is not None else detect_system(root)
    board = device if device is not None else _only_board(root)
    find_device(board, folder=root)
    path = Path(output) if output is not None else _default_path(root, chosen)
    text = recipe_text(chosen, device=board, model=str(model))
    if path.exists() and not force:
        raise UsageError(f"{path} exists", hint="name another `output`, or overwrite it with `force=True`")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"can't write {path}: {error.strerror}") from error
    steps = _next_steps(chosen, root, path, board, str(model))
    return CiRecipe(system=chosen, path=path, device=board, model=str(model), next_steps=steps)


def recipe_text(system: CiSystem, *, device: str, model: str) -> str:
    """Return the text of a recipe.

    Raises:
        ConfigError: the model's name has characters that such a file can't hold.
    """
    if not model or not model.isprintable() or "${{" in model:
        raise ConfigError(
            f"a recipe can't hold the model's name {model!r}", hint="rename it, without control characters"
        )
    quoted = {CiSystem.GITHUB: _yaml, CiSystem.GITLAB: _gitlab_variable, CiSystem.JENKINS: _groovy}[system]
    label = _groovy if system is CiSystem.JENKINS else _yaml
    scripts = {name: _script(name, system, device, model) for name in ("install", "measure", "report")}
    values = {"DEVICE": quoted(device), "MODEL": quoted(model), "LABEL": label(f"board-{device}")}
    lines = []
    for line in _template(_TEMPLATES[system]).splitlines():
        found = _PLACEHOLDER.fullmatch(line)
        if found is None:
            lines.append(_PLACEHOLDER.sub(lambda match: values[match[1]], line))
        else:
            lines += _indented(scripts[found[1].lower()], like=lines[-1])
    return "\n".join(lines) + "\n"


def _script(name: str, system: CiSystem, device: str, model: str) -> str:
    values = {
        "PACKAGE": shlex.quote(f"edgebench[{','.join(_extras(device, model))}]"),
        "GATE_OPTIONS": _GATE_OPTIONS[system],
        "SUMMARY": _GITHUB_SUMMARY if system is CiSystem.GITHUB else "",
    }
    filled = _PLACEHOLDER.sub(lambda match: values[match[1]], _template(f"{name}.sh"))
    return "\n".join(line.rstrip() for line in filled.strip("\n").splitlines())


def _extras(device: str, model: str) -> list[str]:
    is_file = model.endswith((".onnx", ".tflite"))
    return [*(["local"] if device == LOCAL else []), "onnx" if is_file else "export", "report"]


def _template(name: str) -> str:
    return (resources.files("edgebench.ci_recipes") / "templates" / name).read_text(encoding="utf-8")


def _indented(script: str, *, like: str) -> list[str]:
    """Return the lines of a script, further in than the line that introduces it."""
    margin = " " * (len(like) - len(like.lstrip()) + (2 if like.endswith("|") else 4))
    return [f"{margin}{line}" if line else "" for line in script.splitlines()]


# --- quoting ----------------------------------------------------------------------------------------------------------


def _yaml(text: str) -> str:
    """Return a YAML scalar: plain where nothing could be misread, else in double quotes, whose escapes are JSON's."""
    return text if re.fullmatch(r"[a-z][a-z0-9]*-[a-z0-9-]*[a-z0-9]", text) else json.dumps(text, ensure_ascii=False)


def _gitlab_variable(text: str) -> str:
    """Return the value of a variable in which GitLab expands no other."""
    return _yaml(text.replace("$", "$$"))


def _groovy(text: str) -> str:
    """Return a Groovy string without interpolation."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# --- defaults ---------------------------------------------------------------------------------------------------------


def _system(name: str) -> CiSystem:
    if name not in list(CiSystem):
        raise UnknownName("CI system", name, CiSystem)
    return CiSystem(name)


def _only_board(root: Path) -> str:
    known = sorted(configured_devices(folder=root))
    if len(known) == 1:
        return known[0]
    if not known:
        raise UsageError(
            "no board is known; add one (edgebench device add NAME --host USER@HOST), or name the runner itself",
            hint="try `device='local'`",
        )
    raise UsageError(f"there are several boards: {', '.join(known)}", hint=f"name one: `device={known[0]!r}`")


def _default_path(root: Path, system: CiSystem) -> Path:
    if system is CiSystem.GITHUB:
        return root / ".github" / "workflows" / "edgebench.yml"
    main, beside = {
        CiSystem.GITLAB: (root / ".gitlab-ci.yml", root / ".gitlab" / "edgebench.yml"),
        CiSystem.JENKINS: (root / "Jenkinsfile", root / "Jenkinsfile.edgebench"),
    }[system]
    return beside if main.exists() and not _is_recipe(main) else main


def _is_recipe(path: Path) -> bool:
    """Whether a file was written here before."""
    try:
        return _SIGNATURE in read_text(path)
    except (OSError, ValueError):
        return False


def _next_steps(system: CiSystem, root: Path, path: Path, device: str, model: str) -> tuple[str, ...]:
    shown = path.absolute().relative_to(root) if path.absolute().is_relative_to(root) else path
    label = f"board-{device}"
    runner = {
        CiSystem.GITHUB: f"Register a self-hosted runner with the label {label}",
        CiSystem.GITLAB: f"Register a runner (shell executor) with the tag {label}",
        CiSystem.JENKINS: f"Make a pipeline job of {shown}, and give the label {label} to an agent",
    }[system]
    steps = [f"{runner}, on a machine that reaches the board."]
    if device != LOCAL:
        steps.append(
            f"Commit edgebench.toml, with the board's host key; on the runner: edgebench device check {device}"
        )
    if model == DEFAULT_MODEL:
        steps.append(f"Set EDGEBENCH_MODEL in {shown}: until then the job measures {DEFAULT_MODEL}.")
    if system is CiSystem.GITLAB and shown.name != ".gitlab-ci.yml":
        steps.append(f"Add to .gitlab-ci.yml: include: [{{local: {shown.as_posix()}}}]")
    steps.append(
        "After the first job, on the runner: edgebench gate accept ID --as main --out baseline.json "
        "--store ~/edgebench-ci/store; commit baseline.json, and every job is a gate."
    )
    return tuple(steps)
