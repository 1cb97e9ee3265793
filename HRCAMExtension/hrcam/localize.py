"""The main job: one volume and one model in, classes, evidence map and regions out."""

from __future__ import annotations

import datetime
import platform
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .bundle.bundle import Bundle, list_bundles
from .errors import Cancelled, ModelError
from .run.across_slices import share_evidence
from .run.agreement import Joined, join_planes, plane_weights
from .run.borders import borders_of
from .run.decision import decide, unmarked_in_words
from .run.level_volumes import LevelVolumes
from .run.marking import mark
from .run.options import DEFAULT_OPTIONS, Options, check_options, smallest_region_ml
from .run.regions import find_regions
from .run.result import FloatArray, Result, SliceEvidence
from .run.volume_rule import softmax, volume_logits
from .scan.checks import Fit, assess_fit, check_volume
from .scan.geometry import Geometry
from .scan.sampling import Plan, SlicePlan, expected_inputs, plan_slices, plan_volume, planes_to_read
from .scan.volume import Volume, read_volume
from .sequence.check import check_sequence

if TYPE_CHECKING:
    from .cam.level_maps import Output
    from .cam.model import HRCAM
    from .run.inference import Runner

Progress = Callable[[str, float], None]

STAGES = {
    "Reading": 0.0,
    "Checking": 0.04,
    "Preparing": 0.06,
    "Computing": 0.10,
    "Mapping": 0.85,
    "Finding regions": 0.92,
    "Writing": 0.95,
}
"""Stages in order, and the share of the whole job that is done when each begins."""

FAITHFULNESS_STAGE = "Testing faithfulness"
"""Comes before "Writing" where it is asked for; several times the work of all others, it has no share of its own."""

PLACE_STAGE = "Naming places"
"""As `FAITHFULNESS_STAGE`: on request, and a few seconds."""

_WARM_NETWORKS = 2
_networks: OrderedDict[tuple[str, str], HRCAM] = OrderedDict()
_lock = threading.Lock()


def localize(
    volume: Volume | str | Path,
    bundle: Bundle,
    options: Options = DEFAULT_OPTIONS,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    fit: Fit | None = None,
) -> Result:
    """Localize pathology in a volume: class probabilities, an evidence map on exactly its grid, levels and regions.

    Parameters
    ----------
    volume : a scan in memory, or what ``read_volume`` reads.
    bundle : the model, see ``load_bundle``. Its network stays warm for the next call.
    options : see `Options`.
    progress : called with the name of the stage (`STAGES`) and the share of the whole job that is done, 0–1.
    cancelled : asked between batches and stages.
    fit : how the scan compares with what the model was made for, where that is known, as of a changed copy of a scan;
        None: it is assessed.

    Returns
    -------
    Result : the map is float32 KJI in logit units; slices of background alone hold 0.

    Raises
    ------
    InputError : the scan cannot be used, or an option names what the model or the volume does not have.
    ModelError : the device, precision, fusion or engine is not available.
    Cancelled : ``cancelled`` said so.

    Examples
    --------
    >>> from hrcam import load_bundle
    >>> from hrcam.localize import localize
    >>> result = localize("scan.nii.gz", load_bundle("t1ce-tumor"))  # doctest: +SKIP
    >>> result.predicted, result.regions[0].peak_ras                # doctest: +SKIP
    """
    clock = _Clock(progress or _silent, cancelled or _never)
    if not isinstance(volume, Volume):
        with clock.stage("Reading"):
            volume = read_volume(volume)
    with clock.stage("Checking"):
        check_options(options, bundle)
        check_volume(volume)
        if fit is None:
            fit = assess_fit(volume, bundle, check_sequence(volume, bundle, list_bundles), list_bundles)
    with clock.stage("Preparing"):
        plans = _plans(volume, bundle, options)
        runner = _runner(bundle, options, plans)
    with clock.stage("Computing"):
        rule = bundle.agreement if len(plans) > 1 else None
        weights = plane_weights(plans, bundle.metadata["input"].get("plane_weights", {}))
        outputs = _run(runner, plans, _candidates(bundle, options, rule is not None), clock)
        logits = np.average([_logits_of(output, bundle) for output in outputs], axis=0, weights=weights)
        _refuse_nonsense(logits)
        shown = _shown_class(bundle, options, logits)
        outputs = _shared_across_slices(plans, outputs, bundle)
    with clock.stage("Mapping"):
        fusion = options.fusion or bundle.fusion
        joined = _joined(plans, outputs, weights, fusion, shown, None if rule is None else _pathology(bundle, shown))
        evidence = joined.evidence
        error = max(output.completeness_error(shown, one)
                    for output, one in zip(outputs, joined.item_means, strict=True))
        _refuse_nonsense(evidence.max(), evidence.min())
        level_maps = LevelVolumes.of(plans, weights, outputs, shown) if options.keep_levels else None
        slices = _slice_evidence(volume, bundle, plans, outputs, evidence)
    with clock.stage("Finding regions"):
        levels, geometry = bundle.evidence_levels, volume.geometry
        single_image = bundle.dimension == 2 and plans[0].count == 1
        decision = decide(bundle, logits, joined.agreement, single_image, options.class_name is not None)
        minimum, borders = smallest_region_ml(options, volume.has_volumes), borders_of(volume, bundle)
        labels = mark(evidence, geometry, levels, minimum, decision.withheld, decision.agreed, borders)
        unmarked = not labels.any() and evidence.max() >= levels[0].threshold
        notes = [unmarked_in_words(decision, bundle.pathology, minimum)] if unmarked else []
        plane = plans[0].plane if len(plans) == 1 and isinstance(plans[0], SlicePlan) else geometry.acquisition_plane
        regions = find_regions(evidence, labels, geometry, levels, plane)
    result = Result(
        case=volume.name,
        probabilities=decision.probabilities,
        predicted=decision.predicted,
        shown_class=bundle.class_names[shown],
        map=evidence,
        labels=labels,
        withheld=decision.withheld,
        agreed=decision.agreed,
        borders=borders,
        evidence_levels=levels,
        regions=tuple(regions),
        slices=slices,
        plane="volume" if bundle.dimension == 3 else "all" if len(plans) > 1 else plane,
        geometry=geometry,
        level_maps=level_maps,
        warnings=(*fit.warnings, *runner.warnings, *notes),
        completeness_error=error,
        timings=clock.timings,
        provenance=_provenance(volume, bundle, options, fusion, runner, shown, fit),
    )
    return _with_tests(result, volume, bundle, options, fit, clock)


def warm_up(bundle: Bundle, options: Options = DEFAULT_OPTIONS, geometry: Geometry | None = None) -> None:
    """Load a bundle's network onto a device, and compile it where the options want that, ahead of its first use.

    Sizes are those of scans with this geometry, else of the bundle's own input. `localize` finds what was made.

    Raises ``InputError`` for a geometry that the model cannot read.
    """
    from .run.inference import choose_device, place
    from .run.openvino_engine import compiled, computed_images, is_wanted

    device = choose_device(options.device)
    with _lock:
        network = _network(bundle)
        place(network, device, options.batch_size, options.precision)
    inputs = ([(tuple(bundle.metadata["input"]["size"]), 1)] if geometry is None
              else expected_inputs(geometry, bundle, options.plane))
    kind, images = computed_images(network, inputs[0][0], sum(count for _size, count in inputs) * options.scans)
    if is_wanted(options.engine, device, options.precision, kind, images):
        for size, _count in inputs:
            with suppress(ModelError):  # told when a scan is localized
                compiled(network, size, options.precision)


class _Clock:
    """Times stages, reports progress, and stops between them when asked to."""

    def __init__(self, progress: Progress, cancelled: Callable[[], bool]) -> None:
        self.progress, self.cancelled = progress, cancelled
        self.timings: dict[str, float] = {}
        self._current = ("", 0.0, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self.cancelled():
            raise Cancelled
        starts = [*STAGES.values(), 1.0]
        begin = STAGES.get(name, STAGES["Writing"])
        self._current = (name, begin, starts[starts.index(begin) + 1])
        self.progress(name, begin)
        start = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - start

    def within(self, share: float) -> None:
        """Report that a share of the current stage is done."""
        name, begin, end = self._current
        self.progress(name, begin + share * (end - begin))


def _silent(stage: str, fraction: float) -> None:
    del stage, fraction


def _never() -> bool:
    return False


def _plans(volume: Volume, bundle: Bundle, options: Options) -> list[SlicePlan] | list[Any]:
    if bundle.dimension == 3:
        return [plan_volume(volume, bundle)]
    return [plan_slices(volume, bundle, plane) for plane in planes_to_read(volume, bundle, options.plane)]


def _runner(bundle: Bundle, options: Options, plans: Sequence[Plan]) -> Runner:
    """The bundle's network, built at its first use, on the device and with the engine for these plans."""
    from .run.inference import choose_device, place
    from .run.openvino_engine import computed_images, is_wanted

    device = choose_device(options.device)
    with _lock:
        network = _network(bundle)
        kind, images = computed_images(network, plans[0].size, sum(plan.count for plan in plans))
        openvino = is_wanted(options.engine, device, options.precision, kind, images * options.scans)
        return place(network, device, options.batch_size, options.precision, options.engine if openvino else "torch")


def _network(bundle: Bundle) -> HRCAM:
    """Built at its first use; the last few stay."""
    key = (str(bundle.path), bundle.sha256)
    if key not in _networks:
        _networks[key] = bundle.build()
        while len(_networks) > _WARM_NETWORKS:
            _networks.popitem(last=False)
    _networks.move_to_end(key)
    return _networks[key]


def _candidates(bundle: Bundle, options: Options, agree: bool = False) -> list[int]:
    """Classes that may come to be shown, which is known only when all slices are computed; pathologies also where
    planes must ``agree`` on them."""
    asked = [] if options.class_name is None else [bundle.class_names.index(options.class_name)]
    pathologies = [n for n, one in enumerate(bundle.classes) if one.pathology]
    return sorted({*asked, *pathologies}) if agree else asked or pathologies


def _run(runner: Runner, plans: Sequence[Plan], classes: Sequence[int], clock: _Clock) -> list[Output]:
    from .run.inference import run_plan

    total, done, outputs = sum(plan.count for plan in plans), 0, []
    for plan in plans:
        before = done

        def report(share: float, plan: Plan = plan, before: int = before) -> None:
            clock.within((before + share * plan.count) / total)

        outputs.append(run_plan(runner, plan, classes, report, clock.cancelled, len(plans)))
        done += plan.count
    return outputs


def _logits_of(output: Output, bundle: Bundle) -> npt.NDArray[np.float64]:
    """Calibrated logits of the whole volume; one item stands for itself, several follow the bundle's volume rule."""
    if len(output.logits) == 1 or not bundle.volume_rule:
        return np.asarray(output.logits.mean(axis=0, dtype=np.float64) / bundle.temperature)
    return volume_logits(output.logits, bundle.volume_rule, [one.pathology for one in bundle.classes])


def _shared_across_slices(plans: Sequence[Plan], outputs: list[Output], bundle: Bundle) -> list[Output]:
    """As the bundle wants it; its volume rule takes each slice alone and has had its turn."""
    if not bundle.neighbor_weight:
        return outputs
    return [share_evidence(output, plan.indices, bundle.neighbor_weight)
            if isinstance(plan, SlicePlan) else output for plan, output in zip(plans, outputs, strict=True)]


def _refuse_nonsense(*values: npt.ArrayLike) -> None:
    """Half precision overflows, and so do weights that nobody trained: such a result is none."""
    if not all(np.isfinite(value).all() for value in values):
        raise ModelError("The network's output is not a finite number.",
                         "Compute in the precision fp32; if you did, get the model again.")


def _joined(
    plans: Sequence[Plan], outputs: Sequence[Output], weights: Sequence[float], fusion: str, shown: int, ill: int | None
) -> Joined:
    """The map of the class that is shown, and where planes agree on ``ill``, whatever is shown; None: nobody asks."""
    joined = join_planes(plans, [output.fused(shown, fusion) for output in outputs], weights, ill == shown)
    if ill is None or ill == shown:
        return joined
    other = join_planes(plans, [output.fused(ill, fusion) for output in outputs], weights, True)
    return replace(joined, agreement=other.agreement)


def _shown_class(bundle: Bundle, options: Options, logits: npt.NDArray[np.float64]) -> int:
    """Index of `Options.class_name`, else of the likeliest pathology (the predicted class, if it is one)."""
    return max(_candidates(bundle, options), key=lambda index: float(logits[index]))


def _pathology(bundle: Bundle, shown: int) -> int:
    """Index of the class itself, where it is one, else of the first pathology."""
    return next(n for n in (shown, *range(len(bundle.classes))) if bundle.classes[n].pathology)


def _slice_evidence(
    volume: Volume, bundle: Bundle, plans: Sequence[Plan], outputs: Sequence[Output], evidence: FloatArray
) -> tuple[SliceEvidence, ...]:
    """One entry a slice of the plane that was read, or of the acquisition plane where all or none were."""
    geometry = volume.geometry
    read = {plan.plane: (plan, output) for plan, output in zip(plans, outputs, strict=True)
            if isinstance(plan, SlicePlan)}
    plane = next(iter(read)) if len(read) == 1 else geometry.acquisition_plane
    axis = geometry.axis_of(plane)
    probabilities: dict[int, dict[str, float]] = {}
    if plane in read:
        plan, output = read[plane]
        for index, one in zip(plan.indices, softmax(output.logits / bundle.temperature).tolist(), strict=True):
            probabilities[index] = dict(zip(bundle.class_names, one, strict=True))
    within = tuple(n for n in range(3) if n != 2 - axis)
    means, peaks = evidence.mean(axis=within, dtype=np.float64), evidence.max(axis=within)
    return tuple(
        SliceEvidence(index, geometry.slice_centre_ras(axis, index), float(mean), probabilities.get(index, {}),
                      float(peak))
        for index, (mean, peak) in enumerate(zip(means, peaks, strict=True))
    )


def _with_tests(
    result: Result, volume: Volume, bundle: Bundle, options: Options, fit: Fit, clock: _Clock
) -> Result:
    """Names of places and the test of faithfulness, where they are asked for."""
    if options.place:
        from .place.name import with_places

        with clock.stage(PLACE_STAGE):
            result = with_places(result, volume)
    if not options.faithfulness:
        return result
    from .run.faithfulness import deletion_test

    asked = replace(options, class_name=result.shown_class, keep_levels=False, faithfulness=False, place=False)
    with clock.stage(FAITHFULNESS_STAGE):
        found = deletion_test(volume, result, lambda changed: localize(
            changed, bundle, asked, cancelled=clock.cancelled, fit=fit).probabilities)
    return replace(result, faithfulness=found)


def _provenance(
    volume: Volume, bundle: Bundle, options: Options, fusion: str, runner: Runner, shown: int, fit: Fit
) -> dict[str, Any]:
    import torch

    from .version import __version__

    return {
        "hrcam_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "model": {"name": bundle.name, "version": bundle.version, "title": bundle.title, "sha256": bundle.sha256},
        "shown_terminology": bundle.classes[shown].terminology,
        "level_mm": _level_sizes(bundle, runner),
        "input": {
            "source": volume.source,
            "content_hash": volume.content_hash,
            "out_of_range_score": fit.out_of_range_score,
        },
        "options": asdict(replace(options, fusion=fusion)),
        "device": str(runner.device),
        "engine": runner.engine_used,
        "precision": runner.precision,
    }


def _level_sizes(bundle: Bundle, runner: Runner) -> dict[str, float]:
    """CNN level name to the size of one of its pixels, mm."""
    spacing = max(bundle.input.spacing_mm)
    return {level.name: round(float(max(level.stride) * spacing), 2) for level in runner.network.levels}
