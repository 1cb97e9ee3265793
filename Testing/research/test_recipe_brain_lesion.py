"""The recipe of `brain-lesion`: what is drawn, what the loss asks for, and that a few steps learn and are kept."""

import numpy as np
import pytest
import SimpleITK
import torch
from hrcam.bundle.bundle import load_bundle
from hrcam.localize import Options, localize
from hrcam.run.volume_rule import softmax, volume_logits
from hrcam.scan.sampling import plan_slices
from hrcam.scan.volume import to_sitk
from hrcam_research.brain_lesion import data, examples, left_out
from hrcam_research.brain_lesion.agreement import fit_agreement, strongest_agreement
from hrcam_research.brain_lesion.bundle import write_bundle
from hrcam_research.brain_lesion.calibration import POSSIBLE_SHARE, calibrate, compose, draw_examples, make_reference
from hrcam_research.brain_lesion.contrasts import SEQUENCES, draw_means
from hrcam_research.brain_lesion.examples import COARSE, FINE, UNEVEN, Material, Shares, draw_batch
from hrcam_research.brain_lesion.fields import blob, smooth_noise
from hrcam_research.brain_lesion.heads import LabeledHead, draw_head
from hrcam_research.brain_lesion.lesions import KINDS, add_lesion
from hrcam_research.brain_lesion.loss import evidence_loss, place_loss
from hrcam_research.brain_lesion.network import first_network, set_training
from hrcam_research.brain_lesion.real import Backgrounds, Tumors, draw_background
from hrcam_research.brain_lesion.real_scans import limited
from hrcam_research.brain_lesion.scanner import scan
from hrcam_research.brain_lesion.training import Stage, mean_of, update_mean
from hrcam_research.simulate.head import phantom_head
from hrcam_research.simulate.tissues import BRAIN, INDEX
from hrcam_research.t1ce_tumor.data import CLASSES, NORMAL, Images
from scipy import ndimage


@pytest.fixture(scope="module")
def head():
    drawn = phantom_head(np.random.default_rng(0), 224)
    center, extent = (tuple(v / s for v, s in zip(values, drawn.spacing_mm, strict=True))
                      for values in (drawn.center_mm, drawn.extent_mm))  # fmt: skip
    return LabeledHead(drawn.values, center, extent)


@pytest.fixture(scope="module")
def material(head):
    middle = head.tissues[112]
    image = np.zeros((256, 256), np.float16)
    image[16:240, 16:240] = draw_means(np.random.default_rng(0), "t1")[0][middle] / 2
    brain = np.zeros((256, 256), bool)
    brain[16:240, 16:240] = BRAIN[middle]
    healthy = np.ones_like(brain)
    healthy[150:] = False
    backgrounds = (
        Backgrounds(image[None], brain[None], "t1", 1.0),
        Backgrounds(image[None], brain[None], "t1ce", 1.0, healthy[None]),
    )
    seen = np.zeros((1, 256, 256), np.float16)
    seen[0, 100:120, 100:120] = 1
    return Material([head], backgrounds, Tumors(image[None], seen))


def test_smooth_noise_is_standard_and_has_no_finer_structure():
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_noise(rng, 96, 12) for _ in range(40)])
    assert abs(fields.mean()) < 0.1
    assert 0.7 < fields.std() < 1.4
    assert np.abs(np.diff(fields, axis=1)).max() < 1.0


def test_a_blob_has_the_area_asked_for_and_lies_where_asked():
    share = blob(np.random.default_rng(0), 96, (40.0, 60.0), 12, edge=1, roughness=0)
    assert abs(share.sum() - np.pi * 144) < 0.1 * np.pi * 144
    rows, columns = np.nonzero(share > 0.5)
    assert abs(rows.mean() - 40) < 1
    assert abs(columns.mean() - 60) < 1


def test_fluid_is_dark_on_flair_and_t1_and_bright_on_t2():
    rng = np.random.default_rng(0)
    fluid = {s: np.mean([draw_means(rng, s)[0][INDEX["csf"]] for _ in range(50)]) for s in SEQUENCES}
    assert fluid["flair"] < 0.6
    assert fluid["t1"] < 0.5
    assert fluid["t2"] > 1.5


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_lesion_changes_the_image_where_its_mask_is_and_can_be_seen(head, sequence):
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(6):
        ground = draw_head(rng, head, 128, 1.6, sequence)
        lesion = add_lesion(rng, ground)
        if lesion is None:
            continue
        found += 1
        change = np.abs(lesion.image - ground.image)
        assert lesion.kind in KINDS
        assert change[(lesion.mask > 0.5) & (lesion.weight > 0.5)].mean() > 0.08
        assert 0 <= lesion.mask.min() <= lesion.mask.max() <= 1
    assert found >= 3


def test_a_scanner_does_the_same_to_counterparts():
    rng = np.random.default_rng(0)
    image = np.abs(smooth_noise(rng, 96, 12))
    first, second = scan(rng, [image, image.copy()])
    np.testing.assert_array_equal(first, second)
    assert 0 <= first.min() <= first.max() <= 1.5


def test_a_lower_percentile_makes_a_slice_brighter():
    image = np.abs(smooth_noise(np.random.default_rng(0), 96, 12))
    usual, brighter = (scan(np.random.default_rng(1), [image], True, bright)[0] for bright in ((99.5, 99.5), (80, 80)))
    assert np.median(brighter) > np.median(usual)


def test_the_mean_of_models_is_between_them():
    models = [first_network(seed, begun_from=None) for seed in (0, 1)]
    mean = mean_of(models)
    first, second, between = (model.head.weight for model in (*models, mean))
    torch.testing.assert_close(between, (first + second) / 2)
    assert not torch.equal(first, second)


def test_an_encoder_begins_a_pyramid_of_any_width():
    former = load_bundle("simulated-lesion").build().cnn.state_dict()
    begun = first_network(0, "simulated-lesion", encoder_alone=True).cnn.state_dict()
    encoder = [name for name in begun if name.startswith("encoder.")]
    assert encoder and all(torch.equal(begun[name], former[name]) for name in encoder)
    random = first_network(0, begun_from=None).cnn.state_dict()
    assert {n: v.shape for n, v in begun.items()} == {n: v.shape for n, v in random.items()}


def some_images(label, names):
    pixels = np.full((len(names), 256, 256), 0.5, np.float16)
    return Images(pixels, np.full(len(names), CLASSES.index(label)), names, ("ax",) * len(names))


def test_all_sources_but_the_volumes_teach_and_two_heads_do_not(head, monkeypatch, tmp_path):
    monkeypatch.setattr(data, "read_heads", lambda *_: (head,) * (data.HELD_HEADS + 1))
    monkeypatch.setattr(data, "tumor_slices", lambda *_: some_images("pituitary", ("one",)))
    monkeypatch.setattr(data, "normal_slices", lambda *_, held: some_images(NORMAL, ("one",)))
    monkeypatch.setattr(data, "whole_heads", lambda _: some_images(NORMAL, ("T1POST", "T1")))
    monkeypatch.setattr(data, "flair_slices", lambda _: some_images(NORMAL, ("one",)).pixels)
    monkeypatch.setattr(data, "_seen", lambda tumors: Tumors(tumors.pixels, tumors.pixels))
    sources = data.load_sources(tmp_path, tmp_path)
    assert [one.sequence for one in sources.material.backgrounds] == ["any", "t1", "t1ce", "t1ce", "flair"]
    assert len(sources.material.heads) == 1 and len(sources.held_heads) == data.HELD_HEADS


def test_slices_without_tumor_of_the_given_volumes_are_one_source_more(material, monkeypatch):
    monkeypatch.setattr(data, "_brain", lambda image: np.ones(image.shape, bool))
    volumes = some_images(NORMAL, ("a", "a", "b"))
    volumes.labels[0] = CLASSES.index("glioma")
    assert len(data.with_volumes(material, volumes).backgrounds[-1].pixels) == 2
    seen = data.with_volumes(material, volumes.without("b"))
    assert len(seen.backgrounds) == len(material.backgrounds) + 1 and len(seen.backgrounds[-1].pixels) == 1


def test_each_patient_is_left_out_once_from_the_same_weights(material, monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(left_out, "with_volumes", lambda _, volumes: drawn.append(set(volumes.patients)))
    monkeypatch.setattr(left_out, "train", lambda hrcam, stage, material, out, seed: (hrcam, stage.name))
    volumes = some_images(NORMAL, ("a", "b", "c", "a"))
    trained = left_out.train_each(torch.nn.Linear(1, 1), material, volumes, tmp_path, 0)
    assert drawn == [{"b", "c"}, {"a", "c"}, {"a", "b"}, {"a", "b", "c"}]
    assert list(trained) == ["a", "b", "c", left_out.ALL]
    assert len({name for _, name in trained.values()}) == 4, "a folder holds the weights of each"
    assert len({id(hrcam) for hrcam, _ in trained.values()}) == 4, "none goes on from another's"


def test_a_batch_holds_twins_then_slices_without_then_tumors(material):
    shares, view = Shares(generated=1, real=2, tumors=1, anywhere=1), COARSE
    batch = draw_batch(np.random.default_rng(0), material, shares, view)
    assert batch.images.shape == batch.target.shape == (8, COARSE.size, COARSE.size)
    assert batch.ill.tolist() == [1, 0, 1, 0, 1, 0, 0, 1]
    assert all(batch.target[n].max() > 0.5 for n in (0, 2, 4, 7))
    assert all(batch.target[n].max() < 0.5 for n in (1, 3, 5, 6))
    unsure = [n for n in (3, 5) if batch.target[n].any()]
    assert all(batch.label_weight[n] == 0 for n in unsure), "a slice with a tumor of its own is not called healthy"


def test_the_last_stage_draws_bare_heads_of_any_height_and_its_share_of_thin_t1(material, monkeypatch):
    drawn, sources = [], []
    monkeypatch.setattr(examples, "draw_head", lambda *given: drawn.append(given[-2:]) or draw_head(*given))
    monkeypatch.setattr(examples, "draw_background", lambda *given: sources.append(given[1]) or draw_background(*given))
    draw_batch(np.random.default_rng(1), material, Shares(1, 1, 0, 8, thin_t1=3.0, bare=0.5), UNEVEN)
    assert {tilt for tilt, _ in drawn} == {UNEVEN.tilt} and 0 < sum(bare for _, bare in drawn) < 8
    assert [one.share for one in sources[0]] == [3.0, 1.0], "T1 alone has another share"
    ground = draw_head(np.random.default_rng(0), material.heads[0], 96, 2.0, "t1", 1.9, bare=True)
    assert ground.stripped and not ground.image[~ndimage.binary_dilation(ground.brain, iterations=4)].any()


def test_coils_shade_as_much_as_asked():
    def unevenness(shade):
        images = (scan(np.random.default_rng(n), [np.ones((96, 96), np.float32)], shade=shade)[0] for n in range(12))
        return np.median([np.std(ndimage.uniform_filter(one, 15)) for one in images])

    assert unevenness(0.5) > 1.5 * unevenness(0.0)


def test_the_loss_is_least_where_evidence_is_where_the_lesion_is():
    target = torch.zeros(1, 16, 16)
    target[0, 4:8, 4:8] = 1
    weight = torch.ones_like(target)
    right, silent, wrong = (6 * (2 * t - 1) for t in (target, torch.zeros_like(target), target.roll(8, 2)))
    losses = [float(place_loss(odds, target, weight)) for odds in (right, silent, wrong)]
    assert losses[0] < losses[1] < losses[2]


def test_steps_of_training_lower_the_loss(material):
    torch.manual_seed(0)
    batch = draw_batch(np.random.default_rng(3), material, Shares(1, 0, 0, 0), FINE)
    images, target, weight, ill, label_weight = (torch.from_numpy(part).float() for part in batch)
    hrcam = first_network(begun_from=None)
    set_training(hrcam)
    optimizer = torch.optim.AdamW([p for p in hrcam.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(8):
        loss, parts = evidence_loss(hrcam, images[:, None], target, weight, ill, label_weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(parts["loss"])
    assert losses[-1] < losses[0]
    assert not hrcam.cnn.get_submodule("encoder").training


def test_a_stage_rises_rests_and_falls():
    stage = Stage("one", 1000, 1e-3, 0.4, Shares())
    rates = [stage.rate_at(step) for step in (0, 100, 500, 800, 999)]
    assert rates[0] < 1e-4
    assert rates[1] == rates[2] == pytest.approx(1e-3)
    assert rates[2] > rates[3] > rates[4]


def test_the_running_mean_lags_behind():
    mean, now = first_network(0, begun_from=None), first_network(1, begun_from=None)
    before, after = (n.head.weight.detach().clone() for n in (mean, now))
    update_mean(mean, now, 10_000)
    torch.testing.assert_close(mean.head.weight, before + 0.005 * (after - before))


def test_the_lesions_map_holds_all_that_was_learnt_and_logits_say_what_the_fit_said(head):
    examples = draw_examples([head], pairs=4)
    hrcam = first_network(begun_from=None).eval()
    hrcam.fusion = "guided"  # linear in the evidence, so that maps of differences are differences of maps
    torch.nn.init.normal_(hrcam.head.weight, 0, 0.1)  # as after training, where neither class is 0
    image = torch.from_numpy(examples.prepared().ill[:1])[:, None]
    before = hrcam.evidence(image).maps
    make_reference(hrcam)
    torch.testing.assert_close(
        hrcam.evidence(image, classes=0).maps, before[:, :1] - before[:, 1:], rtol=1e-3, atol=1e-3
    )
    found = calibrate(hrcam, examples, examples.well[:2])
    assert (hrcam(image)[:, 1] == 0).all()
    assert found.withholding["above"] == 0.5, "the answer and the marks have one limit"
    shares = [level.of_peak for level in found.levels]
    assert shares == sorted(shares) and shares[0] == pytest.approx(POSSIBLE_SHARE**2), "maps are squared"


def test_composed_volumes_with_a_lesion_hold_some_of_its_slices():
    volumes = list(compose(np.full((9, 2), 5.0), [np.zeros((9, 2))], np.random.default_rng(0)))
    assert {label for _, label in volumes} == {0, 1}
    assert all((logits == 5).any() == (label == 0) for logits, label in volumes)


def test_a_network_becomes_a_bundle_that_loads(head, tmp_path):
    rng = np.random.default_rng(0)
    examples = draw_examples([head], pairs=4)
    normals = np.stack([np.clip(scan(rng, [draw_head(rng, head, 256, 0.94, "t1").image])[0], 0, 1) for _ in range(2)])
    write_bundle(tmp_path / "brain-lesion", first_network(begun_from=None), examples, normals, "A test.")
    bundle = load_bundle(tmp_path / "brain-lesion")
    assert bundle.class_names == ("lesion", "no_lesion")
    evidence = bundle.build().evidence(torch.from_numpy(examples.ill[:1])[:, None])
    torch.testing.assert_close(
        evidence.maps.mean((2, 3)) + bundle.build().head.bias, evidence.logits, rtol=1e-3, atol=1e-3
    )


def test_the_limit_is_chosen_on_scans_with_and_without_a_lesion():
    def scans(top):
        return [np.stack([np.r_[np.full(18, -1.0), top + shift, top + shift], np.zeros(20)], 1)
                for shift in np.linspace(-0.3, 0.3, 12)]  # fmt: skip

    strict = {"kind": "top_mean", "fraction": 0.1, "temperature": 1.0, "bias": [-1.6, 1.6]}
    told = limited(scans(3.0) + scans(0.5), [True] * 12 + [False] * 12, strict)
    assert told["withholding"] == {"above": 0.5, "pathology_withheld": 0.0, "normal_shown": 0.0, "scans": 24}
    chances = [softmax(volume_logits(one, told["volume_rule"], (True, False)))[0] for one in scans(3.0) + scans(0.5)]
    assert min(chances[:12]) > 0.5 > max(chances[12:])


def test_planes_must_agree_on_a_little_more_than_any_healthy_head_holds():
    told = fit_agreement([400.0, 60.0, 50.0, 95.0], [True, False, True, False], [10.0, 80.0])
    assert told["limit"] == 88.0 and told["scans"] == 6
    assert (told["pathology_withheld"], told["normal_shown"]) == (0.5, 0.25)
    odds = np.log(np.array([400.0, 60.0, 50.0, 95.0, 10.0, 80.0]) / 88.0)

    def loss(temperature):
        return np.log1p(np.exp(-odds * np.array([1, -1, 1, -1, -1, -1]) / temperature)).mean()

    assert loss(told["temperature"]) <= min(loss(0.9 * told["temperature"]), loss(1.1 * told["temperature"]))


def test_the_strongest_agreement_of_a_scan_is_read_off_its_probability(bright_blob_bundle, blob_volume, tmp_path):
    scan = blob_volume()
    SimpleITK.WriteImage(to_sitk(scan.array, scan.geometry), str(tmp_path / "scan.nii.gz"))
    plans = [plan_slices(scan, bright_blob_bundle, plane) for plane in ("axial", "coronal", "sagittal")]
    maps = [localize(scan, bright_blob_bundle, Options(device="cpu", plane=plan.plane)).map for plan in plans]
    strongest = float(np.cbrt(np.prod(np.maximum(maps, 0), axis=0)).max())
    assert strongest_agreement(bright_blob_bundle, [tmp_path / "scan.nii.gz"]) == pytest.approx([strongest], rel=3e-3)
