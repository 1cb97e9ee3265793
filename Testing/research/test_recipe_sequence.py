"""The recipe of the network for sequences: what is drawn and read, that a few steps run, how warnings are counted."""

import csv
from pathlib import Path

import hrcam_research.sequence
import numpy as np
import pytest
import torch
from hrcam.bundle.bundle import load_bundle
from hrcam.errors import InputError
from hrcam.scan.checks import WARNING_SCORE, assess_fit
from hrcam.scan.geometry import Geometry
from hrcam.scan.volume import volume_from_array
from hrcam.sequence.network import SEQUENCES
from hrcam.sequence.slices import SIZE
from hrcam_research.atlas.heads import LabeledHead as LabelMap
from hrcam_research.brain_lesion.contrasts import draw_means
from hrcam_research.brain_lesion.heads import LabeledHead
from hrcam_research.cut import cut_to_head
from hrcam_research.sequence.augment import augmented
from hrcam_research.sequence.evaluate import main as evaluate
from hrcam_research.sequence.generated import draw_slices, restored
from hrcam_research.sequence.real import Slices, no_tumor, real_slices
from hrcam_research.sequence.scans import draw_scan, known_scans
from hrcam_research.sequence.training import BATCH, draw_batch, train
from hrcam_research.sequence.unlike import unlike_scans
from hrcam_research.simulate.head import phantom_head
from hrcam_research.simulate.tissues import INDEX
from PIL import Image
from scipy.spatial.transform import Rotation

LISTED = Path(hrcam_research.sequence.__file__).with_name("no_tumor_sequences.csv")


@pytest.fixture(scope="module")
def drawn():
    head = phantom_head(np.random.default_rng(0), 160)
    center, extent = (tuple(v / s for v, s in zip(values, head.spacing_mm, strict=True))
                      for values in (head.center_mm, head.extent_mm))  # fmt: skip
    return draw_slices([LabeledHead(head.values, center, extent)], 24, 0)


@pytest.fixture
def data(tmp_path):
    """A folder with one slice of each kind that the list of `no_tumor` names, one that it does not, and a tumor."""
    rng = np.random.default_rng(0)
    with LISTED.open(newline="", encoding="utf-8") as file:
        one_of_each = {(row["sequence"], row["use"]): row["image"] for row in csv.DictReader(file)}
    for folder, images in (("no_tumor", ["other.jpg", *one_of_each.values()]), ("t1ce_slices", ["tumor.jpg"])):
        (tmp_path / folder / "images").mkdir(parents=True)
        with (tmp_path / folder / "slices.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "split"])
            for name in images:
                writer.writerow([f"images/{name}", "train"])
                picture = np.pad(rng.integers(80, 250, (90, 70)), 20).astype(np.uint8)
                Image.fromarray(picture).save(tmp_path / folder / "images" / name)
    return tmp_path


def test_the_list_of_real_slices_is_whole():
    with LISTED.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["image"] for row in rows}) == len(rows)
    assert {row["sequence"] for row in rows} == {"T1", "T1-CE", "FLAIR", "CT", "unsure"}
    assert all((row["use"] == "none") == (row["sequence"] == "unsure") for row in rows)


def test_unsure_and_held_slices_do_not_teach(data):
    known = no_tumor(data, "train")
    assert sorted(one.sequence for one in known) == ["CT", "FLAIR", "T1", "T1", "T1-CE"]
    assert sum(not one.named for one in known) == 1
    assert [one.sequence for one in no_tumor(data, "held")] == ["CT"]
    found = real_slices(data)
    assert [SEQUENCES[one.sequence] for one in found] == ["FLAIR", "T1", "CT", "T1-CE", "T1", "T1-CE"]
    assert all(one.pixels.shape == (1, SIZE, SIZE) for one in found)


def test_a_folder_without_the_slices_is_told(tmp_path):
    with pytest.raises(InputError, match="no_tumor"):
        no_tumor(tmp_path, "train")


def test_fluid_is_like_tissue_on_pd_and_dark_on_dwi():
    rng = np.random.default_rng(0)
    fluid = {s: np.mean([draw_means(rng, s)[0][INDEX["csf"]] for _ in range(50)]) for s in ("pd", "dwi", "t2")}
    assert fluid["dwi"] < 0.5 < 0.9 < fluid["pd"] < 1.7 < fluid["t2"]


def test_generated_slices_are_of_every_sequence_and_fill_the_size(drawn):
    assert drawn.pixels.shape == (24, SIZE, SIZE)
    assert len(set(drawn.sequences.tolist())) >= 4 and SEQUENCES.index("CT") not in drawn.sequences
    assert 0.9 <= restored(drawn.pixels).max() <= 1.5


def test_a_view_of_a_slice_holds_ranks(drawn):
    rng = np.random.default_rng(1)
    for changed in (False, True):
        view = augmented(rng, restored(drawn.pixels[0]), changed)
        assert view.shape == (SIZE, SIZE) and view.min() == 0.0 and 0.8 < view.max() <= 1.0


def test_a_few_steps_give_a_network_with_seven_answers(drawn):
    real = [Slices(restored(drawn.pixels[:2]).astype(np.float16), SEQUENCES.index("FLAIR"), 1.0)]
    images, sequences = draw_batch(np.random.default_rng(0), real, drawn)
    assert images.shape == (BATCH, 1, SIZE, SIZE) and len(sequences) == BATCH
    network = train(real, drawn, seed=0, steps=2)
    assert not network.training
    logits = network(images[:2])
    assert logits.shape == (2, len(SEQUENCES)) and bool(torch.isfinite(logits).all())


def test_a_generated_scan_has_thick_slices_and_no_telling_name():
    values = np.zeros((60, 60, 60), np.int16)
    values[10:50, 10:50, 10:50] = 3
    values[15:45, 15:45, 15:45] = 2
    head = LabelMap("head", values, Geometry((60, 60, 60), (-60.0, -60.0, -60.0), (2.0, 2.0, 2.0), np.eye(3)))
    scan = draw_scan(head, "FLAIR", (0, 0))
    assert scan.name == "scan" and scan.geometry.spacing[2] == 5.0 and scan.array.max() > 0


def test_warnings_are_counted_for_what_a_folder_has(data, capsys):
    assert [(name, sequence) for name, sequence, _ in known_scans(data)] == [("no_tumor, held", "CT")]
    evaluate(data, "t1ce-tumor", generated=False, unlike=False)
    printed = capsys.readouterr().out
    assert "| no_tumor, held | CT | 1 |" in printed and "| real scans | wrong | 1 |" in printed


def test_a_scan_cut_to_its_head_keeps_it_in_its_place(data, capsys):
    values = np.zeros((40, 50, 60), np.float32)
    values[10:30, 5:45, 20:50] = 7.0
    matrix = Rotation.from_euler("z", 20, degrees=True).as_matrix() * (1.0, 2.0, 3.0)
    whole = volume_from_array(values, np.block([[matrix, np.full((3, 1), 4.0)], [np.zeros((1, 3)), 1.0]]), "scan")
    tight = cut_to_head(whole)
    assert tight.array.shape == (20, 40, 30) and (tight.array == 7).all()
    assert np.allclose(tight.geometry.points_to_ras([[0, 0, 0]]), whole.geometry.points_to_ras([[20, 5, 10]]))
    assert np.allclose(tight.geometry.spacing, whole.geometry.spacing)
    assert cut_to_head(volume_from_array(0 * values, np.eye(4), "scan")).array.shape == values.shape
    evaluate(data, "t1ce-tumor", generated=False, unlike=False, cropped=True)
    assert "| no_tumor, held | CT | 1 |" in capsys.readouterr().out


def test_what_is_no_scan_of_a_head_is_warned_of(tmp_path):
    """Of each kind one; without data of their own, noise, phantoms, pictures and slices of other organs."""
    bundle, seen, warned = load_bundle("t1ce-tumor"), set(), 0
    for name, kind, volume in unlike_scans(tmp_path):
        if (name, kind) not in seen:
            seen.add((name, kind))
            assert volume.name == "scan" and volume.modality is None
            warned += assess_fit(volume, bundle).out_of_range_score > WARNING_SCORE
    assert {name for name, _ in seen} == {"noise", "phantom", "picture", "other organ"}
    assert warned >= len(seen) - 2
