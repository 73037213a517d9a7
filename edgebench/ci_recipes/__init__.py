"""Recipes for CI systems: files that measure a model on a board with every change of a repository.

A repository, a board and a model come in; a file for GitHub Actions, GitLab CI or Jenkins comes out. The shell scripts
and the files around them are in `templates/`.
"""

from __future__ import annotations

from edgebench.ci_recipes.detection import CiSystem, detect_system
from edgebench.ci_recipes.writing import CiRecipe, write_ci_recipe

__all__ = ["CiRecipe", "CiSystem", "detect_system", "write_ci_recipe"]
