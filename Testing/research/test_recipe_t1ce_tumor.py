"""The recipe of `t1ce-tumor`: its parts on made-up heads, and all of it for a few steps."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("scipy")

from hrcam.bundle.bundle import load_bundle
from hrcam.errors import InputError
from hrcam.run.volume_rule import volume_logits
from hrcam.scan.checks import WARNING_SCORE
from hrcam.scan.statistics import distances, intensity_statistics
from hrcam_research.t1ce_tumor import training
from hrcam_research.t1ce_tumor.anatomy import find_sella
from hrcam_research.t1ce_tumor.bundle import input_ranges, write_bundle
from hrcam_research.t1ce_tumor.calibration import COMPOSED, TUMOR_SHARE, VOLUME_SLICES, _compose
from hrcam_research.t1ce_tumor.data import CLASSES, NORMAL, SIZE, Images
from hrcam_research.t1ce_tumor.healthy import Healthy, Source
from hrcam_research.t1ce_tumor.leave_one_out import before_the_volumes, leave_one_out
from hrcam_research.t1ce_tumor.network import OFFSET, EvidenceNetwork
from hrcam_research.t1ce_tumor.paired_crops import SIDE, _with_lesion, crops_loss, draw_crops
from hrcam_research.t1ce_tumor.pseudo import guided_filter, pseudo_label
from hrcam_research.t1ce_tumor.views import appear, pose
from hrcam_train.predict import Prediction
from hrcam_train.volume_rule import fit_volume_rule


def heads(count: int, seed: int, blob: bool) -> np.ndarray:
    """Noisy discs of "brain" on black, with a bright spot if `blob`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    images = np.where(np.hypot(x, y * 0.9) < 90, 0.45, 0.0) + 0.03 * rng.standard_normal((count, SIZE, SIZE))
    if blob:
        for image in images:
            cy, cx = rng.uniform(-50, 50, 2)
            image[np.hypot(x - cx, y - cy) < 14] += 0.5
    return np.clip(images, 0, 1.5).astype(np.float16)


def images_of(labels: list[int], seed: int = 0) -> Images:
    pixels = np.concatenate([heads(1, seed + n, label < 3) for n, label in enumerate(labels)])
    count = range(len(labels))
    planes = tuple(("ax", "co", "sa")[n % 3] for n in count)
    return Images(pixels, np.array(labels), tuple(f"P{n // 2}" for n in count), planes)


@pytest.fixture(scope="module")
def healthy() -> Healthy:
    return Healthy.of(images_of([2, 0, 2]), images_of([3] * 3, 10), images_of([3] * 3, 20), images_of([3, 0, 3], 50))


def test_healthy_slices_of_volumes_leave_out_tumors(healthy: Healthy) -> None:
    assert [len(source.pixels) for source in healthy.sources] == [3, 3, 2, 2]
    assert healthy.whole(np.random.default_rng(0), 5).shape == (5, SIZE, SIZE)


def test_whole_slices_are_drawn_with_a_tumor_and_without(healthy: Healthy) -> None:
    pairs = healthy.pairs(np.random.default_rng(0), 3)
    assert pairs.ill.shape == pairs.well.shape == (3, SIZE, SIZE) and set(pairs.types) <= {0, 1, 2}
    changed = np.abs(pairs.ill - pairs.well) > 0.02
    assert ((changed.mean((1, 2)) > 0) & (changed.mean((1, 2)) < 0.3)).all()


def test_slices_healthy_in_part_have_their_lesions_there(healthy: Healthy) -> None:
    upper = np.zeros((1, SIZE, SIZE), bool)
    upper[:, : SIZE // 2] = True
    partly = Healthy((Source(heads(1, 3, False), 1.0, upper),))
    rng = np.random.default_rng(0)
    for _ in range(3):
        background = partly.background(rng)
        changed = np.abs(_with_lesion(background, rng) - background.image) > 0.05
        assert changed.any() and changed[SIZE // 2 + 30 :].sum() < 0.1 * changed.sum()
    pairs = draw_crops(partly, np.random.default_rng(1), 4)
    assert pairs.unknown.any(), "the lower half teaches nothing"


@pytest.mark.parametrize(("plane", "sella"), [("ax", (110, 128)), ("co", (150, 128)), ("sa", (150, 140))])
def test_the_sella_is_looked_at_and_not_called_healthy(plane: str, sella: tuple[int, int]) -> None:
    found = find_sella(heads(1, 0, False)[0], plane)
    assert found.near[sella] and not found.healthy[sella]
    assert found.healthy[45, 128] or plane == "ax"
    assert not (found.near & found.healthy).any() and found.healthy.any()
    empty = find_sella(np.zeros((SIZE, SIZE)), plane)
    assert not empty.near.any() and not empty.healthy.any()


def test_pairs_differ_by_the_tumor_alone(healthy: Healthy) -> None:
    pairs = draw_crops(healthy, np.random.default_rng(0), 4)
    assert pairs.ill.shape[1:] == (1, SIDE, SIDE) and pairs.ill.shape == pairs.unknown.shape
    same = pairs.difference.amax(1) == 0
    assert 0.05 < same.float().mean() < 0.995
    assert (pairs.ill - pairs.well).abs()[:, 0][same].max() < 0.1 < (pairs.ill - pairs.well).abs().max()
    again = draw_crops(healthy, np.random.default_rng(0), 4)
    assert torch.equal(pairs.ill, again.ill)


def test_what_nobody_knows_teaches_nothing(healthy: Healthy) -> None:
    network = EvidenceNetwork(pretrained=False).eval()
    pairs = draw_crops(healthy, np.random.default_rng(0), 2)
    everywhere = replace(pairs, unknown=torch.ones_like(pairs.unknown))
    assert float(crops_loss(network, pairs).detach()) > 0.1
    assert float(crops_loss(network, everywhere).detach()) == 0


def test_pairs_keep_one_pose_and_one_appearance() -> None:
    image = heads(1, 0, True)
    seeds = np.array([7, 7])
    shown = appear(pose(np.concatenate([image, image]), seeds), seeds)
    assert torch.equal(shown[0], shown[1])


def test_pseudo_label_is_the_one_region_around_the_peak() -> None:
    y, x = np.mgrid[:48, :48]
    evidence = (4.0 * np.exp(-((x - 30) ** 2 + (y - 12) ** 2) / 20) + 2.5 * np.exp(-((x - 8) ** 2 + (y - 40) ** 2) / 20)
                - 3.0).astype(np.float32)  # fmt: skip
    found = pseudo_label(evidence, np.full((48, 48), 0.5, np.float32), 0.6)
    region = np.argwhere(found.labels == 1)
    assert np.hypot(*(region.mean(0) - [12, 30])) < 1
    assert found.labels[40, 8] == 0
    assert 0 < found.confidence < 1


def test_region_never_exceeds_the_largest_tumor() -> None:
    wide = np.full((48, 48), 1.0, np.float32)
    wide[24, 24] = 1.2
    found = pseudo_label(wide, np.full((48, 48), 0.5, np.float32), 0.55)
    assert (found.labels == 1).mean() < 0.05


def test_guided_filter_keeps_constants_and_follows_edges() -> None:
    image = torch.zeros(1, 1, 32, 32)
    image[..., 16:] = 1
    assert torch.allclose(guided_filter(torch.full((1, 32, 32), 2.0), image), torch.tensor(2.0), atol=1e-4)
    smeared = torch.sigmoid((torch.arange(32.0) - 15.5) / 3).expand(1, 32, 32)
    sharp = guided_filter(smeared.clone(), image)
    assert sharp[0, 16, 16] - sharp[0, 16, 15] > 2 * (smeared[0, 16, 16] - smeared[0, 16, 15])


def test_published_form_gives_the_same_logits_and_evidence() -> None:
    torch.manual_seed(0)
    network = EvidenceNetwork(pretrained=False).eval()
    hrcam = network.to_hrcam()
    x = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        pixels, logits, levels = network(x)
    hrcam.fusion = "sum"
    found = hrcam.evidence(x, classes=1, size=pixels.shape[2:])
    assert torch.allclose(found.logits[:, :3], logits, atol=1e-4)
    assert torch.allclose(sum(levels) / len(levels), pixels, atol=1e-4), "levels that speak for all, on average"
    assert torch.all(found.logits[:, 3] == 0)
    assert torch.allclose(found.maps[:, 0] / 40.0 - OFFSET, pixels[:, 1], atol=1e-4)


def test_unknown_patient_is_named() -> None:
    with pytest.raises(InputError, match="Known patients: P0, P1"):
        images_of([0, 1, 2, 3]).without("btp99")


def answers(rng, label, count):
    """Predictions of single slices, a patient each, that are mostly sure of their class."""
    certain = np.where(np.arange(4) == label, 4.0, 0.0)
    return [Prediction("c", f"p{label}{n}", label, np.array([label]), certain + rng.normal(0, 1, (1, 4)))
            for n in range(count)]  # fmt: skip


def test_what_every_real_scan_shows_does_not_make_a_volume_a_pituitary_tumor():
    rng = np.random.default_rng(0)
    said = [one for label in range(4) for one in answers(rng, label, 8)]
    pituitary, normal = CLASSES.index("pituitary"), CLASSES.index(NORMAL)
    plain = [np.where(np.arange(4) == normal, 4.0, 0.0) + rng.normal(0, 0.3, (20, 4)) for _ in range(4)]
    glands = [one.copy() for one in plain]
    for one in glands:
        one[:5] = np.where(np.arange(4) == pituitary, 2.0, 0.0) + rng.normal(0, 0.3, (5, 4))

    def called(around):
        volumes = list(_compose(said, around, np.random.default_rng(1)))
        rule = fit_volume_rule([logits for logits, _ in volumes], [label for _, label in volumes], [True] * 3 + [False])
        return int(volume_logits(glands[0], rule, [True] * 3 + [False]).argmax())

    assert called(plain) == pituitary and called(glands) == normal


def test_composed_volumes_lie_in_real_scans_every_second_time():
    rng = np.random.default_rng(0)
    said = [one for label in range(4) for one in answers(rng, label, 8)]
    around = [np.full((20, 4), 100.0 + n) for n in range(3)]
    volumes = list(_compose(said, around, rng))
    assert [label for _, label in volumes] == sorted([0, 1, 2, 3] * COMPOSED)
    for number, (logits, label) in enumerate(volumes):
        real = (logits >= 100).all(1)
        assert real.sum() == (20 if number % 2 else 0)
        share = 1 - (20 if number % 2 else VOLUME_SLICES) / len(logits)
        if label != CLASSES.index(NORMAL) and number % 2:
            assert TUMOR_SHARE[0] - 0.03 <= share <= TUMOR_SHARE[1] + 0.03
        elif number % 2:
            assert share == 0


def test_ranges_hold_what_any_source_taught():
    """Brains without skull taught among the normal slices: a scan of one is no stranger."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    far = np.hypot(rows - SIZE / 2, columns - SIZE / 2)
    rng = np.random.default_rng(0)

    def slices(count, scalp):
        noise = 0.05 * rng.standard_normal((count, SIZE, SIZE))
        image = np.where(far < 70, 0.5 + 0.003 * (columns - SIZE / 2), 0) + noise + scalp * ((far > 95) & (far < 105))
        return Images(np.clip(image, 0, 1.5).astype(np.float16), np.zeros(count, int), ("p",) * count, ("ax",) * count)

    def score(data, image):
        found = intensity_statistics(image.astype(np.float32))
        return max(distances(found, input_ranges(data)).values())

    heads, brains = slices(8, 1.4), slices(8, 0)
    stranger = slices(1, 0).pixels[0]
    assert score(training.TrainingData(heads, heads, heads, heads), stranger) > WARNING_SCORE
    assert score(training.TrainingData(heads, heads, brains, heads), stranger) < WARNING_SCORE


def test_recipe_runs_and_ends_in_a_bundle(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training, "EvidenceNetwork", lambda pretrained=False: EvidenceNetwork(pretrained=False))
    tumors, volumes = images_of([0, 1, 2] * 2), images_of([0, 3, 0, 3], 20)
    data = training.TrainingData(tumors, images_of([3] * 2, 40), images_of([3] * 2, 45), volumes)
    teacher = training.train(data, tmp_path / "run", training.Steps(1, 2, 1, 1))
    left_out = leave_one_out(data, tmp_path / "run", 0, seed=0)
    assert set(left_out["by_patient"]) == {"P0", "P1"}
    normals, before = images_of([3] * 4, 60), before_the_volumes(volumes, tmp_path / "run")
    assert 0 <= before <= 1
    present = {"before_t1ce_volumes": before}
    write_bundle(tmp_path / "t1ce-tumor", teacher.to_hrcam(), data, tumors, normals, volumes, "A few steps.", present)
    assert tuple(load_bundle(tmp_path / "t1ce-tumor").class_names) == CLASSES
    card = (tmp_path / "t1ce-tumor" / "MODEL_CARD.md").read_text()
    assert "Research use only" in card
    assert "CC BY 4.0" in card
    metadata = json.loads((tmp_path / "t1ce-tumor" / "metadata.json").read_text())
    assert metadata["metrics"]["tumor_present_before_t1ce_volumes_auc"] == before
    assert metadata["metrics"]["split"].startswith("t1ce_slices val (6 slices")
    assert set(metadata["metrics"]["level_rates_on_normals"]) == {"possible", "probable", "strong"}
