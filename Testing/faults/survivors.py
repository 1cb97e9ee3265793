"""Mutants that live, and why that is right: the change makes no difference that anybody could see."""

from __future__ import annotations

EXPLAINED: dict[tuple[str, str], str] = {}
"""(where, change), as ``mutants.py`` prints them, to the reason."""
