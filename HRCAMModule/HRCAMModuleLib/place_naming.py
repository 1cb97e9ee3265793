"""Name the places of a result's regions afterwards, in a process of their own: the result is shown meanwhile."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from .localization import PLACE_PROBLEM_ATTRIBUTE, Localization
from .localization_run import SCAN_PATTERN
from .worker_client import WorkerClient


class PlaceNaming:
    """Works results off one after the other; the process ends with the last one.

    Parameters
    ----------
    worker : the process; made at first use when not given.
    """

    def __init__(self, worker: Any = None) -> None:
        self._worker = worker or WorkerClient()
        self._waiting: deque[tuple[Localization, Path]] = deque()
        self._current: Localization | None = None

    @property
    def active(self) -> bool:
        """Whether places are being named."""
        return self._current is not None

    def start(self, localization: Localization, folder: Path) -> None:
        """Name the places of a result whose run left its files in a folder."""
        if localization.info["regions"]:
            self._waiting.append((localization, folder))
            if self._current is None:
                self._next()

    def cancel(self) -> None:
        """Stop; results keep what is named already."""
        self._waiting.clear()
        self._current = None
        self._worker.cancel()

    def _next(self) -> None:
        self._current = None
        while self._waiting:
            localization, folder = self._waiting.popleft()
            document = next((folder / "output").glob("*_result.json"), None)
            scan = next(folder.glob(SCAN_PATTERN), None)
            if localization.valid and document is not None and scan is not None:
                self._current = localization
                self._worker.namePlaces(scan, document, self._named, self._failed)
                return
        self._worker.cancel()  # the process holds memory that nobody needs now

    def _named(self, reply: dict[str, Any]) -> None:
        localization, places = self._current, reply["places"]
        if localization is not None and localization.valid and len(places) == len(localization.info["regions"]):
            if any(places):
                _remember(localization, places, reply["registration"])
            else:
                localization.resultNode.SetAttribute(PLACE_PROBLEM_ATTRIBUTE, " ".join(self._worker.warnings))
        self._next()

    def _failed(self, message: str) -> None:
        if self._current is not None and self._current.valid:
            self._current.resultNode.SetAttribute(PLACE_PROBLEM_ATTRIBUTE, message)
        self._next()


def _remember(localization: Localization, places: list[dict | None], registration: Any) -> None:
    info = localization.info
    provenance = {**info["provenance"], "place": registration,
                  "options": {**info["provenance"]["options"], "place": True}}
    regions = [{**region, "place": place and {key: value for key, value in place.items() if key != "words"}}
               for region, place in zip(info["regions"], places, strict=True)]
    localization.resultNode.SetText(json.dumps({**info, "regions": regions, "provenance": provenance}))
