"""A whole scan from its file to its saved results, beside the plain forward passes of the same network alone."""

import cProfile
import pstats
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK
import torch
from hrcam import HRCAM, load_bundle, save_bundle
from hrcam.errors import HRCAMError, ModelError
from hrcam.localize import Options, localize
from hrcam.networks.registry import build_network
from hrcam.output.writers import write_result
from hrcam.run.inference import _cpu_computes_bf16
from hrcam.scan.geometry import Geometry
from hrcam.scan.sampling import plan_slices
from hrcam.scan.volume import Volume, read_volume, to_sitk
from timing import alternate, ratio

VOLUME_IJK, SPACING = (256, 256, 180), (0.94, 0.94, 1.0)
OUTPUTS = ("map", "levels", "labels")
BATCH = 8

PARTS = {  # functions whose time, callees included, is what the profile shows; the last matching name wins
    "reading and checking the file": ("read_volume",),
    "checks of scan and model": ("check_volume", "assess_fit", "check_sequence"),
    "preparing (plane, scale)": ("plan_slices",),
    "slices, forward pass with evidence": ("forward:inference",),
    "map: up-sampling, fusing, back to the grid": ("join_planes",),
    "levels and regions": ("mark", "find_regions"),
    "hash of the input": ("content_hash",),
    "writing map, segmentation, labels, JSON": ("write_result",),
}


def head(size_ijk=VOLUME_IJK, spacing=SPACING):
    """A head-like volume with tissue in every slice, air and noise."""
    rng = np.random.default_rng(0)
    k, j, i = (np.linspace(-1, 1, n, dtype=np.float32) for n in reversed(size_ijk))
    radius = (0.7 * k[:, None, None]) ** 2 + (j[None, :, None] / 0.85) ** 2 + (i[None, None, :] / 0.7) ** 2
    array = np.where(radius < 1, 800 + 300 * np.sin(9 * radius), 20) + rng.normal(0, 15, radius.shape)
    return Volume(np.ascontiguousarray(array, np.float32), Geometry(size_ijk, (0.0, 0.0, 0.0), spacing, np.eye(3)),
                  "bench")


def model_or_untrained(name, folder):
    """The named bundle; where it is missing one like it: the time does not depend on the weights."""
    try:
        return load_bundle(name)
    except HRCAMError as error:
        print(f"{error} Timing an untrained network instead.")
    arguments = {"in_channels": 1, "num_classes": 4, "encoder_stride": 16, "finest_stride": 4, "width": 48}
    return save_bundle(folder / "untrained", HRCAM(build_network("lite0_pyramid", arguments), 4).eval(), {
        "name": "untrained", "version": "0.0.0", "title": "Untrained", "modality": "MR", "dimension": 2,
        "classes": [{"name": f"class_{n}", "pathology": n > 0} for n in range(4)], "temperature": 1.0,
        "intended_use": "Timing.", "architecture": {"name": "lite0_pyramid", "arguments": arguments},
        "input": {"planes": ["axial"], "size": [256, 256], "spacing_mm": 0.94, "intensity": {"kind": "percentile"}},
        "evidence_levels": [{"name": "possible", "threshold": 1e3, "color": [1, 1, 0]}],
    })


class Job:
    """One scan on disk, one model, warm networks."""

    def __init__(self, model, folder, size_ijk=VOLUME_IJK):
        self.folder = Path(folder)
        self.bundle = model_or_untrained(model, self.folder)
        self.scan = self.folder / "bench.nii.gz"
        volume = head(size_ijk)
        SimpleITK.WriteImage(to_sitk(volume.array.astype(np.int16), volume.geometry), str(self.scan))
        self.network = self.bundle.build()
        self.plan = plan_slices(volume, self.bundle)
        self.slices = self.plan.load(slice(0, self.plan.count))

    def warm_up(self, engine, precision):
        """Load the network, compile it, write every kind of file once: with four slices, whose map is returned."""
        volume = head((256, 256, 4))
        result = localize(volume, self.bundle, Options(device="cpu", engine=engine, precision=precision))
        write_result(result, volume, self.folder / "warm", OUTPUTS)
        return result.map

    def plain(self):
        """Forward passes alone, of slices that are ready, eager, fp32, contiguous."""
        with torch.inference_mode():
            for start in range(0, len(self.slices), BATCH):
                self.network.cnn(torch.from_numpy(self.slices[start:start + BATCH]))

    def whole(self, engine, precision="fp32"):
        """From the file to the saved results; processor seconds of reading, every stage together, and writing."""
        times = [time.process_time()]
        volume = read_volume(self.scan)
        times.append(time.process_time())
        result = localize(volume, self.bundle, Options(device="cpu", engine=engine, precision=precision))
        times.append(time.process_time())
        write_result(result, volume, self.folder, OUTPUTS)
        times.append(time.process_time())
        return dict(zip(("reading", "localizing", "writing"), np.diff(times).tolist(), strict=True))

    def profile(self, engine):
        """Processor time of the parts of a whole job, as shares; what no part claims is "other"."""
        recorder = cProfile.Profile(time.process_time)
        recorder.runcall(self.whole, engine)
        return _shares(pstats.Stats(recorder))


def measure(model, repeats):
    """The record of a whole job: ratios to the plain passes by engine, profile, and what was computed."""
    engines = {"PyTorch": ("torch", "fp32"), "OpenVINO": ("openvino", "fp32")}
    if _cpu_computes_bf16():
        engines |= {"PyTorch, bf16": ("torch", "bf16"), "OpenVINO, bf16": ("openvino", "bf16")}
    with tempfile.TemporaryDirectory() as folder:
        job = Job(model, folder)
        maps = {}
        for name, how in list(engines.items()):
            try:
                maps[name] = job.warm_up(*how)
            except ModelError as error:
                print(f"{name} left out: {error}")
                del engines[name]
        wanted, last = maps["PyTorch"], {}
        runs = {"plain": job.plain} | {
            name: lambda name=name, how=how: last.__setitem__(name, job.whole(*how)) for name, how in engines.items()}
        times = alternate(runs, repeats, warm_up=0)
        return {
            "model": f"{job.bundle.name} {job.bundle.version}", "slices": job.plan.count, "size_ijk": VOLUME_IJK,
            "plain_cpu_s": statistics.median(times["plain"]),
            "engines": {name: {"ratio": ratio(times, name, "plain"), "cpu_s": statistics.median(times[name]),
                               "difference": float(np.abs(maps[name] - wanted).max() / np.abs(wanted).max()),
                               **last[name]} for name in engines},
            "profile": {name: job.profile(how[0]) for name, how in engines.items()},
        }


def _shares(stats):
    """Cumulative time of each part's outermost function, without what other parts called inside it."""
    table = stats.stats
    total = sum(own for _, _, own, _, _ in table.values())
    shares = {}
    for part, names in PARTS.items():
        shares[part] = sum(
            cumulative for (path, _, name), (_, _, _, cumulative, _) in table.items()
            for wanted in names
            if name == wanted.split(":")[0] and "hrcam" in path and wanted.partition(":")[2] in path
        ) / total
    shares["other"] = max(0.0, 1.0 - sum(shares.values()))
    return shares
