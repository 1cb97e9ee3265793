"""The worker's protocol: a JSON object a line, versioned, checked, limited in size. See docs/worker-protocol.md."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import IO, Any

from .. import schemas, words
from ..errors import BundleError, Cancelled, HRCAMError, InputError, ModelError, OutputError
from ..words import is_out_of_memory

PROTOCOL = 1
MAX_LINE_BYTES = 1 << 20
"""A longer request is refused and thrown away as it comes in, so that memory stays bounded."""

_CODES: dict[type[HRCAMError], str] = {InputError: "input", ModelError: "model", BundleError: "bundle",
                                       OutputError: "output", Cancelled: "cancelled"}
_ASK_FOR_HELP = "See docs/worker-protocol.md."


class ProtocolError(HRCAMError):
    """A line that is no request; ``id`` is the request's, where it could be read."""

    def __init__(self, code: str, message: str, hint: str = _ASK_FOR_HELP, request_id: str | None = None) -> None:
        super().__init__(message, hint)
        self.code, self.id = code, request_id


class Events:
    """Writes events, one a line, from any thread. ``closed`` once nobody reads any more."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self.closed = threading.Event()

    def send(self, event: str, request_id: str | None, **fields: Any) -> None:
        """Write one event and flush it."""
        line = json.dumps({"protocol": PROTOCOL, "event": event, "id": request_id, **fields}, allow_nan=False)
        with self._lock:
            try:
                self._stream.write(line.encode("ascii") + b"\n")
                self._stream.flush()
            except (OSError, ValueError):
                self.closed.set()

    def done(self, request_id: str, **result: Any) -> None:
        """The request is fulfilled."""
        self.send("done", request_id, result=result)

    def error(self, request_id: str | None, error: BaseException) -> None:
        """The request failed, with a code that a program can tell apart and words for a person."""
        code, message, hint = describe(error)
        self.send("error", request_id, code=code, message=message, hint=hint)


def describe(error: BaseException) -> tuple[str, str, str]:
    """Code, message and hint of any failure."""
    if isinstance(error, ProtocolError):
        return error.code, error.message, error.hint
    if isinstance(error, HRCAMError):
        return _CODES.get(type(error), "internal"), error.message, error.hint
    return "memory" if is_out_of_memory(error) else "internal", *words.describe(error)


def read_requests(stream: IO[bytes]) -> Iterator[dict[str, Any] | ProtocolError]:
    """Requests until the end of the stream; what is not a request comes as the error that tells so."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES)
            yield ProtocolError("too_large", f"The request is longer than {MAX_LINE_BYTES:,} bytes.",
                                "Hand volumes over as files.")
        elif line.strip():
            try:
                yield parse_request(line)
            except ProtocolError as error:
                yield error


def parse_request(line: bytes) -> dict[str, Any]:
    """Parse and check one request.

    Raises
    ------
    ProtocolError : it is not JSON ("protocol"), of another protocol version ("version"), or breaks the schema
        ("protocol").
    """
    try:
        request = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        json.dumps(request, ensure_ascii=False).encode("utf-8")  # refuses lone surrogates, which no file can hold
    except (ValueError, RecursionError) as error:
        raise ProtocolError("protocol", f"The line is not JSON: {str(error)[:200]}.") from None
    if not isinstance(request, dict):
        raise ProtocolError("protocol", "The request is not a JSON object.")
    given = request.get("id")
    request_id = given if isinstance(given, str) and len(given) <= 100 else None
    if request.get("protocol") != PROTOCOL or isinstance(request.get("protocol"), bool):
        raise ProtocolError("version", f"Protocol {str(request.get('protocol'))[:50]!r} is not spoken here.",
                            f"This is version {PROTOCOL}; use an extension and an engine of the same release.",
                            request_id)
    problem = schemas.first_problem(schemas.WORKER_REQUEST, request)
    if problem is not None:
        where, what = problem
        raise ProtocolError("protocol", f"The request is not valid at {where or 'the request'}: {what}.",
                            request_id=request_id)
    return request


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number in JSON")
