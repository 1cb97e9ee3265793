"""Cases of a batch on several processes: a Dask cluster of one's own, or one that is there already.

A worker that dies loses only the cases it was computing: the scheduler hands them to another one, up to a few times
(Dask's ``allowed-failures``), so that one scan that kills its process cannot stop the others.
"""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HRCAMError, OutputError
from ..run.memory import KEEPING
from ..scan.io.discovery import Case
from .case import bundle_of, run_case
from .records import FAILED, STATE_FOLDER, Job, Row

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 30.0
"""Seconds to wait for a scheduler, and for its first worker."""

CASES_AHEAD = 3
"""Cases that a worker's thread has waiting: it never idles, and a million cases never crowd the scheduler."""

_LOST = ("The connection to the Dask scheduler was lost.", "Run the batch again: finished cases are kept.")


@dataclass(frozen=True)
class ClusterExecutor:
    """Runs cases on the workers of a Dask client."""

    client: Client

    def __call__(self, cases: Sequence[Case], job: Job) -> Iterator[Row]:
        """Yield the cases' rows as they are finished; raises ``OutputError`` when the scheduler is lost."""
        from distributed import as_completed

        waiting = iter(cases)
        running: dict[str, Case] = {}
        batch = uuid.uuid4().hex[:8]
        futures = as_completed()

        def fill() -> None:
            room = CASES_AHEAD * max(1, sum(self.client.nthreads().values())) - len(running)
            for _, case in zip(range(room), waiting, strict=False):
                key = f"hrcam-{batch}-{case.name}"
                running[key] = case
                futures.add(self.client.submit(run_case, case, job, key=key, pure=False))

        with _scheduler_in_words():
            fill()
            for future in futures:
                case = running.pop(future.key)
                yield self._row(future, case)
                fill()

    def check(self, job: Job) -> None:
        """Raise ``OutputError`` unless every worker has this hrcam, the model and the folder of results."""
        from ..version import __version__

        state = Path(job.out) / STATE_FOLDER
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=state, prefix="seen-") as token:
            try:
                answers = self.client.run(_what_is_missing, job, token.name, __version__)
            except ImportError as error:
                raise OutputError(f"The workers of the Dask cluster cannot import hrcam ({error}).",
                                  f"Install hrcam {__version__} in their environment.") from None
        for worker, problem in sorted(answers.items()):
            if problem:
                raise OutputError(f"Worker {worker} cannot take part: {problem}",
                                  "Workers need the same hrcam, and the same paths to inputs, model and results.")

    def _row(self, future: Future, case: Case) -> Row:
        from distributed import KilledWorker

        try:
            row: Row = future.result()
        except KilledWorker:
            return Row(case.name, case.path, FAILED,
                       error="The process that worked on this case was killed, each time it was tried.",
                       hint="Most often it ran out of memory: use fewer --jobs, or crop or resample the scan.")
        except Exception as error:
            if self.client.status != "running":
                raise OutputError(*_LOST) from error
            return Row(case.name, case.path, FAILED,
                       error=f"Dask could not run the case: {type(error).__name__}: {error}",
                       hint="See the log of the Dask worker.")
        finally:
            future.release()
        return row


@contextmanager
def cluster(jobs: int, scheduler: str | None, retries: int) -> Iterator[ClusterExecutor]:
    """Connect to a scheduler, or start ``jobs`` processes of one thread each and end them afterwards.

    Raises ``OutputError`` where Dask is not installed, or no scheduler or worker answers.
    """
    try:
        import dask
        import distributed
    except ImportError as error:
        raise OutputError("Several processes need Dask, which is not installed.",
                          "Install it with pip install 'hrcam[batch]', or use one process.") from error
    if scheduler is not None:
        with _connect(scheduler) as client:
            yield ClusterExecutor(client)
        return
    settings = {"distributed.scheduler.allowed-failures": retries}
    # Dask lets its processes give memory back after each 64 KiB.
    settings |= {f"distributed.nanny.pre-spawn-environ.{name}": value for name, _, value in KEEPING}
    with (
        tempfile.TemporaryDirectory(prefix="hrcam-dask-", ignore_cleanup_errors=True) as folder,
        dask.config.set(settings),
        distributed.LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=None, local_directory=folder,
            memory_limit=None, silence_logs=logging.CRITICAL,
        ) as local,
        distributed.Client(local) as client,  # type: ignore[no-untyped-call]
    ):
        yield ClusterExecutor(client)


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    import distributed

    try:
        client = distributed.Client(address, timeout=CONNECT_S)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f'No Dask scheduler answers at "{address}" ({str(error)[:200]}).',
                          "Give the address that dask scheduler prints, for example tcp://host:8786.") from error
    with _quiet(), client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            raise OutputError(f'The Dask scheduler at "{address}" has no worker.',
                              f"Start some with: dask worker {address}") from None
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's client from printing tracebacks of what we say in words."""
    log = logging.getLogger("distributed.client")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _scheduler_in_words() -> Iterator[None]:
    """What Dask raises when its scheduler is gone, as our error."""
    from distributed.comm.core import CommClosedError

    try:
        yield
    except (CommClosedError, TimeoutError) as error:
        raise OutputError(*_LOST) from error


def _what_is_missing(job: Job, token: str, version: str) -> str:
    """On a worker: why it cannot run the job, or an empty text."""
    from ..version import __version__

    if __version__ != version:
        return f"it has hrcam {__version__} instead of {version}."
    if not Path(token).exists():
        return f"it does not see the folder {job.out}."
    try:
        bundle_of(job)
    except HRCAMError as error:
        return str(error)
    return ""
