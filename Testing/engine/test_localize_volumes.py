"""3D models: the whole volume at once, in windows where it is large, and smaller windows when memory runs out."""

import dataclasses

import numpy as np
import pytest
from bright_blob import BLOB_METADATA
from corpus.make import KINDS
from hrcam.cli import app as cli
from hrcam.errors import Cancelled, InputError, ModelError
from hrcam.localize import Options, localize
from hrcam.run.level_volumes import read_level

torch = pytest.importorskip("torch")
CPU = Options(device="cpu", engine="torch")
WINDOW = 64 * 64 * 96
"""Voxels; `scan` becomes a network's input of 64 x 64 x 160."""
OUT_OF_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."


def save(folder, name, edit=lambda network: None, size=(48, 64, 64), **arguments):
    from hrcam import HRCAM, save_bundle
    from hrcam.networks.registry import build_network

    arguments = {"width": 2, "stages": 2, "depth": 1, "num_classes": 2, "dims": 3, **arguments}
    torch.manual_seed(0)
    network = HRCAM(build_network("vgg_small", arguments), num_classes=2)
    edit(network)
    metadata = {**BLOB_METADATA, "name": name, "dimension": 3,
                "input": {**BLOB_METADATA["input"], "size": list(size), "spacing_mm": [1.0, 1.0, 1.0]},
                "architecture": {"name": "vgg_small", "arguments": arguments}}
    return save_bundle(folder / name, network.eval(), metadata)


def bright(network):
    """Evidence where it is brighter than tissue."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        stage = network.cnn.stages[0][0]
        stage[0].weight[0, 0, 1, 1, 1] = 1.0
        stage[1].weight.fill_((1 + stage[1].eps) ** 0.5)
        stage[1].bias[0] = -1.1
        network.head.weight[0, 0] = 300.0


@pytest.fixture(scope="module")
def random_bundle(tmp_path_factory):
    """Weights that mix all neighbors at both levels: a seam between windows would show."""
    return save(tmp_path_factory.mktemp("models"), "random-3d", size=(64, 64, 64))


@pytest.fixture(scope="module")
def scan(blob_volume):
    return blob_volume((140, 40, 40), (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def whole(random_bundle, scan):
    return localize(scan, random_bundle, CPU)


def test_a_3d_model_sees_the_whole_volume(tmp_path, blob_volume):
    bundle = save(tmp_path, "blob-3d", bright)
    scan = blob_volume((48, 52, 22), (1.0, 1.0, 2.0), np.diag([-1.0, 1.0, -1.0]))
    found = localize(scan, bundle, Options(device="cpu"))
    assert found.plane == "volume" and found.predicted == "lesion"
    assert np.linalg.norm(np.subtract(found.regions[0].centroid_ras, (6, -5, 4))) < 1.0
    assert len(found.slices) == 22 and found.completeness_error < 1e-3
    with pytest.raises(InputError, match="whole volume"):
        localize(scan, bundle, dataclasses.replace(CPU, plane="axial"))


def same(found, whole):
    scale = np.abs(whole.map).max()
    assert scale > 0 and np.abs(found.map - whole.map).max() <= 1e-5 * scale
    assert found.probabilities == pytest.approx(whole.probabilities, abs=1e-4)
    assert found.completeness_error < 1e-4 * max(1.0, scale)


def test_a_large_volume_in_windows_gives_what_one_pass_gives(random_bundle, scan, whole, monkeypatch):
    from hrcam.run import windows

    calls, real = [], windows.windowed_maps
    monkeypatch.setattr(windows, "windowed_maps", lambda *a: calls.append(a[2]) or real(*a))
    monkeypatch.setattr(windows, "LARGEST_VOLUME", WINDOW)
    told = []
    found = localize(scan, random_bundle, CPU, lambda *one: told.append(one))
    same(found, whole)
    assert calls[0].voxels <= WINDOW and not found.warnings
    within = [share for stage, share in told if stage == "Computing"]
    assert len(within) > 2 and within == sorted(within), "progress between windows"


def test_windows_can_be_cancelled_between(random_bundle, scan, monkeypatch):
    from hrcam.run import windows

    monkeypatch.setattr(windows, "LARGEST_VOLUME", WINDOW)
    reached = []
    with pytest.raises(Cancelled):
        localize(scan, random_bundle, CPU, lambda stage, share: reached.append(share),
                 lambda: bool(reached) and 0.1 < reached[-1] < 0.85)
    assert reached[-1] < 0.85


def test_windows_under_openvino_are_computed_by_torch_and_that_is_said(random_bundle, scan, whole, monkeypatch):
    pytest.importorskip("openvino")
    from hrcam.run import windows

    monkeypatch.setattr(windows, "LARGEST_VOLUME", WINDOW)
    found = localize(scan, random_bundle, dataclasses.replace(CPU, engine="openvino"))
    same(found, whole)
    assert found.provenance["engine"] == "torch"
    assert any("OpenVINO was not used" in warning for warning in found.warnings)


def test_a_large_volume_that_cannot_be_cut_goes_in_one_piece_and_too_little_memory_is_explained(
    tmp_path, blob_volume, monkeypatch
):
    from hrcam import HRCAM
    from hrcam.run import windows

    monkeypatch.setattr(windows, "LARGEST_VOLUME", 1000)
    large, uneven = blob_volume((48, 52, 22), (1.0, 1.0, 2.0)), save(tmp_path, "uneven", bright)
    found = localize(large, uneven, CPU)
    assert found.predicted == "lesion" and not any("piece" in warning for warning in found.warnings)

    def failing(self, x, *rest):
        raise RuntimeError(OUT_OF_MEMORY)

    monkeypatch.setattr(HRCAM, "native_maps", failing)
    with pytest.raises(ModelError, match=r"not enough memory.*cannot be cut.*in one piece"):
        localize(large, uneven, CPU)


def test_when_memory_runs_out_a_volume_goes_on_in_windows_until_it_fits(random_bundle, scan, whole, monkeypatch):
    from hrcam import HRCAM

    asked, real = [], HRCAM.native_maps

    def limited(self, x, *rest):
        asked.append(x[0, 0].numel())
        if x.device.type == "cpu" and x.dtype == torch.float32 and asked[-1] > WINDOW:
            raise RuntimeError(OUT_OF_MEMORY)
        return real(self, x, *rest)

    monkeypatch.setattr(HRCAM, "native_maps", limited)
    same(localize(scan, random_bundle, CPU), whole)
    assert asked[0] > WINDOW >= asked[-1]


def test_when_even_the_smallest_window_is_too_large_that_is_said(random_bundle, scan, monkeypatch):
    from hrcam import HRCAM

    real = HRCAM.native_maps

    def failing(self, x, *rest):
        if x.dtype == torch.float32:
            raise RuntimeError(OUT_OF_MEMORY)
        return real(self, x, *rest)

    monkeypatch.setattr(HRCAM, "native_maps", failing)
    with pytest.raises(ModelError, match="not enough memory"):
        localize(scan, random_bundle, CPU)


@pytest.mark.parametrize("kind", ["picture_gray_png", "nifti_one_slice", "dicom_one_slice"])
def test_a_single_slice_is_refused_in_one_sentence_and_leaves_nothing(kind, tmp_path, capsys):
    """Padded to a volume it would get an answer all the same."""
    scan = KINDS[kind].make(tmp_path)
    out = tmp_path / "out"
    code = cli.main(["localize", str(scan), "--model", "nm-parkinson-simulated", "--out", str(out), "--device", "cpu"])
    heard = capsys.readouterr()
    assert code == 1 and heard.out == ""
    assert " ".join(heard.err.split()).endswith(
        "is a single slice, but the model reads whole volumes. Give the whole scan, or choose a 2D model.")
    assert heard.err.count("Error:") == 1 and not out.exists()


def test_levels_of_a_volume_add_up_and_come_back_from_their_files(random_bundle, scan, tmp_path):
    found = localize(scan, random_bundle, dataclasses.replace(CPU, keep_levels=True, fusion="sum"))
    np.testing.assert_allclose(sum(found.level_maps.values()), found.map, atol=1e-3)
    for name, level in found.level_maps.items():
        found.level_maps.write(name, tmp_path / "level.npz")
        np.testing.assert_array_equal(read_level(tmp_path / "level.npz"), level)
