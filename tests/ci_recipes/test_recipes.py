"""Recipes for CI systems: written where they belong, valid by the systems' schemas, names quoted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgebench import write_ci_recipe
from edgebench.ci_recipes import CiSystem
from edgebench.ci_recipes.writing import recipe_text
from edgebench.cli import main
from edgebench.errors import ConfigError
from tests.ci_recipes.recipe_files import READERS

ROOT = Path(__file__).parents[2]
#: check-jsonschema ships the schemas of https://www.schemastore.org.
SCHEMAS = {
    "github": ("--builtin-schema", "vendor.github-workflows"),
    "gitlab": ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
}
EXAMPLES = {"github": "github-actions.yml", "gitlab": "gitlab-ci.yml", "jenkins": "Jenkinsfile"}
NAMES = [
    "runs/xnli-multi",
    "reference:tiny",
    'it\'s a "model"',
    "$HOME `id` $(id) ${HOME} $$",
    "C:\\new\\table\\",
    "''' + id() + '''",
    "- x: {y}  # z",
    "yes",
    "1e3",
    "модель",
    "-rf",
]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one board, which is the working folder; nothing shows its CI system."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "edgebench.toml").write_text('[device.pi4]\nhost = "10.0.0.4"\n', encoding="utf-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(folder)
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


def init(*arguments: str) -> object:
    """Return the exit code of edgebench ci init."""
    with pytest.raises(SystemExit) as ended:
        main(["ci", "init", *arguments])
    return ended.value.code


@pytest.mark.parametrize("system", READERS)
@pytest.mark.parametrize("model", NAMES)
def test_names_arrive_as_they_are(system: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / EXAMPLES[system]
    path.write_text(recipe_text(CiSystem(system), device="pi4", model=model), encoding="utf-8")
    job = READERS[system](path)
    assert job.variables == {"EDGEBENCH_DEVICE": "pi4", "EDGEBENCH_MODEL": model}
    for script in (job.install, job.measure, job.report):
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("model", ["", "two\nlines", "\x1b[31m", "a\u2028b", "${{ secrets.TOKEN }}", "\udcff"])
def test_a_name_that_a_recipe_cannot_hold_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="can't hold the model's name"):
        recipe_text(CiSystem.GITHUB, device="pi4", model=model)


@pytest.mark.parametrize("system", SCHEMAS)
def test_a_recipe_is_valid_by_the_schema_of_its_system(system: str, tmp_path: Path) -> None:
    path = tmp_path / EXAMPLES[system]
    text = recipe_text(CiSystem(system), device="pi4", model='a "b": $c')

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "check_jsonschema", *SCHEMAS[system], str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    path.write_text(text, encoding="utf-8")
    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    path.write_text(text.replace("artifacts:", "artefacts: 1\n  artifacts:").replace("runs-on:", "runs_on:"))
    assert check().returncode != 0


def test_a_jenkinsfile_that_is_no_groovy_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "Jenkinsfile"
    text = recipe_text(CiSystem.JENKINS, device="pi4", model="m")
    path.write_text(text.replace("stage('Install') {", "stage('Install' {"))
    with pytest.raises(AssertionError):
        READERS["jenkins"](path)


@pytest.mark.parametrize("system", EXAMPLES)
def test_the_examples_are_what_is_written(system: str) -> None:
    written = (ROOT / "examples" / "ci" / EXAMPLES[system]).read_text(encoding="utf-8")
    assert written == recipe_text(CiSystem(system), device="pi4", model="runs/xnli-multi")


@pytest.mark.parametrize(
    ("present", "remote", "system", "written"),
    [
        (".github/workflows/test.yml", None, "github", ".github/workflows/edgebench.yml"),
        (".gitlab-ci.yml", None, "gitlab", ".gitlab/edgebench.yml"),
        ("Jenkinsfile", None, "jenkins", "Jenkinsfile.edgebench"),
        (None, "git@github.com:someone/gitlab-tools.git", "github", ".github/workflows/edgebench.yml"),
        (None, "https://user:secret@gitlab.example.org:8443/github/x.git", "gitlab", ".gitlab-ci.yml"),
        ("Jenkinsfile", "ssh://git@github.com/someone/x.git", "jenkins", "Jenkinsfile.edgebench"),
    ],
)
def test_the_system_is_found_and_the_file_is_written(
    repository: Path,
    present: str | None,
    remote: str | None,
    system: str,
    written: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if present is not None:
        (repository / present).parent.mkdir(parents=True, exist_ok=True)
        (repository / present).write_text("theirs")
    if remote is not None:
        git(repository, "remote", "add", "origin", remote)
    below = repository / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert init("--model", "runs/new") == 0
    shown = capsys.readouterr().out
    assert f"runs/new on pi4, for {system}" in shown
    assert "1. " in shown and "board-pi4" in shown and "secret" not in shown
    text = (repository / written).read_text(encoding="utf-8")
    assert text == recipe_text(CiSystem(system), device="pi4", model="runs/new")
    if present is not None:
        assert (repository / present).read_text() == "theirs"
    assert ("include: [{local: .gitlab/edgebench.yml}]" in shown) == (written == ".gitlab/edgebench.yml")
    # Never overwritten without --force.
    changed = f"{text}# changed by hand\n"
    (repository / written).write_text(changed)
    assert init("--model", "runs/new") == 2
    assert "exists; name another --output, or overwrite it with --force" in capsys.readouterr().err
    assert (repository / written).read_text() == changed
    assert init("--model", "runs/new", "--force") == 0
    assert (repository / written).read_text() == text


def test_what_is_not_clear_is_one_line_that_says_what_to_name(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str) -> str:
        assert init(*arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "nothing shows its CI system" in refused()
    assert "try: edgebench ci init --for github" in refused()
    for name in (".gitlab-ci.yml", "Jenkinsfile"):
        (repository / name).touch()
    assert "there are .gitlab-ci.yml and Jenkinsfile; try: edgebench ci init --for gitlab" in refused()
    assert "did you mean 'pi4'?" in refused("--for", "github", "--device", "pi44")
    with (repository / "edgebench.toml").open("a", encoding="utf-8") as file:
        file.write('[device.jetson]\nhost = "10.0.0.5"\n')
    assert "there are several boards: jetson, pi4; name one: --device jetson" in refused("--for", "github")
    (repository / "edgebench.toml").unlink()
    assert "no board is known" in refused("--for", "github")
    assert not (repository / ".github").exists()


def test_the_library_writes_where_it_is_told(repository: Path, tmp_path: Path) -> None:
    recipe = write_ci_recipe(repository, system="github", device="local", output=tmp_path / "some" / "job.yml")
    assert (recipe.system, recipe.device, recipe.path) == (CiSystem.GITHUB, "local", tmp_path / "some" / "job.yml")
    assert "edgebench[local,export,report]" in recipe.path.read_text(encoding="utf-8")
    assert any("EDGEBENCH_MODEL" in step for step in recipe.next_steps)
