"""Peak memory of a click, of a script that waits, and of a batch: ``python Testing/bench/memory.py``.

Each in processes of its own, on generated heads of 24 and 180 slices and of a CT's size, with the bundled default
model: a click is the module in the Slicer host and its worker, beside what the host takes with the scan loaded;
"waiting" is ``logic.localize(node, wait=True)`` there; a batch is ``hrcam batch`` on one scan. ``--heads 20`` also
sends so many heads of 256 x 256 x 180 voxels to one worker with ``simulated-lesion-3d``, and prints its memory after
each; ``--engine openvino`` has the other engine compute them. ``--size 512 512 600`` takes that scan alone. Prints
JSON, in GiB; with ``--heads`` ends with code 1 where memory grows by more than 5 % after the second head.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from large import peak, write_scan

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = {(256, 256, 24): (0.94, 0.94, 6.0), (256, 256, 180): (0.94, 0.94, 1.0), (512, 512, 600): (0.5, 0.5, 0.4)}
GIB, GROWTH_LIMIT = 2**30, 0.05
MODEL_3D, SIZE_3D, SPACING_3D = "simulated-lesion-3d", (256, 256, 180), (1.0, 1.0, 1.0)


def in_slicer(how, scan):
    """Within a process of its own: memory of the module's process with the scan, its peak, the worker's peak."""
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "HRCAMExtension")]
    from Testing import host

    running = host.start(withMainWindow=True, testing=False)
    try:
        running.loadModule(REPOSITORY / "HRCAMModule" / "HRCAMModule.py")
        running.completeStartup()
        import slicer

        node = slicer.util.loadVolume(scan)
        logic = slicer.util.getModuleLogic("HRCAMModule")
        figures = {"with the scan": peak()}
        if how == "waiting":
            result = logic.localize(node, wait=True)
        else:
            found, highest = [], 0
            logic.localize(node, wait=False, onDone=found.append, onError=found.append)
            while not found:
                slicer.app.processEvents()
                highest = max(highest, *(_peak_of(child) for child in psutil.Process().children(recursive=True)), 0)
                time.sleep(0.02)  # the worker wants the processor
            (result,) = found
            figures["worker"] = highest
        if isinstance(result, str):
            raise SystemExit(result)
        figures["module"] = peak()
    finally:
        running.stop()
    return figures


def _peak_of(process):
    """GiB, as Linux states it."""
    try:
        stated = Path(f"/proc/{process.pid}/status").read_text()
        return int(stated.partition("VmHWM:")[2].split()[0]) / 2**20
    except (OSError, IndexError):  # it has just ended
        return 0


def batch(scan):
    """Within a process of its own: the peak of ``hrcam batch``."""
    with tempfile.TemporaryDirectory() as out:
        subprocess.run([sys.executable, "-m", "hrcam", "batch", scan, "--out", out], check=True, capture_output=True)
    return {"batch": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20}


def heads(count, engine):
    """The worker's memory after each of so many heads, and its peak."""
    sys.path.insert(0, str(REPOSITORY / "Testing"))
    from worker_peer import Peer

    with tempfile.TemporaryDirectory() as folder, Peer(log=Path(folder) / "log") as worker:
        scan = Path(folder) / "head.nii"
        write_scan(scan, SIZE_3D, SPACING_3D)
        worker.next()
        process, after = psutil.Process(worker.process.pid), []
        for _ in range(count):
            answer = worker.until_answer(worker.send("localize", model=MODEL_3D, input=str(scan), output=folder,
                                                     options={"device": "cpu", "engine": engine}), 900)[0]
            if answer["event"] != "done":
                raise SystemExit(answer)
            after.append(round(process.memory_info().rss / GIB, 3))
            print(f"head {len(after)}: {after[-1]} GiB", file=sys.stderr, flush=True)
        return {"engine": engine, "after each": after, "peak": round(_peak_of(process), 3),
                "growth": round(after[-1] / after[1] - 1, 4)}


def alone(function, *arguments):
    """What a function of this file returns, called in a process of its own."""
    code = f"import memory, json; print(json.dumps(memory.{function}(*{arguments!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=0)
    parser.add_argument("--engine", default="torch", help="of the heads")
    parser.add_argument("--size", nargs=3, type=int, help="one of the three scans alone")
    asked = parser.parse_args()
    if asked.heads:
        found = heads(asked.heads, asked.engine)
        print(json.dumps(found, indent=1))
        return int(found["growth"] > GROWTH_LIMIT)
    rows = []
    chosen = [tuple(asked.size)] if asked.size else SIZES
    for size in chosen:
        with tempfile.TemporaryDirectory() as folder:
            scan = Path(folder) / "scan.nii"
            write_scan(scan, size, SIZES[size])
            row = {"voxels": size, "scan as float32": 4 * float(np.prod(size)) / GIB}
            row |= {f"click, {name}": gib for name, gib in alone("in_slicer", "click", str(scan)).items()}
            row |= {f"waiting, {name}": gib for name, gib in alone("in_slicer", "waiting", str(scan)).items()}
            row |= alone("batch", str(scan))
        rows.append({name: round(value, 2) if isinstance(value, float) else value for name, value in row.items()})
        print(json.dumps(rows[-1], indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
