"""Soak a worker: many requests in one process. Does memory grow, and what does the process cost over the engine?

``python Testing/bench/soak.py --model FOLDER_OR_NAME --input SCAN [--requests 500]`` prints memory, latencies and the
overhead as JSON, and ends with code 1 where memory grows by more than 5 % after warming up, or where the median
request costs more than 50 ms over the same work in this process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hrcam.bundle.bundle import Bundle, load_bundle
from hrcam.localize import Options, localize
from hrcam.scan.volume import read_volume
from hrcam.worker.files import write_arrays
from worker_peer import Peer

GROWTH_LIMIT = 0.05
OVERHEAD_LIMIT_S = 0.05
COMPARED = 25
"""Pairs of runs; the overhead is the median of their differences, so that the machine's load hits both alike."""


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True, type=Path)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--warm-up", type=int, default=30, help="requests before memory is measured")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args(arguments)
    report = soak(asked.model, asked.input.resolve(), asked.requests, asked.warm_up, asked.device)
    print(json.dumps(report, indent=1))
    return int(report["growth"] > GROWTH_LIMIT or report["overhead_ms"] > 1000 * OVERHEAD_LIMIT_S)


def soak(model: str, scan: Path, requests: int, warm_up: int, device: str) -> dict[str, float]:
    """Run the soak and return its figures."""
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
        before = process.memory_info().rss
        seconds = [_request(worker, ask) for _ in range(requests)]
        after = process.memory_info().rss
    return {
        "requests": requests,
        "memory_before_mib": round(before / 2**20, 1),
        "memory_after_mib": round(after / 2**20, 1),
        "growth": round(after / before - 1, 4),
        "request_median_ms": round(1000 * statistics.median(seconds), 1),
        "request_slowest_ms": round(1000 * max(seconds), 1),
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
