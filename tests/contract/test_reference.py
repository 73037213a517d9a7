"""What docs/reference says by hand is what edgebench does: columns, keys of files, exit codes, the example in Python.

Cost: about 3 s; everything runs in this process.
"""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import takewhile
from pathlib import Path

import pytest

from edgebench import Store
from edgebench.cli import main
from edgebench.device import DeviceProfile, read_profile
from edgebench.errors import ConfigError
from tests.sample_runs import MS, run, subject, trace
from tests.schemas import schemas

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("EDGEBENCH_STORE", raising=False)
    return tmp_path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two variants with two runs each, the candidate twice as slow, and one with one run."""
    kept = Store(tmp_path / "store")
    for number, count in enumerate((2, 2, 1)):
        of = subject(number, name=f"variant-{number}")
        for at in range(count):
            latencies = [(number + 1) * (10 * MS + 1000 * each + at) for each in range(150)]
            kept.add_run(of, run(of, at, trace(latencies)))
    return kept


def rows_of(page: str, head: str, *, after: str = "") -> list[list[str]]:
    """Return the cells of the first table on a page, from some text on, whose first line begins so."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    lines = text[text.index(after) :].splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith(f"| {head}")) + 2
    rows = takewhile(lambda line: line.startswith("|"), lines[begin:])
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in rows]


def named_in(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def code(*arguments: str | Path) -> object:
    """Return the exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return ended.value.code


# --- tables ---------------------------------------------------------------------------------------------------------


def test_exported_columns_are_those_of_the_table(store: Store, tmp_path: Path) -> None:
    import duckdb

    documented = [(named_in(name)[0], kind) for name, kind, _ in rows_of("tables.md", "column | type in Parquet")]
    assert code("runs", "export", "--to", "parquet", "--out", "x.parquet", "--store", store.folder) == 0
    found = duckdb.sql("DESCRIBE SELECT * FROM 'x.parquet'").fetchall()
    assert [(name, kind) for name, kind, *_ in found] == documented
    assert code("runs", "export", "--to", "csv", "--out", "x.csv", "--store", store.folder) == 0
    with Path("x.csv").open(encoding="utf-8") as file:
        assert next(file).strip().split(",") == [name for name, _ in documented]


def test_stored_traces_and_views_have_the_columns_that_are_listed(store: Store) -> None:
    documented = [
        (named_in(name)[0], kind) for name, kind, _ in rows_of("tables.md", "column", after="## trace.parquet")
    ]
    traces = [(each["column_name"], each["column_type"]) for each in store.query("DESCRIBE traces")]
    assert [each for each in traces if each[0] != "run"] == documented
    listed = [name for cell, *_ in rows_of("tables.md", "column", after="## SQL") for name in named_in(cell)]
    assert sorted(listed) == sorted(each["column_name"] for each in store.query("DESCRIBE runs"))


def test_the_example_of_sql_works(store: Store) -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", (REFERENCE / "tables.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(store.query(sql)) == 5


# --- files ----------------------------------------------------------------------------------------------------------


def documented_keys(head: str) -> set[str]:
    return {name for cell, *_ in rows_of("files.md", head) for name in named_in(cell)}


def known_keys(message: str) -> set[str]:
    """Return the keys that the message about an unknown one lists."""
    return set(message.strip().rpartition("; known: ")[2].split(", "))


def test_keys_of_edgebench_toml_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("edgebench.toml").write_text('[device.a]\nhost = "a"\nzzzzzzzz = 1\n', encoding="utf-8")
    assert code("device", "list") == 2
    assert known_keys(capsys.readouterr().err) == documented_keys("key of `[device.NAME]` | type")


HEAD = '[study]\nname = "s"\n[[variant]]\nname = "a"\nmodel = "reference:tiny"\n'


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ("key of `[study]` | type", "[study]\nzzzzzzzz = 1\n"),
        ("key of `[plan]` | type", HEAD + "[plan]\nzzzzzzzz = 1\n"),
        ("key of `[[variant]]` | type", HEAD + "zzzzzzzz = 1\n"),
        ("key of `lineage` | type", HEAD + "lineage = {zzzzzzzz = 1}\n"),
        ("key of `[[workload]]` | type", HEAD + "[[workload]]\nzzzzzzzz = 1\n"),
        ("key of `[[task]]` | type", HEAD + "[[task]]\nzzzzzzzz = 1\n"),
        ("key of `[[contrast]]` | type", HEAD + "[[contrast]]\nzzzzzzzz = 1\n"),
        ("key of a side | fits", HEAD + "[[contrast]]\nbaseline = {zzzzzzzz = 1}\ncandidate = {}\n"),
    ],
)
def test_keys_of_a_study_are_listed(head: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("STUDY.toml").write_text(text, encoding="utf-8")
    assert code("study", "status", "STUDY.toml") == 2
    either = {"devices", "formats"} if "[study]" in head else set()  # listed in a table of their own
    words = {"none", "single", "multi", "mixed"} if "side" in head else set()
    assert known_keys(capsys.readouterr().err) == documented_keys(head) - words | either


def test_the_example_of_a_study_is_read() -> None:
    text = (REFERENCE / "files.md").read_text(encoding="utf-8")
    (example,) = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[study]" in block]
    Path("STUDY.toml").write_text(example, encoding="utf-8")
    (device,) = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[device.pi4]" in block]
    Path("edgebench.toml").write_text(device, encoding="utf-8")
    (scores,) = re.findall(r"```text\n(variant,.*?)```", text, re.DOTALL)
    Path("scores.csv").write_text(scores, encoding="utf-8")
    Path("download").mkdir()
    for name in ("english-1", "multilingual-1"):
        Path("runs", name).mkdir(parents=True)
    from edgebench.study import read_study

    study = read_study(Path("STUDY.toml"))
    assert [len(each) for each in (study.variants, study.workloads, study.contrasts, study.tasks)] == [2, 2, 1, 1]


def test_keys_of_a_device_profile_are_listed() -> None:
    Path("board.toml").write_text("zzzzzzzz = 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_profile(Path("board.toml"))
    documented = {named_in(name)[0] for name, *_ in rows_of("files.md", "key", after="## Device profiles")}
    assert known_keys(str(error.value)) == documented == {field.name for field in fields(DeviceProfile)} - {"name"}


def test_columns_of_a_scores_file_are_listed() -> None:
    documented = {named_in(name)[0] for name, *_ in rows_of("files.md", "column", after="## Scores file")}
    assert documented == {*schemas()["scores-show"]["properties"]["scores"]["items"]["properties"], "scale"}


# --- exit codes and JSON --------------------------------------------------------------------------------------------


def test_commands_end_with_the_codes_that_are_listed(store: Store) -> None:
    """130 is in tests of interruptions, which need a process."""
    one, slow, single = (subject(number).id for number in range(3))
    kept = ("--store", store.folder)
    ended = {
        0: code("compare", one, slow, *kept),
        1: code("runs", "resume", *kept),
        2: code("compare", one, "nothing", *kept),
        3: code("compare", one, slow, "--fail-on", "slower", *kept),
        4: code("compare", one, single, *kept),
    }
    assert ended == {number: number for number in range(5)}
    assert [row[0] for row in rows_of("exit-codes.md", "code")] == [*map(str, ended), "130"]
    assert code("compare", one, slow, "--fail-on", "worse", *kept) == 0


def test_every_schema_is_shown_on_one_page() -> None:
    pages = [path.read_text(encoding="utf-8") for path in REFERENCE.rglob("*.md")]
    shown = [name for page in pages for name in re.findall(r"```\{json-schema\} (\S+)", page)]
    assert sorted(shown) == sorted(schemas())


def test_the_example_of_a_validation_works(store: Store) -> None:
    assert code("runs", "list", "--store", store.folder, "--json", "result.json") == 0
    text = (REFERENCE / "json" / "index.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(example, "json/index.md", "exec"), {})  # noqa: S102 - our own page
