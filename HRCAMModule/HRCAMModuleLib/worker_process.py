"""A child process that speaks lines of text, on Qt's own event loop: no thread, nothing that blocks."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import qt
from slicer.i18n import tr as _


class ProcessProtocol(Protocol):
    """What the worker client needs of a process; tests bring their own."""

    onLine: Callable[[str], None]
    onErrorLine: Callable[[str], None]
    onFinished: Callable[[int, bool], None]
    running: bool

    def start(self, program: str, arguments: Sequence[str], folder: str) -> None:
        """Start the program in a folder."""

    def write(self, line: str) -> None:
        """Send one line."""

    def stop(self) -> None:
        """End the process and all of its children now; ``onFinished`` is not called any more."""


def pythonExecutable() -> str:
    """Slicer's Python.

    Raises
    ------
    RuntimeError : there is none on the path.
    """
    found = shutil.which("PythonSlicer")
    if found is None and Path(sys.executable).name.lower().startswith("python"):
        found = sys.executable
    if found is None:
        raise RuntimeError(_("PythonSlicer was not found. Start Slicer through its launcher, or install it again."))
    return found


def killTree(processId: int) -> None:
    """Kill a process and its descendants: Slicer's launcher starts the real interpreter as a child."""
    try:
        import psutil
    except ImportError:  # the launched interpreter then ends by itself, when its standard input closes
        return
    try:
        parent = psutil.Process(processId)
        family = [*parent.children(recursive=True), parent]
    except psutil.Error:
        return
    for member in family:
        try:
            member.kill()
        except psutil.Error:
            continue


class LineProcess:
    """``ProcessProtocol`` on ``qt.QProcess``."""

    def __init__(self) -> None:
        self.onLine: Callable[[str], None] = lambda line: None
        self.onErrorLine: Callable[[str], None] = lambda line: None
        self.onFinished: Callable[[int, bool], None] = lambda code, crashed: None
        self._process: Any = None
        self._retired: Any = None
        self._pending = {"out": b"", "error": b""}

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None

    def start(self, program: str, arguments: Sequence[str], folder: str) -> None:
        """Start; whatever goes wrong is told through ``onFinished``."""
        self.stop()
        process = qt.QProcess()
        self._process, self._pending = process, {"out": b"", "error": b""}
        connected = (
            process.connect("readyReadStandardOutput()", self._readOutput),
            process.connect("readyReadStandardError()", self._readError),
            process.connect("finished(int,QProcess::ExitStatus)", self._finished),
            process.connect("errorOccurred(QProcess::ProcessError)", self._failed),
        )
        if not all(connected):
            raise RuntimeError("The signals of QProcess could not be connected.")
        process.setWorkingDirectory(folder)
        process.start(program, list(arguments))

    def write(self, line: str) -> None:
        """Send one line as UTF-8; ignored when the process has ended."""
        if self._process is not None:
            self._process.write(qt.QByteArray(line.encode("utf-8") + b"\n"))

    def stop(self) -> None:
        """Kill the process tree and forget the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.blockSignals(True)
        processId = int(process.processId())
        if processId:
            killTree(processId)
        process.closeWriteChannel()
        process.kill()
        process.waitForFinished(500)
        self._retire(process)

    def _retire(self, process: Any) -> None:
        """Let Qt delete the process when it is safe, and hold on to it until then.

        PythonQt deletes an object with its last Python reference, even in the middle of a signal that it emits.
        """
        process.deleteLater()
        self._retired = process

    def _readOutput(self) -> None:
        if self._process is not None:
            self._lines("out", self._process.readAllStandardOutput(), self.onLine)

    def _readError(self) -> None:
        if self._process is not None:
            self._lines("error", self._process.readAllStandardError(), self.onErrorLine)

    def _lines(self, channel: str, data: Any, tell: Callable[[str], None]) -> None:
        *lines, self._pending[channel] = (self._pending[channel] + bytes(data.data())).split(b"\n")
        for line in lines:
            tell(line.decode("utf-8", "replace").rstrip("\r"))

    def _finished(self, code: int, status: Any = 0) -> None:
        self._readOutput()
        self._readError()
        process, self._process = self._process, None
        if process is not None:
            self._retire(process)
            self.onFinished(int(code), bool(getattr(status, "value", status)))

    def _failed(self, error: Any) -> None:
        # Only a failed start is not followed by finished().
        if self._process is not None and int(getattr(error, "value", error)) == 0:
            process, self._process = self._process, None
            self._retire(process)
            self.onFinished(-1, True)
