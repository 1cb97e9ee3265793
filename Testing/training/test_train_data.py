"""Training data: folders and CSVs become cases, splits are by patient, and nothing leaks between them."""

import csv
import itertools
import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hrcam.bundle.bundle import Bundle
from hrcam.errors import InputError
from hrcam.scan.sampling import plan_slices
from hrcam.scan.volume import read_volume
from hrcam_train.config import parse_config
from hrcam_train.data import ImageExamples, SameSizeBatches, class_weights
from hrcam_train.paired import PairExamples, PatchExamples, draw_pair, draw_twins, split_heads, validation_pairs
from hrcam_train.prepare_cases import PreparedCase, prepare_cases
from hrcam_train.splits import check_splits, fold_patients, hold_out
from hrcam_train.table import LabeledCase, parse_slice_labels, read_cases
from PIL import Image
from train_data import disc, make_folder, settings, write

CLASSES = ["blob", "none"]


def write_csv(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def cases_of(*patients):
    """(label, patient) pairs to cases whose files need not exist."""
    return [LabeledCase(f"{p}-{n}", label, p) for n, (label, p) in enumerate(patients)]


def test_a_folder_gives_class_and_patient(tmp_path):
    make_folder(tmp_path, patients=2, slices=2)
    write(tmp_path / "none" / "single.nii.gz", disc(np.random.default_rng(), slices=2)[0])
    found = {(case.label, case.patient) for case in read_cases(tmp_path, CLASSES)}
    assert found == {("blob", "blob-0"), ("blob", "blob-1"), ("none", "none-0"), ("none", "none-1"), ("none", "single")}
    shorter = read_cases(tmp_path, CLASSES, r"^(\w+)")
    assert {case.patient for case in shorter} == {"blob", "none", "single"}
    with pytest.raises(InputError, match="does not match"):
        read_cases(tmp_path, CLASSES, r"^(\d+)")


def test_missing_classes_and_wrong_folders_are_named(tmp_path):
    make_folder(tmp_path, patients=2, slices=2)
    with pytest.raises(InputError, match="no case of cyst"):
        read_cases(tmp_path, [*CLASSES, "cyst"])
    with pytest.raises(InputError, match=r"none of the class folders x, y.*blob, none"):
        read_cases(tmp_path, ["x", "y"])
    with pytest.raises(InputError, match="no folder or CSV"):
        read_cases(tmp_path / "nowhere", CLASSES)


def test_all_wrong_lines_of_a_csv_are_listed(tmp_path):
    write(tmp_path / "a.nii.gz", disc(np.random.default_rng())[0])
    good = {"path": "a.nii.gz", "label": "blob", "patient": "1", "split": "val", "slice_label": ""}
    wrong = [
        good | {"path": "b.nii.gz"}, good | {"label": "lump"}, good | {"patient": " "}, good | {"split": "test"},
        good | {"slice_label": "3-x"},
    ]  # fmt: skip
    with pytest.raises(InputError) as error:
        read_cases(write_csv(tmp_path / "t.csv", [good, *wrong]), CLASSES)
    text = str(error.value)
    for words in ("5 wrong line", "line 3: there is no b.nii.gz", "line 4: label 'lump'", "line 5: path and patient",
                  "line 6: split 'test'", "line 7: slice_label '3-x'"):  # fmt: skip
        assert words in text
    with pytest.raises(InputError, match=r"lacks the column\(s\) patient"):
        read_cases(write_csv(tmp_path / "u.csv", [{"path": "a.nii.gz", "label": "blob"}]), CLASSES)
    with pytest.raises(InputError, match="twice"):
        read_cases(write_csv(tmp_path / "v.csv", [good, good | {"label": "none"}]), CLASSES)


def test_slice_labels():
    assert parse_slice_labels("2-4;7; none=0,9-10", "blob") == dict.fromkeys((2, 3, 4, 7), "blob") | dict.fromkeys(
        (0, 9, 10), "none"
    )
    with pytest.raises(ValueError, match="two labels"):
        parse_slice_labels("2-4;none=4", "blob")


def test_folds_keep_patients_whole_and_classes_balanced():
    cases = cases_of(*[(("a", "b")[p % 2], f"p{p}") for p in range(20) for _ in range(p % 3 + 1)])
    folds = fold_patients(cases, 5, seed=3)
    assert set.union(*folds) == {c.patient for c in cases} and sum(map(len, folds)) == 20
    for fold in folds:
        assert sorted(int(p[1:]) % 2 for p in fold) == [0, 0, 1, 1]
    assert folds == fold_patients(cases, 5, seed=3) != fold_patients(cases, 5, seed=4)


def test_too_few_patients_of_a_class_is_an_error_in_words():
    cases = cases_of(("a", "1"), ("a", "2"), ("b", "3"), ("b", "3"))
    with pytest.raises(InputError, match="at least 2 patients of each class, but b has 1"):
        hold_out(cases, 0.5, 0)
    with pytest.raises(InputError, match="but b has 1 outside fold 3"):
        hold_out(cases, 0.5, 0, " outside fold 3")


def test_a_given_split_is_kept_and_must_be_whole():
    cases = [LabeledCase(str(n), "a", str(n), split) for n, split in enumerate(["train", "validation", "train"])]
    training, validation = hold_out(cases, 0.5, 0)
    assert [c.patient for c in training] == ["0", "2"] and [c.patient for c in validation] == ["1"]
    with pytest.raises(InputError, match="say their split"):
        hold_out([*cases, LabeledCase("x", "a", "x")], 0.5, 0)


def test_leakage_of_patients_images_and_labels_is_refused():
    a, b, c = cases_of(("a", "1"), ("b", "2"), ("a", "3"))
    d = LabeledCase("d", "b", "1")
    clean = {a.path: "h1", b.path: "h2", c.path: "h3", "d": "h4"}
    check_splits({"training": [a, b], "validation": [c, LabeledCase("d", "b", "4")]}, clean, ["a", "b"])
    with pytest.raises(InputError, match=r"1 patient.*: 1"):
        check_splits({"training": [a, b], "validation": [c, d]}, clean, ["a", "b"])
    with pytest.raises(InputError, match=r"1-0 \(training\) = 3-2 \(validation\)"):
        check_splits({"training": [a, b], "validation": [c]}, clean | {c.path: "h1"}, ["a", "b"])
    with pytest.raises(InputError, match=r"1-0 \(a\) = 2-1 \(b\)"):
        check_splits({"training": [a, b]}, clean | {b.path: "h1"}, ["a", "b"])
    with pytest.raises(InputError, match="validation split has no case of b"):
        check_splits({"training": [a, b], "validation": [c]}, clean, ["a", "b"])


def test_slices_are_prepared_as_at_inference_once(tmp_path):
    path = write(tmp_path / "a.nii.gz", disc(np.random.default_rng(0), 40, 5)[0], (1.5, 1.5, 4.0))
    config = parse_config(settings())
    case = LabeledCase(path, "blob", "p", None, {1: "blob", 3: "none"})
    [prepared] = prepare_cases([case], config, tmp_path / "cache")
    assert prepared.labels.tolist() == [0, 1]
    plan = plan_slices(read_volume(path), Bundle(tmp_path, {"input": config.input.model_dump(mode="json")}))
    expected = plan.load(slice(0, 5))[[1, 3], 0]
    np.testing.assert_allclose(prepared.images, expected, atol=1e-3)
    kept = sorted((tmp_path / "cache").iterdir())
    before = [p.stat().st_mtime_ns for p in kept]
    prepare_cases([case], config, tmp_path / "cache")
    assert [p.stat().st_mtime_ns for p in sorted((tmp_path / "cache").iterdir())] == before


def test_pictures_are_cases_too(tmp_path):
    pixels = (disc(np.random.default_rng(0), 48, 1)[0][0]).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    [prepared] = prepare_cases([LabeledCase(tmp_path / "a.png", "blob", "p")], parse_config(settings()), tmp_path / "c")
    assert prepared.images.shape == (1, 32, 32)


def test_unreadable_scans_are_listed_together(tmp_path):
    good = write(tmp_path / "good.nii.gz", disc(np.random.default_rng(0))[0])
    (tmp_path / "cut.nii.gz").write_bytes(good.read_bytes()[:200])
    (tmp_path / "text.nii.gz").write_text("no image")
    cases = [LabeledCase(p, "blob", p.name) for p in sorted(tmp_path.glob("*.nii.gz"))]
    with pytest.raises(InputError, match=r"2 of 3 scans cannot be used: .*cut.nii.gz.*text.nii.gz"):
        prepare_cases(cases, parse_config(settings()), tmp_path / "cache")


def test_all_planes_and_steps(tmp_path):
    rng = np.random.default_rng(0)
    path = write(tmp_path / "a.nii.gz", disc(rng, 32, 32)[0], (2.0, 2.0, 2.0))
    everything = parse_config(settings(data__planes="all", data__slice_step=4))
    [prepared] = prepare_cases([LabeledCase(path, "blob", "p")], everything, tmp_path / "cache")
    assert 18 <= len(prepared.labels) <= 24 and prepared.size == (32, 32)


def prepared(name, label, count, size=(8, 8)):
    images = np.zeros((count, *size), np.float16)
    return PreparedCase(name, name, label, images, np.full(count, label))


def test_batches_hold_one_size_and_follow_the_seed():
    examples = ImageExamples([prepared("a", 0, 7), prepared("b", 1, 6, (8, 16)), prepared("c", 0, 4)])
    batches = SameSizeBatches(examples, 4, shuffle=True, seed=1)
    first = list(batches)
    assert sorted(itertools.chain(*first)) == list(range(17)) and len(batches) == len(first) == 5
    for batch in first:
        assert len({examples.sizes[n] for n in batch}) == 1
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0)
    assert list(batches) == first


def test_every_rank_takes_as_many_steps_and_together_they_see_all():
    examples = ImageExamples([prepared("a", 0, 17)])
    ranks = [list(SameSizeBatches(examples, 4, True, 1, rank, 2)) for rank in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == 3
    assert set(itertools.chain(*ranks[0], *ranks[1])) == set(range(17))


def test_class_weights_undo_imbalance():
    weights = class_weights([0] * 30 + [1] * 10, 2)
    assert weights.tolist() == pytest.approx([2 / 3, 2.0])


PAIRED = {
    "data__kind": "paired",
    "data__simulation": {"pairs_per_epoch": 3, "validation_pairs": 4, "phantoms": 3, "diameter_mm": [10.0, 30.0]},
    "input__size": [48, 48],
    "input__spacing_mm": 4.5,
    "input__planes": ["axial", "coronal"],
}


def test_pairs_differ_in_the_lesion_alone_and_are_new_each_epoch():
    config = parse_config(settings(**PAIRED))
    training, validation = split_heads(config)
    assert len(training) == 2 and len(validation) == 1
    assert {h().name for h in training}.isdisjoint(h().name for h in validation)
    examples = PairExamples(config, training)
    images, labels = examples[0]
    assert images.shape == (2, 48, 48) and labels.tolist() == [0, 1]
    changed = (images[0] - images[1]).abs() > 0.02
    assert 0 < changed.float().mean() < 0.3
    again, _ = examples[0]
    assert images.equal(again)
    examples.set_epoch(1)
    assert not examples[0][0].equal(images)
    cases = validation_pairs(config, validation)
    assert len(cases) == 8 and {c.label for c in cases} == {0, 1} and len({c.patient for c in cases}) == 1
    json.dumps(cases[0].statistics)


def test_crops_show_the_place_that_tells_a_pair_apart():
    simulation = PAIRED["data__simulation"] | {"patch": 16, "patches": 2}
    config = parse_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    training, validation = split_heads(config)
    examples = PatchExamples(config, training)
    images, labels = examples[0]
    assert images.shape == (4, 16, 16) and labels.tolist() == [0, 1] * 2
    assert examples.labels == [0, 1] * 2 * 3 and examples.sizes == [(16, 16)] * 3
    for n in (0, 2):
        assert (images[n] - images[n + 1]).abs().max() > 0.1, "the same place with and without"
    held = PatchExamples(config, validation, validate=True)
    first = held[1][0]
    held.set_epoch(3)
    assert len(held) == 4 and held[1][0].equal(first), "validation stays the same"
    with pytest.raises(InputError, match="larger than input"):
        parse_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation | {"patch": 64}}))
    with pytest.raises(InputError, match="set it to joint"):
        parse_config(settings(mode="two_stage", **PAIRED | {"data__simulation": simulation}))


def test_crops_from_elsewhere_show_healthy_head():
    simulation = PAIRED["data__simulation"] | {"patch": 16, "patches": 1, "elsewhere": 2}
    config = parse_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    heads = split_heads(config)[0]
    examples = PatchExamples(config, heads)
    (_, twin), _, _ = draw_pair(config, heads, (0, config.seed, 0, 0))
    images, labels = examples[0]
    assert images.shape == (4, 16, 16) and labels.tolist() == [0, 1, 1, 1]
    windows = np.lib.stride_tricks.sliding_window_view(twin, (16, 16))
    for crop in images[2:].numpy():
        assert (windows == crop).all((2, 3)).any(), "a part of the image without lesion"
        assert crop.max() > 0.05, "with head in it"


def test_crops_from_anywhere_show_other_slices_of_heads():
    simulation = PAIRED["data__simulation"] | {"patch": 16, "patches": 1, "elsewhere": 1, "anywhere": 3}
    config = parse_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    heads = split_heads(config)[0]
    examples = PatchExamples(config, heads)
    (_, twin), _, _ = draw_pair(config, heads, (0, config.seed, 0, 0))
    images, labels = examples[0]
    assert images.shape == (6, 16, 16) and labels.tolist() == [0, 1, 1, 1, 1, 1]
    assert examples.labels == [0, 1, 1, 1, 1, 1] * 3
    windows = np.lib.stride_tricks.sliding_window_view(twin, (16, 16))
    for crop in images[3:].numpy():
        assert not (windows == crop).all((2, 3)).any() and crop.max() > 0.05
    assert examples[0][0].equal(images), "the same seed, epoch and index"


def test_whole_images_follow_crops():
    simulation = PAIRED["data__simulation"] | {"patch": 16, "patches": 2, "elsewhere": 1, "clear_epochs": 1}
    config = parse_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    assert len(draw_twins(config, *split_heads(config)).lessons) == 1
    config = parse_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation | {"whole_epochs": 3}}))
    twins = draw_twins(config, *split_heads(config))
    (crops, _), (whole, validation) = twins.lessons
    first, second = crops.config, whole.config
    assert first is twins.config and crops.sizes[0] == (16, 16) and len(crops.labels) == 5 * 3
    assert second.train.epochs == 3 and second.train.learning_rate == first.train.learning_rate / 2
    for examples in (whole, validation):
        images, labels = examples[0]
        assert images.shape == (3, *config.input.size) and labels.tolist() == [0, 1, 1]
        assert not examples._clear(0)
    pair, _, _ = draw_pair(second, whole.heads, (0, config.seed, 0, 0))
    np.testing.assert_array_equal(whole[0][0][:2], pair)


def test_the_first_epochs_show_clear_lesions_alone():
    simulation = PAIRED["data__simulation"] | {"patch": 32, "clear_epochs": 2, "pairs_per_epoch": 10}
    config = parse_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    heads = split_heads(config)[0]
    examples = PatchExamples(config, heads)
    assert all(examples._clear(n) for n in range(10))
    examples.set_epoch(2)
    assert [examples._clear(n) for n in range(10)] == [True] * 3 + [False] * 7
    assert not PatchExamples(config, heads, validate=True)._clear(0)
    for n in range(4):
        (image, twin), _, _ = draw_pair(config, heads, (5, n), clear=True)
        assert np.abs(image - twin).max() > 0.2


def test_midbrain_pairs_are_volumes():
    config = parse_config(
        settings(
            dimension=3, input__size=[8, 64, 64], input__spacing_mm=[4.0, 1.2, 1.2], network={"name": "vgg_small"},
            data__kind="paired", data__simulation={"kind": "nigral_loss", "pairs_per_epoch": 1, "validation_pairs": 4},
        )
    )  # fmt: skip
    images, _ = PairExamples(config, split_heads(config)[0])[0]
    assert images.shape == (2, 8, 64, 64) and not images[0].equal(images[1])


def test_one_head_cannot_train_and_validate(tmp_path):
    image = sitk.GetImageFromArray(disc(np.random.default_rng(0), 32, 32)[0])
    sitk.WriteImage(image, str(tmp_path / "head.nii.gz"))
    with pytest.raises(InputError, match="has one head"):
        split_heads(parse_config(settings(**PAIRED | {"data__path": str(tmp_path)})))
