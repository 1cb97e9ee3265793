"""How to localize, and whether a model can be run that way."""

from __future__ import annotations

from dataclasses import dataclass

from ..bundle.bundle import Bundle
from ..errors import InputError
from ..scan.geometry import PLANES

ENGINES = ("auto", "torch", "openvino")
PLANE_CHOICES = ("auto", *reversed(PLANES), "all")
"""Of 2D models: the model's choice, one of the three, or the mean of the three."""

MINIMUM_REGION_ML = 0.05
"""Smaller regions are specks, a fifth of all on FLAIR scans of `lgg`. Without them no lesion there, no plaque of `ms`
and nothing of Dice is lost (docs/RESEARCH.md).
"""


@dataclass(frozen=True)
class Options:
    """How to localize.

    Parameters
    ----------
    class_name : class whose evidence is shown; None: the predicted class if it is a pathology, otherwise the pathology
        with the highest probability, whose map is given but not marked where the scan is called normal
        (``withholding.is_withheld``).
    plane : "auto" (the model's choice among those that the scan can be read in, see ``sampling.planes_to_read``),
        "axial", "coronal", "sagittal", or "all": the mean of the three planes' maps, and of their logits where the
        model does not say what they must agree on (``agreement.py``). 3D models see the whole volume and take "auto".
    device : "auto" (CUDA where there is one), "cpu", "cuda", "cuda:N".
    precision : "fp32", "bf16", or "fp16" (CUDA).
    batch_size : slices a forward pass; None suits the device.
    fusion : one of ``fusion.FUSIONS`` ("sum" is the published form); None: the bundle's.
    keep_levels : also return the map of every CNN level, kept at its own size and up-sampled when it is looked up.
    engine : "torch", "openvino" (CPU; the extra ``fast``), or "auto": OpenVINO where it is installed and there is
        enough to compute, in this scan and as many as ``scans`` says: the same input has the same engine whatever the
        process did before. Maps agree within 1e-4 of their greatest value.
    minimum_region_ml : smaller regions appear neither in the table nor in the labels. Single slices and pictures have
        no volumes, and keep all. So do, unless more than the default is given, a class that is asked for and a scan
        that is called ill where all of its regions are smaller.
    faithfulness : also test if the answer rests on the strongest region, see ``faithfulness.deletion_test``.
    place : also name the place of each region in the brain, see ``place.name.with_places``.
    scans : how many scans like this one the process is going to localize, for ``engine`` alone.
    """

    class_name: str | None = None
    plane: str = "auto"
    device: str = "auto"
    precision: str = "fp32"
    batch_size: int | None = None
    fusion: str | None = None
    keep_levels: bool = False
    engine: str = "auto"
    minimum_region_ml: float = MINIMUM_REGION_ML
    faithfulness: bool = False
    place: bool = False
    scans: int = 1


DEFAULT_OPTIONS = Options()


def smallest_region_ml(options: Options, has_volumes: bool) -> float:
    """Of what is marked: who asks for a class wants to see its specks too, and pictures have no volumes."""
    asked = options.class_name is not None and options.minimum_region_ml <= MINIMUM_REGION_ML
    return 0.0 if asked or not has_volumes else options.minimum_region_ml


def check_options(options: Options, bundle: Bundle) -> None:
    """Raise for what the model, or no model, can be asked for; whether device and engine are there shows on running.

    Raises
    ------
    InputError : a class, plane, engine, batch size or smallest region that there is none of.
    ModelError : an unknown fusion.
    """
    if options.class_name is not None and options.class_name not in bundle.class_names:
        raise InputError(f'Model {bundle.name} has no class "{options.class_name}".',
                         f"Choose one of: {', '.join(bundle.class_names)}.")
    if options.plane not in PLANE_CHOICES:
        raise InputError(f'There is no plane "{options.plane}".', f"Choose one of: {', '.join(PLANE_CHOICES)}.")
    if bundle.dimension == 3 and options.plane != "auto":
        raise InputError(f"Model {bundle.name} sees the whole volume and takes no plane.", "Leave the plane at auto.")
    if options.engine not in ENGINES:
        raise InputError(f'There is no engine "{options.engine}".', f"Choose one of: {', '.join(ENGINES)}.")
    if options.batch_size is not None and options.batch_size < 1:
        raise InputError(f"The batch size is {options.batch_size}.", "Give a number of at least 1.")
    if not 0 <= options.minimum_region_ml < float("inf"):
        raise InputError(f"The smallest region is {options.minimum_region_ml:g} ml.", "Give a number of at least 0.")
    if options.fusion is not None:
        from ..cam.fusion import check_fusion

        check_fusion(options.fusion)


def check_runnable(options: Options, bundle: Bundle) -> None:
    """`check_options`, and that device, precision and engine are there: before the first of many scans.

    Raises
    ------
    HRCAMError : what a run would end with.
    """
    check_options(options, bundle)
    if (options.device, options.precision, options.engine) == ("auto", "fp32", "auto"):
        return  # always there: the import of PyTorch can wait until the scan is read
    from .inference import check_precision, choose_device
    from .openvino_engine import is_wanted

    device = choose_device(options.device)
    check_precision(options.precision, device)
    is_wanted(options.engine, device, options.precision, "slices", None)
