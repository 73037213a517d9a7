"""How the documentation is built: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

import edgebench

project = "edgebench"
author = "The edgebench developers"
copyright = "The edgebench developers"
release = edgebench.__version__
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_pages",
    "folder_toctrees",
    "python_pages",
    "schema_tables",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_extensions"]

# Markdown
myst_enable_extensions = ["deflist", "fieldlist", "colon_fence"]
myst_heading_anchors = 4

smartquotes = False  # "--" is an option, not a dash

# Docstrings are written for readers of the source: one backtick means code.
default_role = "code"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the fields have entries of their own
python_maximum_signature_line_length = 90

# Every link must lead somewhere. Types of other libraries, and types that are not public, have no page.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r".*")]

html_theme = "furo"
html_title = f"edgebench {release}"
html_static_path: list[str] = []
pygments_style = "friendly"
pygments_dark_style = "monokai"
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_line_continuation_character = "\\"
copybutton_remove_prompts = True
