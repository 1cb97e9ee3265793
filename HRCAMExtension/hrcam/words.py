"""Words for people: texts that no terminal or spreadsheet stumbles over, and what an error says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import HRCAMError

_MEMORY_SIGNS = ("out of memory", "allocate memory", "not enough memory", "bad_alloc")


def printable(text: str, instead: str = "?") -> str:
    """The text without what would steer a terminal: escape sequences, line ends, marks of direction."""
    return "".join(c if c.isprintable() else instead for c in text)


def shown(path: Path | str) -> str:
    """The path for a message: printable, on one line, shortened in the middle."""
    text = printable(str(path))
    return text if len(text) <= 160 else f"{text[:60]} … {text[-90:]}"


def readable(name: str) -> str:
    """A class's or level's name as people read it."""
    return str(name).replace("_", " ")


def spreadsheet_cell(value: Any) -> Any:
    """A value for a CSV table; a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def reason(error: BaseException, longest: int = 300) -> str:
    """What an error of the system or of a library says, on one line: without number, path, file of its source."""
    text = str(getattr(error, "strerror", None) or error).split("ITK ERROR:")[-1]
    return " ".join(text.split()).rstrip(".")[-longest:]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, whichever library raised it."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _MEMORY_SIGNS)


def describe(error: BaseException) -> tuple[str, str]:
    """What was wrong, and what to do next, for any error at all."""
    if isinstance(error, HRCAMError):
        return error.message, error.hint
    if is_out_of_memory(error):
        return ("The computer's memory did not suffice.",
                "Close other programs, crop or resample the volume, or choose a smaller batch size or fewer jobs.")
    if isinstance(error, ImportError) and error.name:
        return f"The Python package {error.name} is missing.", "Install it with: pip install 'hrcam[cli]'."
    if isinstance(error, OSError):
        return f"The system says: {reason(error)}.", "Check the folders and the free space, and try again."
    return (f"Unexpected error: {type(error).__name__}: {reason(error)}.",
            "Run hrcam localize --debug on this scan, and please report it.")
