"""Many scans: every case on its own, finished ones kept, failed ones told, tables and a report at the end."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..bundle.bundle import Bundle
from ..errors import InputError, OutputError
from ..localize import Options
from ..output.writers import DEFAULT_OUTPUTS
from ..scan.io.discovery import Case, find_cases
from ..words import reason, shown
from .case import PATIENCE_S, run_case
from .records import BUSY, NOT_RUN, PASSED_OVER, Batch, Beside, Job, Row

Executor = Callable[[Sequence[Case], Job], Iterator[Row]]
Progress = Callable[[int, int, Row], None]

_TABLES_EVERY_S = 30.0


def run_batch(
    inputs: Sequence[str | Path],
    bundle: Bundle,
    out: str | os.PathLike[str],
    options: Options | None = None,
    outputs: Sequence[str] = DEFAULT_OUTPUTS,
    *,
    overwrite: bool = False,
    retries: int = 1,
    jobs: int = 1,
    scheduler: str | None = None,
    report: bool = True,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    beside: Beside | None = None,
    further: Sequence[str] = (),
) -> Batch:
    """Localize pathology in every scan that the inputs name.

    Each case is isolated: its failure is a row of the tables, never the end of the batch. A case that is finished in
    ``out`` (same voxels, model and options) is kept; what was interrupted is computed again; several batches may
    share one folder. ``summary.csv``, ``summary.parquet`` (with pyarrow) and ``report.html`` are written as the
    batch goes on, and at its end.

    Parameters
    ----------
    inputs : see ``discover``; what lies in ``out`` itself is no input.
    bundle : the model.
    out : folder of the results, created where it does not exist.
    options, outputs : as for ``localize`` and ``write_result``; None: the usual ones.
    overwrite : compute finished cases too.
    retries : further tries of a case after an error that may pass.
    jobs : processes of one CPU thread each, where no scheduler is named; 1 stays in this process. More need Dask.
    scheduler : address of a Dask scheduler whose workers see the same paths.
    report : write ``report.html``.
    progress : called with cases finished, all cases, and the row of the last one.
    cancelled : asked between cases; what is not reached then has the status "not run".
    beside : called with each result and its scan before the case's own files are written; one process only.
    further : ends of the names of files that ``beside`` writes, without which no case is kept.

    Raises
    ------
    InputError : nothing to do, or ``out`` is itself an input.
    OutputError : ``out`` cannot be written, or no scheduler or worker answers.
    """
    from . import report as batch_report

    options = options or Options()
    began = last_written = time.monotonic()
    folder = Path(out).absolute()
    cases, besides = _find_cases(inputs, folder)
    _prepare(folder)
    several = scheduler is not None or jobs > 1
    options = replace(options, scans=max(options.scans, len(cases) // jobs))
    job = Job(
        str(Path(bundle.path).absolute()), bundle.sha256, options, str(folder), tuple(outputs), overwrite, retries,
        threads=1 if several and scheduler is None else None, allow_import=bundle.allow_import,
        further=tuple(further),
    )
    rows: dict[str, Row] = {}

    def batch() -> Batch:
        everything = tuple(rows.get(case.name) or Row(case.name, case.path, NOT_RUN) for case in cases)
        return Batch((*everything, *besides), bundle, options, folder, time.monotonic() - began)

    try:
        with _executor(job, jobs, scheduler, beside) as execute:
            for row in _all_rows(execute, cases, job):
                rows[row.case] = row
                if progress is not None:
                    progress(len(rows), len(cases), row)
                if cancelled is not None and cancelled():
                    break
                if time.monotonic() - last_written > _TABLES_EVERY_S:
                    batch_report.write_tables(batch())
                    last_written = time.monotonic()
    finally:  # an interrupted batch, too, tells what it has done
        final = batch()
        batch_report.write_tables(final)
        if report:
            batch_report.write_html(final)
    return final


def _find_cases(inputs: Sequence[str | Path], out: Path) -> tuple[list[Case], list[Row]]:
    """The cases, and rows for what was found besides."""
    real = out.resolve()
    if any(Path(entry).resolve() == real for entry in map(str, inputs) if "\0" not in entry):
        raise InputError(f'The folder "{shown(out)}" is both input and output.',
                         "Choose another folder for the results; it may lie inside the input.")
    found, passed_over = find_cases(inputs)
    # Absolute, because workers have folders of their own to stand in.
    cases = [replace(case, path=os.path.abspath(case.path)) for case in found  # noqa: PTH100 - may hold a series mark
             if not _lies_in(case.path, real)]
    if not cases:
        raise InputError("The inputs name no scan.", "Give files, folders or patterns that hold some.")
    return cases, [Row(Path(one.path).name, one.path, PASSED_OVER, error=one.why) for one in passed_over
                   if not _lies_in(one.path, real)]


def _lies_in(path: str, folder: Path) -> bool:
    try:
        return Path(path).resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        return False


def _prepare(out: Path) -> None:
    """Fail at once, not once a case, where nothing can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OutputError(f'The folder "{shown(out)}" cannot be written: {reason(error)}.',
                          "Choose another folder.") from error


@contextmanager
def _executor(job: Job, jobs: int, scheduler: str | None, beside: Beside | None) -> Iterator[Executor]:
    if scheduler is None and jobs <= 1:
        yield lambda cases, job: (run_case(case, job, beside) for case in cases)
        return
    from .cluster import cluster

    with cluster(jobs, scheduler, job.retries) as workers:
        workers.check(job)
        yield workers


def _all_rows(execute: Executor, cases: Sequence[Case], job: Job) -> Iterator[Row]:
    """The row of each case; what another process works on comes last, when that one has finished it or died."""
    claimed = set()
    for row in execute(cases, job):
        if row.status == BUSY:
            claimed.add(row.case)
        else:
            yield row
    if claimed:
        yield from execute([case for case in cases if case.name in claimed], replace(job, patience_s=PATIENCE_S))
