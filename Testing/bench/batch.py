"""Throughput of ``hrcam batch`` with one process and with several, one CPU thread each.

``python Testing/bench/batch.py [--model NAME] [--cases 24] [--jobs 2]`` writes simulated scans, localizes them with
one process and with ``--jobs`` in turn, and prints cases a minute, processor time a case and the ratio as JSON. The
machine must be otherwise idle: two processes cannot be faster than one where the cores are taken.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: one process of one thread is what several are compared with

import SimpleITK
import torch
from hrcam import load_bundle
from hrcam.batch.run import run_batch
from hrcam.bundle.bundle import DEFAULT_MODEL
from hrcam.localize import Options
from hrcam.scan.volume import to_sitk
from volume import head


def measure(bundle, scans, out, jobs, engine):
    """Wall and processor seconds (of all processes) a case."""
    cpu, start = _processor_seconds(), time.perf_counter()
    options, outputs = Options(device="cpu", engine=engine), ("map", "labels", "levels")
    batch = run_batch([scans], bundle, out, options, outputs, jobs=jobs, report=False)
    if batch.exit_code:
        raise SystemExit(next(row.error for row in batch.rows if row.error))
    busy = max(1e-9, sum(row.seconds for row in batch.rows) / jobs)
    return {"jobs": jobs, "wall_s": (time.perf_counter() - start) / len(batch.rows), "busy_s": busy / len(batch.rows),
            "processor_s": (_processor_seconds() - cpu) / len(batch.rows)}


def _processor_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--engine", default="torch")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    bundle = load_bundle(asked.model)
    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder) / "scans"
        scans.mkdir()
        volume = head((256, 256, 24), (0.94, 0.94, 6.0))
        for number in range(asked.cases):
            image = to_sitk(volume.array + number, volume.geometry)
            SimpleITK.WriteImage(image, str(scans / f"scan{number}.nii.gz"))
        one, several = (
            measure(bundle, scans, Path(folder) / f"out{jobs}", jobs, asked.engine) for jobs in (1, asked.jobs)
        )
    print(json.dumps({"one": one, "several": several, "throughput_ratio": one["wall_s"] / several["wall_s"]}, indent=1))


if __name__ == "__main__":
    main()
