"""Kill processes at random moments while they localize, run a batch or export: what do they leave, and does it go on?

    python Testing/faults/kills.py [--seconds 300] [--seed 0] [--out build/kills.json]

Each round kills one of the three (SIGKILL) up to three times, at moments drawn evenly over the time that it takes
undisturbed. After each kill every visible file must be whole, and a case that says it is complete must have all its
files. Then it runs to its end: it must keep what was complete, and leave what an undisturbed run leaves. Processes are
forked, so that they die in their work and not in importing PyTorch. Exit code 1 where anything else comes of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import pyarrow.parquet
import pydicom
from batch_data import unfinished, write_scans
from bright_blob import BLOB_METADATA, bright_blob_network, make_blob_volume
from hrcam.batch.run import run_batch
from hrcam.bundle.bundle import load_bundle
from hrcam.bundle.write import save_bundle
from hrcam.cli import app as cli
from hrcam.localize import Options, localize
from hrcam.output.export import DICOM, KINDS, export_result
from hrcam.run.result import validate_result
from hrcam.scan.io.integrity import check_integrity
from hrcam.scan.volume import read_volume
from kill_points import start_fork
from PIL import Image

SCANS, MOST_KILLS = 3, 3


@dataclass
class Work:
    """What is killed: how it runs into a folder, how long it takes undisturbed, what it leaves then."""

    name: str
    run: Callable[[Path], object]
    seconds: float = 0.0
    files: set[str] = field(default_factory=set)
    kills: int = 0
    rounds: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)


def quietly(work: Callable[[], object]) -> Callable[[], object]:
    """Without output, which belongs to the parent."""

    def run() -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        work()

    return run


def works(folder: Path) -> list[Work]:
    """The three, on made-up scans and a small model."""
    scans = write_scans(folder / "scans", make_blob_volume, SCANS)
    bundle = load_bundle(save_bundle(folder / "model", bright_blob_network(), BLOB_METADATA).path)
    options, one = Options(device="cpu"), str(scans / "scan1.nii.gz")
    volume = read_volume(one)
    result = localize(volume, bundle, options)

    def localized(out: Path) -> None:
        code = cli.main(["localize", one, "--model", str(bundle.path), "--out", str(out), "--device", "cpu", "--dicom",
                         "--overwrite"])
        if code:
            raise SystemExit(code)

    def batched(out: Path) -> None:
        if run_batch([scans], bundle, out, options).exit_code:
            raise SystemExit(1)

    return [Work("localize", localized), Work("batch", batched),
            Work("export", lambda out: export_result(result, volume, out, {*KINDS, DICOM}))]


def half_written(out: Path) -> list[str]:
    """Visible files that are not whole, and cases whose files are not all there."""
    found = []
    for path in sorted(out.rglob("*")) if out.exists() else ():
        if path.is_dir() or path.name.startswith(".") or any(part.startswith(".") for part in path.parts):
            continue
        try:
            _read_to_the_end(path)
        except Exception as error:
            found.append(f"{path.name}: {type(error).__name__}: {error}")
    return found


def _read_to_the_end(path: Path) -> None:
    if path.suffix == ".dcm":
        pydicom.dcmread(path).to_json_dict()
    elif path.name.endswith((".nii.gz", ".nrrd")):
        check_integrity(path)
    elif path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
    elif path.suffix == ".parquet":
        pyarrow.parquet.read_table(path)
    elif path.name.endswith("_result.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        validate_result(document)
        absent = [name for name in document["files"].values() if not (path.parent / name).is_file()]
        if absent:
            raise FileNotFoundError(f"complete, but without {absent}")
    elif not path.read_text(encoding="utf-8").endswith(("\n", "</html>")):
        raise ValueError("it ends within a line")


def complete(out: Path) -> dict[str, int]:
    """Cases that say that they are complete, with the time at which they were written."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*_result.json")}


def undisturbed(work: Work, out: Path) -> None:
    """Note what a run leaves; time a second one in a process like those that are killed, with all modules imported."""
    work.run(out)
    shutil.rmtree(out)
    began = time.monotonic()
    status = os.waitpid(start_fork(quietly(lambda: work.run(out))), 0)[1]
    if status:
        raise SystemExit(f"{work.name} fails undisturbed")
    work.seconds, work.files = time.monotonic() - began, {path.name for path in out.iterdir()}


def round_of_kills(work: Work, out: Path, random_moment: random.Random) -> None:
    """Kill it some times, then let it come to its end; note what went wrong."""
    work.rounds += 1
    for _ in range(random_moment.randint(1, MOST_KILLS)):
        child = start_fork(quietly(lambda: work.run(out)))
        time.sleep(random_moment.uniform(0, work.seconds))
        os.kill(child, signal.SIGKILL)
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            work.kills += 1
        work.problems += half_written(out)
    before = complete(out)
    status = os.waitpid(start_fork(quietly(lambda: work.run(out))), 0)[1]
    after = complete(out)
    if status:
        work.problems.append(f"the next run fails (status {status})")
    if work.name == "batch":  # the others write anew what they are asked for
        work.kept += len(before)
        work.problems += [f"{name} was complete and is computed again" for name in before
                          if after.get(name) != before[name]]
    work.problems += half_written(out)
    if (left := {path.name for path in out.iterdir()} - set(unfinished(out))) != work.files:
        work.problems.append(f"other files than undisturbed: {sorted(left ^ work.files)}")
    if work.name == "batch":
        work.problems += [f"{name} is left behind" for name in unfinished(out)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="how long (default: 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    end, moments = time.monotonic() + asked.seconds, random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        killed = works(folder)
        for work in killed:
            undisturbed(work, folder / f"{work.name}-undisturbed")
        while time.monotonic() < end:
            for work in killed:
                out = folder / work.name
                out.mkdir()
                round_of_kills(work, out, moments)
                shutil.rmtree(out)
    found = {work.name: {"rounds": work.rounds, "kills": work.kills, "kept": work.kept, "seconds": work.seconds,
                         "problems": work.problems} for work in killed}
    text = json.dumps(found, indent=1)
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(any(work.problems for work in killed))


if __name__ == "__main__":
    sys.exit(main())
