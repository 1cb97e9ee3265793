"""The other end of a worker process, for tests and the soak: sends requests, collects checked events."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

EVENTS = jsonschema.Draft202012Validator(
    json.loads(resources.files("hrcam").joinpath("schemas/worker-event.schema.json").read_text()))
WORKER = (sys.executable, "-m", "hrcam.worker")


class Peer:
    """A running worker. Every line on its standard output must be a valid event, or ``next`` fails."""

    def __init__(self, command: Sequence[str] = WORKER, log: Path | None = None) -> None:
        self.log = log
        with (log or Path("/dev/null")).open("wb") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._number = 0
        threading.Thread(target=self._collect, daemon=True).start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def send(self, op: str, **fields: Any) -> str:
        """Send a request; returns its id."""
        self._number += 1
        request = {"protocol": 1, "id": f"r{self._number}", "op": op, **fields}
        self.send_bytes(json.dumps(request).encode() + b"\n")
        return request["id"]

    def send_bytes(self, content: bytes) -> None:
        """Send anything."""
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def next(self, timeout: float = 60) -> dict[str, Any]:
        """The next event, checked against its schema; EOFError at the end of the stream."""
        line = self._lines.get(timeout=timeout)
        if not line:
            raise EOFError
        event = json.loads(line)
        EVENTS.validate(event)
        return event

    def until_answer(self, request_id: str | None, timeout: float = 60) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The ``done`` or ``error`` of a request, and the events before it."""
        before = []
        while True:
            event = self.next(timeout)
            if event["id"] == request_id and event["event"] in ("done", "error"):
                return event, before
            before.append(event)

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a request and return its ``done`` or ``error``."""
        return self.until_answer(self.send(op, **fields))[0]

    def ended(self, timeout: float = 10) -> int:
        """Exit code, when the process has ended."""
        return self.process.wait(timeout)

    def _collect(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")


def wait_until(condition: Any, timeout: float) -> bool:
    """Whether a condition becomes true in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
