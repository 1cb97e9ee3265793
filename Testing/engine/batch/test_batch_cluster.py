"""Batches on several processes: a real Dask scheduler with workers that die, and processes of one's own."""

import io
import json
import logging
import os
import signal

import pytest
from batch_data import FILES_ONLY, start, unfinished, wait_until, write_scans
from hrcam.batch.run import run_batch
from hrcam.errors import OutputError
from hrcam.localize import Options

pytest.importorskip("distributed")

CPU = Options(device="cpu")

DEADLY = """
import json
import os
from hrcam.networks.registry import VGGSmall

class Deadly(VGGSmall):
    def forward(self, x):
        if x.max() > 1.3:  # the lesion is brighter than any tissue
            os.kill(os.getpid(), 9)
        return super().forward(x)

def build(**arguments):
    return Deadly(**arguments)
"""


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers of one thread, each a process of its own: (address, worker processes)."""
    file, log = tmp_path / "scheduler.json", (tmp_path / "dask.log").open("w")
    options = {"stdout": log, "stderr": log, "cwd": tmp_path}
    scheduler = start("distributed.cli.dask_scheduler", "--port", 0, "--host", "127.0.0.1", "--scheduler-file", file,
                      "--no-dashboard", **options)
    workers = [start("distributed.cli.dask_worker", "--scheduler-file", file, "--nthreads", 1, "--no-nanny",
                     "--no-dashboard", "--local-directory", tmp_path, **options) for _ in range(2)]
    try:
        text = wait_until(lambda: file.exists() and file.read_text(encoding="utf-8"))
        yield json.loads(text)["address"], scheduler, workers
    finally:
        for process in (scheduler, *workers):
            process.kill()
            process.wait()
        log.close()


def test_a_worker_killed_midway_loses_nothing_and_doubles_nothing(cluster, tmp_path, blob_volume, bright_blob_bundle):
    from distributed import Client

    address, _, workers = cluster
    with Client(address) as client:
        client.wait_for_workers(2, timeout=250)
    scans, out = write_scans(tmp_path / "in", blob_volume, 12), tmp_path / "out"
    killed, complete = [], {}

    def kill_one(finished, total, row):
        assert total == 12 and finished == len(seen) + 1
        seen.append(row.case)
        if finished == 3:
            workers[0].send_signal(signal.SIGKILL)
            killed.append(workers[0].wait())
            complete.update({path: path.stat().st_mtime_ns for path in out.glob("*_result.json")})

    seen = []
    batch = run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, scheduler=address, report=False,
                      progress=kill_one)
    assert killed == [-signal.SIGKILL]
    assert batch.exit_code == 0 and sorted(seen) == sorted(f"scan{n}" for n in range(12))
    assert len(list(out.glob("*_result.json"))) == len(list(out.glob("*_map.nii.gz"))) == 12
    assert complete and {path: path.stat().st_mtime_ns for path in complete} == complete, "nothing is computed twice"
    assert unfinished(out) == []
    assert [row.found["predicted"] for row in batch.rows] == ["no_lesion", "lesion"] * 6


def test_a_lost_scheduler_ends_the_batch_with_words_and_keeps_what_is_done(
    cluster, tmp_path, blob_volume, bright_blob_bundle
):
    address, scheduler, _ = cluster
    scans, out = write_scans(tmp_path / "in", blob_volume, 8), tmp_path / "out"
    log, printed = logging.getLogger("distributed.client"), io.StringIO()
    handler = logging.StreamHandler(printed)
    log.addHandler(handler)
    with pytest.raises(OutputError, match="scheduler was lost"):
        run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, scheduler=address, report=False,
                  progress=lambda *_: scheduler.kill())
    log.removeHandler(handler)
    assert printed.getvalue() == "", "words, not tracebacks"
    assert "not run" in (out / "summary.csv").read_text(encoding="utf-8")
    assert run_batch([scans], bright_blob_bundle, out, CPU, FILES_ONLY, report=False).count("kept") >= 1


def test_a_scan_that_kills_its_process_fails_alone(tmp_path, monkeypatch, blob_volume):
    from bright_blob import BLOB_METADATA, bright_blob_network
    from hrcam import load_bundle, save_bundle

    (tmp_path / "deadly_network.py").write_text(DEADLY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    architecture = {**BLOB_METADATA["architecture"], "name": "import:deadly_network:build"}
    with monkeypatch.context() as trusted:
        trusted.setenv("HRCAM_ALLOW_IMPORT", "deadly_network")
        folder = save_bundle(tmp_path / "deadly", bright_blob_network(),
                             {**BLOB_METADATA, "architecture": architecture}).path
    scans = write_scans(tmp_path / "in", blob_volume, 3)
    batch = run_batch([scans], load_bundle(folder, allow_import=True), tmp_path / "out", CPU, FILES_ONLY, jobs=2,
                      retries=0, report=False)
    assert [row.status for row in batch.rows] == ["done", "failed", "done"]
    assert "killed" in batch.rows[1].error and "memory" in batch.rows[1].hint


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "no address"])
def test_an_absent_scheduler_is_told_in_words(address, tmp_path, blob_volume, bright_blob_bundle, monkeypatch):
    monkeypatch.setattr("hrcam.batch.cluster.CONNECT_S", 1.0)
    with pytest.raises(OutputError, match="No Dask scheduler answers"):
        run_batch([write_scans(tmp_path / "in", blob_volume, 1)], bright_blob_bundle, tmp_path / "out", CPU,
                  scheduler=address)
