"""The GUI's warm process: requests in on standard input, events out on standard output, nothing else on either.

One request is computed at a time on the main thread; a reader thread answers pings and takes cancellations meanwhile.
The worker ends with its parent: when standard input ends, or the parent process is gone. See docs/worker-protocol.md.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ..errors import Cancelled, HRCAMError
from ..run.memory import keep_memory
from .protocol import PROTOCOL, Events, ProtocolError, read_requests

MAX_QUEUED = 16
MAX_BAD_LINES = 1000
"""So many lines in a row that are no requests mean that no GUI is speaking; the worker ends with code 2."""

PROGRESS_INTERVAL_S = 0.05
PARENT_POLL_S = 1.0
GRACE_S = 2.0
"""After its parent is gone the worker may finish its batch this long; then it ends at once."""

EXIT_DONE, EXIT_GARBAGE, EXIT_ORPHANED = 0, 2, 3

_FOLDER_PREFIX = "hrcam-worker-"
_STOP: dict[str, Any] = {"op": "stop"}


class Worker:
    """Serves requests from one stream to another until told to stop.

    Parameters
    ----------
    requests, events : binary streams.

    Attributes
    ----------
    exit_code : what the process should end with.
    stopping : set as soon as the worker is told to stop.
    """

    def __init__(self, requests: IO[bytes], events: IO[bytes]) -> None:
        self._requests, self.events = requests, Events(events)
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue()
        self._pending: set[str] = set()
        self._cancelled: set[str] = set()
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._folder: Path | None = None
        self.exit_code = EXIT_DONE

    def serve(self) -> int:
        """Answer requests until shutdown or the end of the stream; returns the exit code."""
        from ..version import __version__

        self.events.send("ready", None, version=__version__, pid=os.getpid())
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        try:
            while (request := self._queue.get()) is not _STOP and not self.events.closed.is_set():
                self._reply_to(request)
        finally:
            self.remove_folder()
        return self.exit_code

    def stop(self, code: int = EXIT_DONE) -> None:
        """Cancel what runs and is queued, and end."""
        self.exit_code = code
        self.stopping.set()
        self._queue.put(_STOP)

    def remove_folder(self) -> None:
        """Remove the private folder with all that was put there."""
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self) -> None:
        """Run by the reader thread."""
        bad = 0
        try:
            for request in read_requests(self._requests):
                if isinstance(request, ProtocolError):
                    self.events.error(request.id, request)
                    bad += 1
                    if bad >= MAX_BAD_LINES:
                        return self.stop(EXIT_GARBAGE)
                    continue
                bad = 0
                self._receive(request)
                if self.stopping.is_set():
                    return None
        except (OSError, ValueError):  # the stream was closed under us
            pass
        return self.stop()

    def _receive(self, request: dict[str, Any]) -> None:
        """Answer at once what needs no waiting; queue the rest."""
        op, request_id = request["op"], request["id"]
        if op == "ping":
            self.events.done(request_id)
        elif op == "cancel":
            with self._lock:
                known = request["target"] in self._pending
                if known:
                    self._cancelled.add(request["target"])
            self.events.done(request_id, cancelled=known)
        elif op == "shutdown":
            self.events.done(request_id)
            self.stop()
        else:
            with self._lock:
                if request_id in self._pending:
                    problem = ProtocolError("protocol", f"Request {request_id!r} is not done yet.",
                                            "Give each request an id of its own.")
                elif len(self._pending) >= MAX_QUEUED:
                    problem = ProtocolError("busy", f"{MAX_QUEUED} requests are waiting already.",
                                            "Wait for their end.")
                else:
                    self._pending.add(request_id)
                    self._queue.put(request)
                    return
            self.events.error(request_id, problem)

    def _reply_to(self, request: dict[str, Any]) -> None:
        """Run by the main thread; whatever happens, exactly one ``done`` or ``error`` is sent."""
        request_id = request["id"]
        operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hello": self._hello, "folder": self._make_folder, "load": self._compute,
            "localize": self._compute, "compare": self._compute, "place": self._compute}
        try:
            if request_id in self._cancelled:
                raise Cancelled
            result = operations[request["op"]](request)
        except Exception as error:
            if not isinstance(error, HRCAMError):
                traceback.print_exc()  # for the log; the event says it in one sentence
            self._forget(request_id)
            self.events.error(request_id, error)
        else:
            self._forget(request_id)
            self.events.done(request_id, **result)

    def _forget(self, request_id: str) -> None:
        with self._lock:
            self._pending.discard(request_id)
            self._cancelled.discard(request_id)

    def _hello(self, request: dict[str, Any]) -> dict[str, Any]:
        import platform
        from importlib.metadata import PackageNotFoundError, version

        from ..version import __version__

        try:
            torch = version("torch")
        except PackageNotFoundError:
            torch = None
        return {"protocol": PROTOCOL, "version": __version__, "python": platform.python_version(), "torch": torch,
                "pid": os.getpid()}

    def _make_folder(self, request: dict[str, Any]) -> dict[str, Any]:
        """A new folder that only this user can enter; it goes when the worker ends."""
        if self._folder is None:
            _remove_left_folders()
            self._folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-"))
        return {"path": tempfile.mkdtemp(dir=self._folder)}

    def _compute(self, request: dict[str, Any]) -> dict[str, Any]:
        from .jobs import JOBS, Reporter

        request_id = request["id"]
        return JOBS[request["op"]](request, Reporter(
            _Progress(self.events, request_id),
            lambda message: self.events.send("warning", request_id, message=message),
            lambda: self.stopping.is_set() or self.events.closed.is_set() or request_id in self._cancelled,
        ))


class _Progress:
    """Sends stages as they change, and fractions not more often than a GUI can draw."""

    def __init__(self, events: Events, request_id: str) -> None:
        self._events, self._id = events, request_id
        self._stage, self._sent = "", 0.0

    def __call__(self, stage: str, fraction: float) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._sent >= PROGRESS_INTERVAL_S:
            self._stage, self._sent = stage, now
            self._events.send("progress", self._id, stage=stage, fraction=min(max(float(fraction), 0.0), 1.0))


def watch_parent(parent: int, gone: Callable[[], None]) -> None:
    """Call ``gone`` when process ``parent`` has ended; for a thread.

    Standard input ends with the parent too, except where another process inherited its other end.
    """
    while os.getppid() == parent and _alive(parent):
        time.sleep(PARENT_POLL_S)
    gone()


def _alive(process: int) -> bool:
    """Whether a process runs; on Windows a dead parent's id stays, so psutil is asked where it is installed."""
    try:
        import psutil
    except ImportError:
        return True
    return bool(psutil.pid_exists(process))


def main() -> int:
    """Serve the process's own standard streams; libraries' prints go to standard error."""
    keep_memory()
    requests = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    worker = Worker(requests, events)

    def end(signal_number: int, frame: FrameType | None) -> None:
        worker.remove_folder()
        os._exit(128 + signal_number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is the parent's to handle
    parent = os.getppid()
    threading.Thread(target=watch_parent, args=(parent, lambda: worker.stop(EXIT_ORPHANED)), daemon=True).start()
    threading.Thread(target=_end_after_stop, args=(worker,), daemon=True).start()
    code = worker.serve()
    sys.stderr.flush()
    # Not sys.exit: the reader thread still blocks on its stream, which the interpreter would wait for.
    os._exit(code)


def _end_after_stop(worker: Worker) -> None:
    """End the process even when a long batch does not look up."""
    worker.stopping.wait()
    time.sleep(GRACE_S)
    worker.remove_folder()
    os._exit(worker.exit_code)


def _remove_left_folders() -> None:
    """Remove the private folders of workers that were killed."""
    try:
        import psutil
    except ImportError:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*-*"):
        owner = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)) and not folder.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)

