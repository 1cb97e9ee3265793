"""How long things take to begin: ``python Testing/bench/start.py``.

Prints as JSON, each as the median of several runs, seconds on the clock and of the processor (which other programs on
the same cores lengthen little): ``hrcam --help``; ``hrcam localize`` until the first stage after reading stands on a
terminal; and what Slicer's start takes longer with the module, loaded in the Slicer host. Ends with code 1 where the
processor time exceeds its limit.
"""

import json
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = REPOSITORY / "HRCAMModule" / "Resources" / "SampleData" / "HRCAMSyntheticTumor.nrrd"
LIMITS_S = {"hrcam --help": 0.3, "hrcam localize, first stage named": 1.5, "Slicer's start": 0.1}
RUNS = 5


def until(text, *arguments):
    """Seconds and processor seconds from a command's start until it writes a text to its terminal."""
    shown, given = pty.openpty()
    start, written = time.perf_counter(), b""
    process = psutil.Popen([sys.executable, "-m", "hrcam", *arguments], stdout=given, stderr=given, stdin=given,
                           env={**os.environ, "TERM": "xterm", "COLUMNS": "120"})
    os.close(given)
    while text not in written:
        written += os.read(shown, 1 << 16)
    times = time.perf_counter() - start, sum(process.cpu_times()[:2])
    process.kill()
    process.wait()
    os.close(shown)
    return times


def module():
    """The same for what the module adds to Slicer's start: its files are read, its class made, startup announced."""
    code = "import start, json; print(json.dumps(start.load_module()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, capture_output=True,
                          text=True)
    return json.loads(done.stdout.splitlines()[-1])


def load_module():
    """Within a process of its own: seconds and processor seconds."""
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "HRCAMExtension")]
    from Testing import host

    running = host.start(withMainWindow=True)
    try:
        start = time.perf_counter(), time.process_time()
        for name in ("HRCAMModule", "HRCAMBatch"):
            running.loadModule(REPOSITORY / "HRCAMModule" / f"{name}.py")
        running.completeStartup()
        return time.perf_counter() - start[0], time.process_time() - start[1]
    finally:
        running.stop()


def main():
    """Command line."""
    with tempfile.TemporaryDirectory() as out:
        rows = measure(out)
    print(json.dumps({"load": os.getloadavg()[0], "starts": rows}, indent=1))
    return int(any(row["processor_s"] > row["limit_s"] for row in rows.values()))


def measure(out):
    """What begins to its times."""
    starts = {
        "hrcam --help": lambda: until(b"worker", "--help"),
        "hrcam localize, first stage named": lambda: until(b"Checking", "localize", str(SAMPLE), "--out", out,
                                                           "--overwrite"),
        "Slicer's start": module,
    }
    rows = {}
    for name, begin in starts.items():
        begin()  # files come from the disk once
        taken, busy = zip(*(begin() for _ in range(RUNS)), strict=True)
        rows[name] = {"s": round(statistics.median(taken), 3), "processor_s": round(statistics.median(busy), 3),
                      "limit_s": LIMITS_S[name]}
    return rows


if __name__ == "__main__":
    sys.exit(main())
