"""One page a public name of `edgebench`, from its docstring; a new name in `__all__` gets its page by itself."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from generated import GeneratedFolder
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import edgebench

FOLDER = "python"
KINDS = ("Functions", "Classes", "Errors", "Constants")


def public_names() -> list[str]:
    """Return what `edgebench` exports, without its version."""
    return [name for name in edgebench.__all__ if name != "__version__"]


def kind_of(value: Any) -> str:
    """Return which list of the overview a name belongs to."""
    if inspect.isclass(value):
        return "Errors" if issubclass(value, BaseException) else "Classes"
    return "Functions" if callable(value) else "Constants"


def page(name: str, value: Any) -> str:
    """Return the page of one name."""
    kind = kind_of(value)
    directive = {"Functions": "autofunction", "Constants": "autodata"}.get(kind, "autoclass")
    options = [":members:", ":undoc-members:"] if directive == "autoclass" else []
    if kind == "Classes" and any(base.__name__ not in edgebench.__all__ for base in _own_bases(value)):
        options.append(":inherited-members:")  # no page of their own
    if kind == "Errors":
        options.append(":show-inheritance:")
    body = [f".. {directive}:: edgebench.{name}", *(f"   {option}" for option in options)]
    return "\n".join([f"# {name}", "", "```{eval-rst}", *body, "```", ""])


def _own_bases(value: type) -> list[type]:
    return [base for base in value.__mro__[1:] if base.__module__.startswith("edgebench.")]


def overview() -> str:
    """Return the page that lists all names by kind, each with the first line of its docstring."""
    by_kind: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in public_names():
        by_kind[kind_of(getattr(edgebench, name))].append(name)
    lines = [
        "# Python API",
        "",
        "The functions and classes that other projects may use. Other names of the package may change without notice. "
        "Names are loaded when they are first used, so `import edgebench` is fast.",
        "",
    ]
    for kind, names in by_kind.items():
        if names:
            lines += [f"## {kind}", ""]
        for name in names:
            doc = inspect.getdoc(getattr(edgebench, name)) or ""
            lines += [f"[`{name}`]({name}.md)", f": {_first_sentence(doc)}", ""]
    return "\n".join([*lines, "```{toctree}", ":hidden:", *public_names(), "```", ""])


def _first_sentence(doc: str) -> str:
    return " ".join(doc.split("\n\n", 1)[0].split()).replace("<", "\\<").replace("[", "\\[")


def field_comment(cls: type, field: str) -> str | None:
    """Return the comment at the end of the line that declares a field; None where there is none."""
    found = re.search(rf"^    {re.escape(field)}: [^#\n]*#:? *(.+)$", inspect.getsource(cls), re.MULTILINE)
    return found[1] if found else None


def _show_field_comment(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    _, *path = name.split(".")
    if what != "attribute" or len(path) != 2 or any(lines):
        return
    comment = field_comment(getattr(edgebench, path[0]), path[1])
    if comment is not None:
        lines[:] = [f"{comment[0].upper()}{comment[1:].rstrip('.')}.", ""]


def _write_pages(app: Sphinx) -> None:
    folder = GeneratedFolder(Path(app.srcdir) / FOLDER)
    folder.write("index", overview())
    for name in public_names():
        folder.write(name, page(name, getattr(edgebench, name)))
    folder.remove_others()


def _link_to_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.reference | None:
    """Let a type that a signature names by its module lead to its public page."""
    target = str(node.get("reftarget", ""))
    name = target.rpartition(".")[2]
    if node.get("refdomain") != "py" or name not in public_names():
        return None
    from sphinx.util.nodes import make_refnode

    document = f"{FOLDER}/{name}"
    return make_refnode(app.builder, str(node["refdoc"]), document, f"edgebench.{name}", contnode, name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for them, and resolve links to types by their public names."""
    app.connect("builder-inited", _write_pages)
    app.connect("autodoc-process-docstring", _show_field_comment)
    app.connect("missing-reference", _link_to_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
