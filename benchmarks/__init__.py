"""Figures that the README states, each measured side by side with its reference in one run. Run by hand."""
