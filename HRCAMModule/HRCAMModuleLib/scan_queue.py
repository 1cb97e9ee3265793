"""Localize many scans of the scene one after the other, through the same run as a click."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class ScanQueue:
    """Works a list of scans off.

    Parameters
    ----------
    begin : starts the run of one scan; called with the volume node and its place in words, such as ``(2, 5)``.
    onEnd : called with the number of scans that were localized, and the messages of those that failed by scan name.
    """

    def __init__(
        self, begin: Callable[[Any, tuple[int, int]], None], onEnd: Callable[[int, dict[str, str]], None]
    ) -> None:
        self._begin, self._onEnd = begin, onEnd
        self._waiting: list[Any] = []
        self._current: Any = None
        self._count, self._done = 0, 0
        self._failed: dict[str, str] = {}

    @property
    def active(self) -> bool:
        """Whether a list is being worked off."""
        return self._current is not None

    def start(self, scans: Sequence[Any]) -> None:
        """Begin with the first scan; an empty list ends at once."""
        self._waiting, self._count, self._done, self._failed = list(scans), len(scans), 0, {}
        self._next()

    def ended(self, problem: str = "") -> None:
        """The run of the current scan is over: go on with the next one, whatever became of it."""
        if self._current is None:
            return
        if problem:
            self._failed[self._current.GetName()] = problem
        else:
            self._done += 1
        self._next()

    def stop(self) -> None:
        """Forget what waits; the scan under way is the caller's to cancel."""
        self._waiting, self._current = [], None

    def _next(self) -> None:
        self._current = None
        while self._waiting:
            scan = self._waiting.pop(0)
            if scan.GetScene() is not None:  # removed meanwhile
                self._current = scan
                self._begin(scan, (self._count - len(self._waiting), self._count))
                return
        self._onEnd(self._done, self._failed)
