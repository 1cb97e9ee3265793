"""Which files and statements of the engine Slicer's panel and batch script use: both are asked for everything, once.

    python Testing/release/used_in_slicer.py

Files that only run inside Slicer (`worker/`, `output/scene_nodes.py` and its colors) are left out of the count.
"""

import sys
import tempfile
from pathlib import Path

import coverage

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = REPOSITORY / "HRCAMExtension"
SAMPLE = REPOSITORY / "HRCAMModule" / "Resources" / "SampleData" / "HRCAMSyntheticTumor.nrrd"
INSIDE_SLICER = ("hrcam/worker/", "hrcam/output/scene_nodes.py", "hrcam/output/evidence_colors.py")
sys.path[:0] = [str(ENGINE), str(REPOSITORY / "Testing" / "cmake")]

from package_lists import files_to_package  # noqa: E402


def use_everything(folder: Path) -> None:
    """Localize with kept levels, test faithfulness, name places, export every kind, run a batch, compare two dates."""
    import numpy as np
    import SimpleITK
    from hrcam.batch import run_batch
    from hrcam.bundle import DEFAULT_MODEL, install_bundle, list_bundles, load_bundle
    from hrcam.compare import compare, write_comparison
    from hrcam.localize import Options, localize
    from hrcam.output.writers import DEFAULT_OUTPUTS, DICOM_OUTPUTS, write_result
    from hrcam.scan import read_volume, to_sitk, volume_from_array

    whole = read_volume(SAMPLE)
    middle = whole.array.shape[0] // 2
    scan = volume_from_array(whole.array[middle - 4 : middle + 4], whole.geometry.ijk_to_ras, "scan")
    later = volume_from_array(np.roll(scan.array, 1, axis=2), scan.geometry.ijk_to_ras, "later")
    bundle = load_bundle(DEFAULT_MODEL)
    install_bundle(bundle.path, folder / "models")
    assert list_bundles()
    options = Options(device="cpu", keep_levels=True, faithfulness=True, place=True)
    write_result(localize(scan, bundle, options), scan, folder / "out", [*DEFAULT_OUTPUTS, *DICOM_OUTPUTS])
    scans = folder / "scans"
    scans.mkdir()
    for name in ("a.nii.gz", "b.nrrd"):
        SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(scans / name))
    assert run_batch([str(scans)], bundle, folder / "batch", Options(device="cpu"), ["map", "overview"]).exit_code == 0
    write_comparison(compare(scan, later, bundle, Options(device="cpu")), folder / "comparison")


if __name__ == "__main__":
    measured = coverage.Coverage(data_file=None, source=[str(ENGINE / "hrcam")])
    with tempfile.TemporaryDirectory() as temporary, measured.collect():
        use_everything(Path(temporary))
    counts = {}
    for file in files_to_package(ENGINE)[0]:
        if not file.startswith(INSIDE_SLICER):
            _, statements, _, missing, _ = measured.analysis2(str(ENGINE / file))
            counts[file] = len(statements), len(statements) - len(missing)
    idle = [file for file, (there, run) in counts.items() if there and not run]
    print(f"{len(counts) - len(idle)} of {len(counts)} files run, {sum(run for _, run in counts.values()):,} of "
          f"{sum(there for there, _ in counts.values()):,} statements; not run: {', '.join(idle) or 'none'}")
