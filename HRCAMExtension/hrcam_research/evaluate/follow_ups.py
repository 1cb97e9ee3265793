"""How right `hrcam compare` is on simulated follow-ups: ``python -m hrcam_research.evaluate.follow_ups measure …``.

Each pair of scans shows one generated head on two dates, with lesions of known change (`simulate.follow_up`), as stacks
of thick slices. Of each pair it is measured: the call of each region against the lesion that lies there; how far the
registration is from the true motion; whether a registration that was put off on purpose is refused; and how far the
regions of re-sampled, re-noised copies differ. A line a pair is added to a file, so that a run can be continued, and
split over processes; ``summary`` counts the lines of several files, and ``usual`` writes what one run differs by into
the package.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import hrcam.compare
import numpy as np
import typer
from hrcam.align.rigid import check_alignment
from hrcam.align.transforms import distance_mm
from hrcam.align.working import working_image
from hrcam.bundle.bundle import Bundle, load_bundle
from hrcam.compare.calls import GROWING, NEW, NOT_COVERED, RESOLVED, SHRINKING, STABLE
from hrcam.compare.changes import call_of
from hrcam.compare.comparison import Comparison
from hrcam.compare.repeatability import USUAL_FILE, Repeatability, diameter_of, from_differences
from hrcam.compare.run import compare
from hrcam.errors import HRCAMError
from hrcam.localize import Options
from scipy.spatial.transform import Rotation

from ..simulate.follow_up import FollowUp, simulate_follow_up
from ..simulate.head import find_heads, read_head

SIZE, SPACING_MM, SLICE_MM = 112, 1.9, 7.6
DIAMETERS_MM = (14.0, 30.0)
NEAR_MM = 8.0
"""A region this near to a lesion's surface is that lesion's."""

OFF_MM = (2.0, 12.0)
"""How far registrations are put off, root mean square over the head."""

app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def measure(
    heads: Annotated[Path, typer.Argument(help="Folder of label maps.")],
    out: Annotated[Path, typer.Argument(help="File of lines; continued where it exists.")],
    first: int = 0, count: int = 200, step: int = 1, seed: int = 7, model: str = "brain-lesion",
    engine: str = "auto",
) -> None:
    """Measure the pairs FIRST, FIRST + STEP, … below COUNT."""
    done = {line["pair"] for line in _lines([out])} if out.exists() else set()
    bundle, options = load_bundle(model), Options(device="cpu", engine=engine)
    paths, head = find_heads(heads), None
    for number in range(first, count, step):
        if number in done:
            continue
        path = paths[number * len(paths) // count]  # pairs of one head follow one another
        if head is None or head.name != path.name.split(".")[0]:
            head = read_head(path)
        pair = simulate_follow_up(head, (seed, number), size=SIZE, spacing_mm=SPACING_MM, slice_mm=SLICE_MM,
                                  lesions=2, diameter_mm=DIAMETERS_MM)
        rng = np.random.default_rng((seed, number, 1))
        line = {"pair": number, "head": head.name, "model": f"{bundle.name} {bundle.version}",
                **measure_pair(pair, bundle, options, rng)}
        with out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def measure_pair(pair: FollowUp, bundle: Bundle, options: Options, rng: np.random.Generator) -> dict[str, Any]:
    """What the comparison of one pair found, beside the truth."""
    points = working_image(pair.later, 4.0).points
    lesions = [{"change": one.change, "earlier_mm": one.diameter_earlier_mm, "later_mm": one.diameter_later_mm}
               for one in pair.changes]
    try:
        found = compare(pair.earlier, pair.later, bundle, options)
    except HRCAMError as error:
        return {"lesions": lesions, "refused": str(error)}
    record: dict[str, Any] = {
        "lesions": lesions, "regions": _regions(found, pair), "lowest": found.later.evidence_levels[0].threshold,
        "differences": found.differences,
        "registration_error_mm": distance_mm(found.alignment.later_to_earlier, pair.later_to_earlier, points)}
    off = _put_off(rng, points) @ pair.later_to_earlier
    checked = check_alignment(pair.earlier, pair.later, off, "given")
    record["put_off"] = {"mm": distance_mm(off, pair.later_to_earlier, points), "noticed": not checked.trusted,
                         "agreement_mm": checked.agreement_mm}
    return record


def _regions(found: Comparison, pair: FollowUp) -> list[dict[str, Any]]:
    """Each region of the comparison with the lesion that it lies in; None where it lies in none."""
    regions = []
    for change in found.changes:
        sizes = [max(one.diameter_earlier_mm, one.diameter_later_mm) / 2 for one in pair.changes]
        gaps = [float(np.linalg.norm(np.subtract(change.peak_ras, one.center_ras))) - size
                for one, size in zip(pair.changes, sizes, strict=True)]
        lesion = int(np.argmin(gaps)) if gaps and min(gaps) <= NEAR_MM else None
        regions.append({
            "lesion": lesion, "call": change.call, "earlier": bool(change.earlier), "later": bool(change.later),
            "diameter_earlier_mm": diameter_of(change.volume_earlier_ml),
            "diameter_later_mm": diameter_of(change.volume_later_ml), "peak_earlier": change.peak_earlier,
            "peak_later": change.peak_later, "covered": change.call != NOT_COVERED})
    return regions


def _put_off(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """A random rigid motion that moves the points by a distance drawn from `OFF_MM`."""
    turn, shift = rng.normal(size=3), rng.normal(size=3)
    center, target = points.mean(axis=0), float(rng.uniform(*OFF_MM))
    spread = float(np.sqrt(((points - center) ** 2).sum(axis=1).mean()))
    share = rng.uniform(0, 1)
    scale = 1.0
    for _ in range(20):  # turning and shifting do not simply add up
        motion = np.eye(4)
        angle = scale * share * target / spread * turn / np.linalg.norm(turn)
        motion[:3, :3] = Rotation.from_rotvec(angle).as_matrix()
        motion[:3, 3] = center - motion[:3, :3] @ center + scale * (1 - share) * target * shift / np.linalg.norm(shift)
        scale *= target / distance_mm(motion, np.eye(4), points)
    return motion


@app.command()
def summary(files: Annotated[list[Path], typer.Argument(help="Files of lines.")]) -> None:
    """Count, and print the figures as JSON."""
    typer.echo(json.dumps(summarize(_lines(files)), indent=1))


def summarize(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of the measured pairs.

    What copies differ by is without the usual amount; limits and calls are those of the package's present one.
    """
    compared = [line for line in lines if "regions" in line]
    found: dict[str, Any] = {
        "pairs": len(lines), "refused": len(lines) - len(compared),
        "copies": _copies(compared),
        "limit_mm": _spread([_limits(line).diameter_mm for line in compared]),
        "registration_error_mm": _spread([line["registration_error_mm"] for line in compared]),
        "calls": _judge_calls(compared),
        "put_off": _judge_checks([line["put_off"] for line in compared]),
    }
    return found


@app.command()
def usual(files: Annotated[list[Path], typer.Argument(help="Files of lines.")]) -> None:
    """Write what one run differs by into the package, for scans that show few regions."""
    compared = [line for line in _lines(files) if "regions" in line]
    path = Path(hrcam.compare.__file__).with_name(USUAL_FILE)
    models = sorted({line["model"] for line in compared if "model" in line})
    path.write_text(json.dumps({"models": models, "pairs": len(compared), **_copies(compared)}, indent=1) + "\n",
                    encoding="utf-8")


def _copies(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Standard deviations of one run, from the differences of two runs on each scan."""
    differences = [tuple(one) for line in lines for one in line["differences"]]
    within = np.sqrt(np.square(np.asarray(differences or [(0, 0)], float)).mean(axis=0) / 2)
    return {"regions": len(differences), "sd_diameter_mm": float(within[0]), "sd_log_peak": float(within[1])}


def _limits(line: dict[str, Any]) -> Repeatability:
    """Repeatability of a pair, as `compare` has it: a scan and one copy of it."""
    return from_differences(line["differences"], runs=2)


def _judge_calls(lines: list[dict[str, Any]]) -> dict[str, Any]:
    table: dict[str, dict[str, int]] = {}
    beyond = {"regions": 0, "right": 0}
    alone = {"regions": 0, "stable": 0}
    seen = total = 0
    for line in lines:
        limits = _limits(line)
        total += len(line["lesions"])
        seen += len({one["lesion"] for one in line["regions"]} - {None})
        for one in line["regions"]:
            call, _ = call_of(one["earlier"], one["later"], one["diameter_later_mm"] - one["diameter_earlier_mm"],
                           one["peak_earlier"], one["peak_later"], one["covered"], limits, line["lowest"])
            if one["lesion"] is None:
                alone["regions"] += 1
                alone["stable"] += call == STABLE
                continue
            lesion = line["lesions"][one["lesion"]]
            counts = table.setdefault(lesion["change"], {})
            counts[call] = counts.get(call, 0) + 1
            if lesion["change"] in (NEW, RESOLVED, GROWING, SHRINKING) \
                    and abs(lesion["later_mm"] - lesion["earlier_mm"]) > limits.diameter_mm:
                beyond["regions"] += 1
                beyond["right"] += call == lesion["change"]
    return {"lesions": total, "lesions_with_a_region": seen, "changed_beyond_repeatability": beyond,
            "truth_to_calls": table, "regions_without_lesion": alone}


def _judge_checks(checks: list[dict[str, Any]]) -> dict[str, Any]:
    off = [one for one in checks if one["mm"] > OFF_MM[0]]
    return {"registrations": len(off), "noticed": sum(one["noticed"] for one in off),
            "unnoticed_mm": sorted(round(one["mm"], 1) for one in off if not one["noticed"])}


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {"median": float(np.median(values)), "p95": float(np.percentile(values, 95)), "largest": max(values)}


def _lines(files: list[Path]) -> list[dict[str, Any]]:
    found = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted(found, key=lambda line: line["pair"])


if __name__ == "__main__":
    app()
