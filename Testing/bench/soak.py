"""Soak a worker and the readers: many cases in one process. Do memory and open files grow, and what does a worker cost?

``python Testing/bench/soak.py --model FOLDER_OR_NAME --input SCAN [--requests 500] [--seconds 540]`` prints memory,
open files, latencies and the overhead as JSON, and ends with code 1 where memory grows by more than 5 % after warming
up, where more files are open than before, or where the median request costs more than 50 ms over the same work in this
process. The readers read every kind of the corpus, good and bad, in rounds of one process. The seconds are shared
equally; what fits into them is soaked.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from corpus.make import make as make_corpus
from hrcam.bundle.bundle import Bundle, load_bundle
from hrcam.errors import HRCAMError
from hrcam.localize import Options, localize
from hrcam.scan.volume import read_volume
from hrcam.worker.files import write_arrays
from worker_peer import Peer

GROWTH_LIMIT = 0.05
WARM_UP_ROUNDS = 2
OVERHEAD_LIMIT_S = 0.05
COMPARED = 10
"""Pairs of runs; the overhead is the median of their differences, so that the machine's load hits both alike."""


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True, type=Path)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--warm-up", type=int, default=20, help="requests before memory is measured")
    parser.add_argument("--rounds", type=int, default=20, help="of reading the corpus, after two to warm up")
    parser.add_argument("--seconds", type=float, default=math.inf, help="for all of it")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args(arguments)
    readers = soak_readers(asked.rounds, asked.seconds / 2)
    report = soak(asked.model, asked.input.resolve(), asked.requests, asked.warm_up, asked.device, asked.seconds / 2)
    print(json.dumps({**report, "readers": readers}, indent=1))
    grown = any(one["growth"] > GROWTH_LIMIT or one["files_after"] > one["files_before"] for one in (report, readers))
    return int(grown or report["overhead_ms"] > 1000 * OVERHEAD_LIMIT_S)


def soak_readers(rounds: int, seconds: float) -> dict[str, float]:
    """Read every kind of the corpus, again and again, in this process."""
    end, process = time.monotonic() + seconds, psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        paths = [one["path"] for one in make_corpus(Path(folder))]
        for _ in range(WARM_UP_ROUNDS):
            _read_all(paths)
        before, open_before, done = process.memory_info().rss, process.num_fds(), 0
        while done < rounds and (not done or time.monotonic() < end):
            _read_all(paths)
            done += 1
        after, open_after = process.memory_info().rss, process.num_fds()
    return {"kinds": len(paths), "rounds": done, "reads": done * len(paths), **_figures(before, after),
            "files_before": open_before, "files_after": open_after}


def _read_all(paths: Sequence[str]) -> None:
    for path in paths:
        with contextlib.suppress(HRCAMError):
            read_volume(path)
    gc.collect()


def _figures(before: int, after: int) -> dict[str, float]:
    return {"memory_before_mib": round(before / 2**20, 1), "memory_after_mib": round(after / 2**20, 1),
            "growth": round(after / before - 1, 4)}


def soak(model: str, scan: Path, requests: int, warm_up: int, device: str, seconds: float) -> dict[str, Any]:
    """Soak a worker and return its figures."""
    bundle = load_bundle(model)
    with tempfile.TemporaryDirectory() as folder, Peer(log=Path(folder) / "log") as worker:
        worker.next()
        ask = {"model": str(bundle.path), "input": str(scan), "output": folder, "options": {"device": device}}
        process = psutil.Process(worker.process.pid)
        _request(worker, ask)
        _engine(scan, bundle, device, Path(folder) / "own")
        pairs = [(_request(worker, ask), _engine(scan, bundle, device, Path(folder) / "own")) for _ in range(COMPARED)]
        for _ in range(max(0, warm_up - COMPARED)):
            _request(worker, ask)
        before, open_before, took = process.memory_info().rss, process.num_fds(), []
        end = time.monotonic() + seconds
        while len(took) < requests and (not took or time.monotonic() < end):
            took.append(_request(worker, ask))
        after, open_after = process.memory_info().rss, process.num_fds()
    return {
        "model": f"{bundle.name} {bundle.version}",
        "requests": len(took),
        **_figures(before, after),
        "files_before": open_before,
        "files_after": open_after,
        "request_median_ms": round(1000 * statistics.median(took), 1),
        "request_slowest_ms": round(1000 * max(took), 1),
        "engine_median_ms": round(1000 * statistics.median(alone for _, alone in pairs), 1),
        "overhead_ms": round(1000 * statistics.median(asked - alone for asked, alone in pairs), 1),
    }


def _request(worker: Peer, ask: dict[str, object]) -> float:
    began = time.perf_counter()
    answer = worker.ask("localize", **ask)
    if answer["event"] != "done":
        raise SystemExit(f"request failed: {answer}")
    return time.perf_counter() - began


def _engine(scan: Path, bundle: Bundle, device: str, folder: Path) -> float:
    """The same work in this process: read, localize, write."""
    began = time.perf_counter()
    write_arrays(localize(read_volume(scan), bundle, Options(device=device)), folder)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
