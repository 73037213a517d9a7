"""Recipes as CI systems read them: the scripts of a job, and the variables that it sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """`shell`: the command that runs a script's file."""

    install: str
    measure: str
    report: str
    variables: dict[str, str]
    shell: tuple[str, ...]


def read_github(path: Path) -> Job:
    job = _yaml(path)["jobs"]["board"]
    scripts = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    # The shell of `run` where none is named: https://docs.github.com/actions/reference/workflow-syntax-for-github-actions
    return Job(scripts["Install"], scripts["Measure"], scripts["Report"], job["env"], ("bash", "-e"))


def read_gitlab(path: Path) -> Job:
    job = _yaml(path)["edgebench"]
    install, measure, report = ("\n".join(job[key]) for key in ("before_script", "script", "after_script"))
    variables = {name: value.replace("$$", "$") for name, value in job["variables"].items()}
    return Job(install, measure, report, variables, ("bash", "-e", "-o", "pipefail"))


def _yaml(path: Path) -> Any:
    from ruamel.yaml import YAML  # check-jsonschema reads files with it

    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def read_jenkins(path: Path) -> Job:
    """Return the job of a Jenkinsfile; AssertionError: it is no Groovy, or no declarative pipeline."""
    import tree_sitter_groovy
    from tree_sitter import Language, Node, Parser

    tree = Parser(Language(tree_sitter_groovy.language())).parse(path.read_bytes())
    assert not tree.root_node.has_error, path

    def text(node: Node | None) -> str:
        assert node is not None and node.text is not None
        return node.text.decode()

    def walk(node: Node) -> Iterator[Node]:
        yield node
        for child in node.children:
            yield from walk(child)

    (pipeline,) = [
        child for child in tree.root_node.named_children if child.type != "comment" and "comment" not in child.type
    ]
    call = pipeline.named_children[0]
    assert text(call.child_by_field_name("name")) == "pipeline"
    body = call.child_by_field_name("body")
    assert body is not None
    sections = [text(each.named_children[0].child_by_field_name("name")) for each in body.named_children]
    # https://www.jenkins.io/doc/book/pipeline/syntax/: agent and stages are required, the others may be there once.
    assert len(set(sections)) == len(sections)
    assert {"agent", "stages"} <= set(sections) <= {"agent", "stages", "options", "environment", "post"}
    scripts, variables = [], {}
    for node in walk(tree.root_node):
        if node.type == "juxt_function_call" and text(node.child_by_field_name("name")) == "sh":
            scripts.append(_literal(text(node.child_by_field_name("args"))))
        if node.type == "assignment_expression":
            name, value = (text(node.child_by_field_name(side)) for side in ("left", "right"))
            variables[name] = _literal(value)
    install, measure, report = scripts
    # https://github.com/jenkinsci/durable-task-plugin: a script without #! runs in sh -xe
    return Job(install, measure, report, variables, ("sh", "-xe"))


def _literal(text: str) -> str:
    """Return what a Groovy string without interpolation says."""
    quotes = "'''" if text.startswith("'''") else "'"
    assert text.startswith(quotes) and text.endswith(quotes)
    inner = text[len(quotes) : -len(quotes)]
    assert re.fullmatch(r"(?:[^\\]|\\[\\'])*", inner, re.DOTALL)  # no other escapes are written
    return re.sub(r"\\(.)", r"\1", inner)


READERS = {"github": read_github, "gitlab": read_gitlab, "jenkins": read_jenkins}
