"""Records of a batch: its job, the row of each case, and all of them together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..bundle.bundle import Bundle
from ..run.options import Options
from ..run.result import Result
from ..scan.volume import Volume

DONE, KEPT, FAILED, BUSY, NOT_RUN = "done", "kept", "failed", "busy", "not run"
"""Statuses: computed now; finished earlier; failed; claimed by another process; not reached before the end."""

PASSED_OVER = "passed over"
"""Status of what was found beside the scans and is none: DICOM objects, pictures in color, repeated links."""

Beside = Callable[[Result, Volume], None]
"""What a caller does with a result before the case's own files are written, for example save a scene of its own."""

STATE_FOLDER = ".hrcam-batch"
"""Of claims, in the folder of results; it may be deleted while no batch runs."""


@dataclass(frozen=True)
class Job:
    """What all cases of a batch have in common; it travels to other processes and machines.

    Parameters
    ----------
    model : absolute folder of the bundle.
    sha256 : of its weights.
    options : as for ``localize``.
    out : absolute folder of the results.
    outputs : keys of ``writers.OUTPUTS``.
    overwrite : compute finished cases too.
    retries : further tries of a case after an error that may pass (a full disk, a dropped network drive).
    threads : CPU threads of the process that runs the case; None leaves them as they are.
    allow_import : the bundle may import a network of the user's own.
    further : ends of names of files that a finished case has besides, written by the caller; see ``run_batch``.
    patience_s : how long to wait for a case that another process has claimed.
    """

    model: str
    sha256: str
    options: Options
    out: str
    outputs: tuple[str, ...]
    overwrite: bool = False
    retries: int = 1
    threads: int | None = None
    allow_import: bool = False
    further: tuple[str, ...] = ()
    patience_s: float = 0.0


@dataclass(frozen=True)
class Row:
    """What became of one case.

    ``found`` holds the parts of its result document that a table shows (see `_found`), empty unless done or kept;
    ``error`` says what was wrong (or why it was passed over) and ``hint`` what to do, empty unless failed.
    """

    case: str
    path: str
    status: str
    seconds: float = 0.0
    attempts: int = 0
    found: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Batch:
    """What became of all cases.

    Attributes
    ----------
    rows : one a case, in the order of the inputs, then one for each thing that was passed over.
    bundle, options : what they were localized with.
    out : folder of the results.
    seconds : wall time.
    """

    rows: tuple[Row, ...]
    bundle: Bundle
    options: Options
    out: Path
    seconds: float

    def count(self, *statuses: str) -> int:
        """Number of cases with one of these statuses."""
        return sum(row.status in statuses for row in self.rows)

    @property
    def exit_code(self) -> int:
        """0 where every case is done or kept, else 1."""
        return int(self.count(DONE, KEPT, PASSED_OVER) != len(self.rows))


def summarize(batch: Batch) -> str:
    """One line: how many cases are done, kept, failed."""
    counts = Counter(row.status for row in batch.rows)
    words = {DONE: "done", KEPT: "kept from an earlier run", FAILED: "failed", BUSY: "busy elsewhere",
             NOT_RUN: "not run", PASSED_OVER: "passed over (no scans)"}
    return ", ".join(f"{counts[status]} {word}" for status, word in words.items() if counts[status])
