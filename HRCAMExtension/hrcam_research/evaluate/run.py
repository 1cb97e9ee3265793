"""One bundle, all evaluation data that fit it: results as JSON types, figures on disk."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hrcam
import torch
from hrcam.bundle.bundle import Bundle

from hrcam_research.evaluate import data, faithfulness_section, figures, lesions, midbrains
from hrcam_research.evaluate.case import Case, spread
from hrcam_research.evaluate.classification_section import evaluate_classification
from hrcam_research.evaluate.cost import measure_cost
from hrcam_research.evaluate.localization import MapTable, Progress, evaluate_maps
from hrcam_research.evaluate.map_maker import MapMaker
from hrcam_research.evaluate.report import FORMAT, FORMAT_VERSION, Results
from hrcam_research.evaluate.scans import EXTERNAL, SMALLEST_PX, find_scan_sets
from hrcam_research.evaluate.shown import evaluate_shown
from hrcam_research.evaluate.summary import pick_cases, summarize

if TYPE_CHECKING:
    from hrcam.cam.model import HRCAM

NORMALS = 200
MONTAGE_ROWS = 2
EVERY = 4
"""Of the slices of scans of other hospitals, on which all methods are measured beside each other."""

_PARTS = ("data", "localization", "shown", "figures")
_COST_SIDE = 96
_PACKAGES = ("torch", "torchcam", "captum", "monai", "scikit-learn", "scipy", "numpy")


@dataclass(frozen=True)
class Settings:
    """What the command's options say.

    `cases` limits the images of each set (None takes all); `faithfulness_cases` is how many images faithfulness and
    randomization are measured on (0 leaves both out); `split` is taken of a folder with a table of its own (None: all).
    `sets` names the sets that are measured: exactly, or by the folder that several lie in ("lgg" is "lgg FLAIR" too);
    None: all.
    """

    cases: int | None = None
    faithfulness_cases: int = faithfulness_section.CASES
    methods: tuple[str, ...] | None = None
    split: str | None = "val"
    batch_size: int = 8
    device: str = "cpu"
    sets: tuple[str, ...] | None = None

    def wants(self, name: str) -> bool:
        """Whether the set of this name is to be measured."""
        return self.sets is None or any(one in (name, name.split(" ")[0]) for one in self.sets)


@dataclass(frozen=True)
class EvaluationSet:
    """Images with lesion, images without, and what a report must say about them.

    `pictured`: cases are drawn. The license of `lgg` (CC BY-NC-SA) would bind whoever passes such pictures on.
    """

    name: str
    cases: list[Case]
    normals: list[Case]
    note: str = ""
    few_methods: bool = False
    pictured: bool = True
    midbrains: midbrains.Midbrains | None = None

    @property
    def name_without(self) -> str:
        """What the images without lesion are called."""
        return f"{self.name}, without lesion"


def find_sets(
    bundle: Bundle, folder: Path, split: str | None = "val", wants: Callable[[str], bool] = lambda _: True
) -> list[EvaluationSet]:
    """The sets of a data folder whose labels the bundle knows.

    A folder with a table of its own (see `data`) is one set, of which `split` is taken (None: all). Else `t1ce_slices`
    (val), with the held-out `no_tumor` images as normal ones, and `t1ce_volumes`, whose slices beside the tumor are
    the normal ones. For a model of `lesion` lesions are simulated in the folder's heads (`lesions`). For both, slices
    of scans of other hospitals. For a 3D model of `nigral_loss` midbrains are generated; it needs no data. `wants`
    says of a set's name whether it is wanted.
    """
    known = set(bundle.class_names)
    healthy = [kind.name for kind in bundle.classes if not kind.pathology]

    def fitting(cases: Sequence[Case]) -> list[Case]:
        return [case for case in cases if case.label in known]

    if data.table_of(folder):
        cases = data.known_cases(data.slice_cases(folder, bundle, split), bundle)
        normals = [case for case in cases if case.label in healthy]
        traced = [case for case in cases if case.traced]
        return [EvaluationSet(folder.resolve().name, traced, normals, f"split {split or 'all'}")] if traced else []
    if lesions.LABEL in known and len(known) == 2:
        found = lesions.lesion_sets(bundle, folder)
        big = bundle.dimension == 3  # all methods' maps of 24 volumes would take 9 GB of scratch
        simulated = [
            EvaluationSet(one.name, one.cases, one.normals, one.note, big or n > 0) for n, one in enumerate(found)
        ]
        return [one for one in [*simulated, *_outside(bundle, folder, lesions.LABEL, wants)] if wants(one.name)]
    if bundle.dimension != 2:
        return [_midbrains(bundle)] if midbrains.LABEL in known and len(known) == 2 else []
    sets = []
    if (folder / "t1ce_slices").is_dir():
        cases = fitting(data.slice_cases(folder / "t1ce_slices", bundle))
        apart = (folder / "no_tumor").is_dir()
        normals = data.normal_cases(folder / "no_tumor", bundle, *healthy[:1]) if apart else []
        if cases:
            sets.append(
                EvaluationSet("t1ce_slices", [case for case in cases if case.traced], normals, "split val, by patient")
            )
    if (folder / "t1ce_volumes").is_dir() and "glioma" in known:
        slices = data.volume_slices(folder / "t1ce_volumes", bundle, "glioma", (healthy or ["no tumor"])[0])
        used = next(
            (one.get("use", "") for one in bundle.metadata["data"] if one["name"] == "t1ce_volumes"), "not used"
        )
        traced = [case for case in slices if case.traced]
        rest = [case for case in slices if not case.traced]
        sets.append(EvaluationSet("t1ce_volumes", traced, rest, f"the model's training: {used}", few_methods=True))
    if "glioma" in known:
        sets += _outside(bundle, folder, "glioma", wants)
    return [one for one in sets if one.cases and wants(one.name)]


def _outside(bundle: Bundle, folder: Path, label: str, wants: Callable[[str], bool]) -> list[EvaluationSet]:
    """Slices of scans of hospitals that taught no model; of 2D models alone."""
    healthy = [kind.name for kind in bundle.classes if not kind.pathology]
    if bundle.dimension == 3 or not healthy:
        return []
    found = []
    for one in find_scan_sets(folder):
        if one.origin == EXTERNAL and one.scans[0].outline and wants(one.name):
            slices = data.scan_slices(one.scans, bundle, label, healthy[0], SMALLEST_PX, EVERY)
            traced, rest = ([case for case in slices if case.traced is kind] for kind in (True, False))
            note = (f"of hospitals that taught no model; of each scan's slices with {SMALLEST_PX} outlined pixels or "
                    f"more, and of those with none, one in {EVERY}")  # fmt: skip
            found.append(EvaluationSet(one.name, traced, rest, note, few_methods=True, pictured=False))
    return found


def _midbrains(bundle: Bundle) -> EvaluationSet:
    note = "generated, of seeds that were never trained on; controls are the counterparts without loss"
    drawn = midbrains.Midbrains(bundle)
    return EvaluationSet(midbrains.NAME, *drawn.cases(), note, few_methods=True, midbrains=drawn)


def evaluate_bundle(
    bundle: Bundle, sets: Sequence[EvaluationSet], folder: Path, out: Path, settings: Settings,
    progress: Progress | None = None, keep: Callable[[Results], None] | None = None, earlier: Results | None = None,
) -> Results:  # fmt: skip
    """Evaluate a bundle and draw its figures under `out`/figures.

    Parameters
    ----------
    sets : of `find_sets`, at least one.
    keep : called with what is known so far after each set and each further part, so that nothing is lost.
    earlier : results of the same weights. Sets that were measured by the same source with the same settings are taken
        from there, so that a stopped evaluation goes on. Where `settings` names sets the others stay too, and
        classification, faithfulness and cost are not measured.
    """
    keep = keep or (lambda _: None)
    torch.manual_seed(0)
    model = bundle.build().to(settings.device)
    results: Results = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": {
            "name": bundle.name,
            "version": bundle.version,
            "title": bundle.title,
            "sha256": bundle.sha256,
            "fusion": model.fusion,
            "levels": [level.name for level in model.levels],
            "classes": list(bundle.class_names),
        },
        "commit": commit(),
        "versions": {
            "hrcam": hrcam.__version__,
            "Python": platform.python_version(),
            **{package: version(package) for package in _PACKAGES},
        },
        **{key: {} for key in _PARTS},
    }
    asked = {"commit": results["commit"], "cases": settings.cases, "split": settings.split,
             "methods": list(settings.methods or ())}  # fmt: skip
    before = earlier or {}
    if settings.sets and earlier is not None:
        results = {**earlier, **{key: results[key] for key in ("model", "commit", "versions")}}
    for one in sets:
        if _is_measured(before, one.name, asked):
            names = {one.name, one.name_without}
            for key in _PARTS:
                results[key] |= {name: part for name, part in before[key].items() if name in names}
            continue
        _localize(results, bundle, model, one, out, settings, progress)
        results["data"][one.name]["asked"] = asked
        keep(results)
    if settings.sets:
        return results
    first = sets[0]
    maker = MapMaker(model, settings.methods)
    if first.midbrains:
        first.midbrains.count = min(first.midbrains.count, settings.cases or first.midbrains.count)
        classification = midbrains.evaluate_midbrains(first.midbrains, model, folder, settings.batch_size, progress)
    elif lesions.LABEL in bundle.class_names and not data.table_of(folder):
        chosen = [(one.name, _some(one.cases, settings.cases), _some(one.normals, settings.cases)) for one in sets]
        classification = lesions.evaluate_lesions(bundle, model, chosen, settings.batch_size, progress)
    else:
        classification = evaluate_classification(bundle, model, folder, settings.split, settings.batch_size, progress)
    results["classification"] = classification
    calibration = classification.pop("calibration", None)
    if calibration:
        path = f"figures/{bundle.name}-reliability.png"
        figures.reliability(calibration, out / path)
        classification["figure"] = path
    keep(results)
    if settings.faithfulness_cases and faithfulness_section.fits_faithfulness(first.cases[0]):
        few = faithfulness_section.chosen_cases(first.cases, settings.faithfulness_cases)
        classes = bundle.class_names
        results["faithfulness"] = faithfulness_section.evaluate_faithfulness(maker, few, classes, progress)
        results["randomization"] = faithfulness_section.evaluate_randomization(maker, few, classes, progress)
    results["cost"] = _cost(maker, first.cases[0], bundle)
    return results


def _is_measured(earlier: Results, name: str, asked: dict[str, Any]) -> bool:
    """Whether a set need not be measured again; a source that is changed or not known may measure otherwise."""
    known = earlier.get("data", {}).get(name, {}).get("asked") == asked
    return known and re.fullmatch("[0-9a-f]+", asked["commit"]) is not None


def _localize(
    results: Results, bundle: Bundle, model: HRCAM, one: EvaluationSet, out: Path, settings: Settings,
    progress: Progress | None,
) -> None:  # fmt: skip
    cases, normals = _some(one.cases, settings.cases), _some(one.normals, min(NORMALS, settings.cases or NORMALS))
    methods = settings.methods
    if methods is None and one.few_methods:
        maker = MapMaker(model)
        beside = [name for name in maker.names(slow=False) if name.startswith("baseline/")]
        methods = (*faithfulness_section.main_methods(maker), f"{maker.default} 0–1", maker.coarsest, *beside)
    table = evaluate_maps(
        model, cases, bundle.class_names, methods, normals=normals, batch_size=settings.batch_size, progress=progress,
        evidence_levels=bundle.evidence_levels,
        borders=bundle.borders,
        pathologies=[kind.name for kind in bundle.classes if kind.pathology and kind.name in {c.label for c in cases}],
    )  # fmt: skip
    summary = summarize(table)
    shown = evaluate_shown(bundle, model, cases, normals, settings.batch_size, progress)
    results.setdefault("shown", {})[one.name] = shown
    results["data"][one.name] = {**data.describe(cases), "note": one.note, "commit": results["commit"]}
    if normals:
        results["data"][one.name_without] = data.describe(normals)
    results["localization"][one.name] = summary
    results["figures"][one.name] = _draw(bundle, model, one, cases, table, summary, out)


def _some(cases: list[Case], count: int | None) -> list[Case]:
    if count is None or count >= len(cases):
        return cases
    return [cases[at] for at in spread([case.label for case in cases], [case.patient for case in cases], count)]


def _draw(
    bundle: Bundle, model: HRCAM, one: EvaluationSet, cases: list[Case], table: MapTable, summary: dict[str, Any],
    out: Path,
) -> dict[str, str]:  # fmt: skip
    """Draw the figures of one set; returns their titles and paths relative to `out`."""
    stem = f"figures/{bundle.name}-{re.sub(r'[^A-Za-z0-9_.]+', '-', one.name)}"  # a link in the report
    shown = summary["shown"]
    titles = {
        f"Best, median and worst cases of {shown[0]} by AP": f"{stem}-cases.png",
        "Precision and recall of pixels": f"{stem}-precision-recall.png",
        "Dice and lesion size": f"{stem}-size.png",
    }
    montage, curves, sizes = (out / path for path in titles.values())
    ranked_by = summary["default"] if summary["default"] in summary["metrics"] else shown[0]
    precision = {
        method: dict(zip(part["case"], part["ap"], strict=True))
        for method, part in table.rows[table.rows["method"].isin(shown)].groupby("method")
    }
    groups = pick_cases(table.rows, ranked_by, MONTAGE_ROWS)
    if one.pictured:
        figures.montage(MapMaker(model, shown), cases, bundle.class_names, groups, shown, precision, montage)
    figures.curves(summary, curves)
    figures.sizes(summary, sizes)
    return {title.replace(shown[0], ranked_by): path for title, path in titles.items()
            if one.pictured or out / path != montage}


def _cost(maker: MapMaker, case: Case, bundle: Bundle) -> dict[str, Any]:
    pixels = case.read()
    x = maker.stack([(0, pixels)])
    if bundle.dimension == 3:  # ratios are the same, and gradients of whole volumes take minutes each
        for axis in (2, 3, 4):
            side = min(x.shape[axis], _COST_SIDE)
            x = x.narrow(axis, (x.shape[axis] - side) // 2, side)
    costs = measure_cost(maker, x, list(bundle.class_names).index(case.label))
    size = " × ".join(map(str, x.shape[2:]))
    what = f"one image of {size}, {x.device.type}, {torch.get_num_threads()} thread(s)"
    return {"what": what, "methods": {name: asdict(cost) for name, cost in costs.items()}}


def commit() -> str:
    """Short hash of the source's commit, "+" where the engine's tracked files differ; "unknown" without git."""
    here = Path(hrcam.__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", str(here))
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
