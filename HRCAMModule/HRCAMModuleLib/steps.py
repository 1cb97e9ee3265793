"""Long work on the scene in small steps, so that the application stays responsive.

A step function is a generator: it does a few milliseconds of work, yields the fraction done (0–1), and returns its
result. ``runToEnd`` is for scripts; ``StepRunner`` is for the panel and gives the event loop a turn between steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

Steps = Generator[float, None, Any]

BUDGET_SECONDS = 0.02
"""Time that a runner may spend in one turn of the event loop."""

SLAB_BYTES = 4 << 20
"""Bytes of an array that are copied in one step: about 2 ms."""


def runToEnd(steps: Steps) -> Any:
    """Run all steps now and return the generator's result."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def slabs(array: np.ndarray) -> list[slice]:
    """Slices along the first axis of ``array``, each of about ``SLAB_BYTES``."""
    rows = max(1, int(SLAB_BYTES // max(1, array.nbytes // max(1, len(array)))))
    return [slice(start, start + rows) for start in range(0, len(array), rows)]


class StepRunner:
    """Runs steps in the event loop, a short turn at a time, until they end, fail, or are cancelled.

    Parameters
    ----------
    steps : the generator to run.
    onDone : called with the generator's result.
    onError : called with the exception that ended it; not called after ``cancel``.
    onProgress : called with the fraction done after each turn.
    budget : seconds of steps in a turn; 0 for one step a turn, where the views have to draw what each has changed.
    """

    def __init__(
        self,
        steps: Steps,
        onDone: Callable[[Any], None],
        onError: Callable[[Exception], None],
        onProgress: Callable[[float], None] | None = None,
        budget: float = BUDGET_SECONDS,
    ) -> None:
        self._steps: Steps | None = steps
        self._budget = budget
        self._onDone, self._onError, self._onProgress = onDone, onError, onProgress

    def start(self) -> None:
        """Begin at the next turn of the event loop."""
        import qt

        qt.QTimer.singleShot(0, self._turn)

    def cancel(self) -> None:
        """Stop; the generator's clean-up runs before this returns."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _turn(self) -> None:
        steps = self._steps
        if steps is None:
            return
        end = time.perf_counter() + self._budget
        try:
            fraction = next(steps)
            while time.perf_counter() < end:
                fraction = next(steps)
        except StopIteration as stop:
            self._steps = None
            self._onDone(stop.value)
            return
        except Exception as error:  # the caller shows it
            self._steps = None
            self._onError(error)
            return
        if self._onProgress is not None:
            self._onProgress(fraction)
        if self._steps is not None:
            self.start()
