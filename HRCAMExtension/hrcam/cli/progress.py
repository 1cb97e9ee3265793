"""The progress bar of commands that work on one scan after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


class ProgressBar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, console: Console, label: str, quiet: bool) -> None:
        from rich.markup import escape
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._label = escape(label)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=32), TextColumn("{task.fields[stage]}"),
            TimeElapsedColumn(), console=console, transient=True, disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> Callable[[str, float], None]:
        self._bar.start()
        task = self._bar.add_task(self._label, total=1.0, stage="")
        return lambda stage, fraction: self._bar.update(task, completed=fraction, stage=stage)

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()
