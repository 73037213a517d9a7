"""XTREME-R: its tasks, and readers of scores. Knows no device."""
