"""Pairs that are generated on the fly, and the crops of them that stage one learns from."""

import json

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hrcam.errors import InputError
from hrcam_research.paired.config import PairedConfig
from hrcam_research.paired.crops import CropExamples, crop_stages
from hrcam_research.paired.pairs import PairExamples, draw_pair, split_heads, validation_pairs
from hrcam_train.config import parse_config
from train_data import disc, settings


def paired_config(raw):
    return parse_config(raw, kind=PairedConfig)


PAIRED = {
    "data__kind": "paired",
    "data__simulation": {"pairs_per_epoch": 3, "validation_pairs": 4, "phantoms": 3, "diameter_mm": [10.0, 30.0]},
    "input__size": [48, 48],
    "input__spacing_mm": 4.5,
    "input__planes": ["axial", "coronal"],
}


def test_pairs_differ_in_the_lesion_alone_and_are_new_each_epoch():
    config = paired_config(settings(**PAIRED))
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
    config = paired_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    training, validation = split_heads(config)
    examples = CropExamples(config, training)
    images, labels = examples[0]
    assert images.shape == (4, 16, 16) and labels.tolist() == [0, 1] * 2
    assert examples.labels == [0, 1] * 2 * 3 and examples.sizes == [(16, 16)] * 3
    for n in (0, 2):
        assert (images[n] - images[n + 1]).abs().max() > 0.1, "the same place with and without"
    held = CropExamples(config, validation, validate=True)
    first = held[1][0]
    held.set_epoch(3)
    assert len(held) == 4 and held[1][0].equal(first), "validation stays the same"
    with pytest.raises(InputError, match="larger than input"):
        paired_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation | {"patch": 64}}))
    with pytest.raises(InputError, match="set it to joint"):
        paired_config(settings(mode="two_stage", **PAIRED | {"data__simulation": simulation}))


def test_crops_from_elsewhere_show_healthy_head():
    simulation = PAIRED["data__simulation"] | {"patch": 16, "patches": 1, "elsewhere": 2}
    config = paired_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    heads = split_heads(config)[0]
    examples = CropExamples(config, heads)
    (_, counterpart), _, _ = draw_pair(config, heads, (0, config.seed, 0, 0))
    images, labels = examples[0]
    assert images.shape == (4, 16, 16) and labels.tolist() == [0, 1, 1, 1]
    windows = np.lib.stride_tricks.sliding_window_view(counterpart, (16, 16))
    for crop in images[2:].numpy():
        assert (windows == crop).all((2, 3)).any(), "a part of the image without lesion"
        assert crop.max() > 0.05, "with head in it"


def test_crops_from_anywhere_show_other_slices_of_heads():
    simulation = PAIRED["data__simulation"] | {"patch": 16, "patches": 1, "elsewhere": 1, "anywhere": 3}
    config = paired_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    heads = split_heads(config)[0]
    examples = CropExamples(config, heads)
    (_, counterpart), _, _ = draw_pair(config, heads, (0, config.seed, 0, 0))
    images, labels = examples[0]
    assert images.shape == (6, 16, 16) and labels.tolist() == [0, 1, 1, 1, 1, 1]
    assert examples.labels == [0, 1, 1, 1, 1, 1] * 3
    windows = np.lib.stride_tricks.sliding_window_view(counterpart, (16, 16))
    for crop in images[3:].numpy():
        assert not (windows == crop).all((2, 3)).any() and crop.max() > 0.05
    assert examples[0][0].equal(images), "the same seed, epoch and index"


def test_whole_images_follow_crops():
    simulation = PAIRED["data__simulation"] | {"patch": 16, "patches": 2, "elsewhere": 1, "clear_epochs": 1}
    config = paired_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    assert len(crop_stages(config, *split_heads(config)).stages) == 1
    config = paired_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation | {"whole_epochs": 3}}))
    counterparts = crop_stages(config, *split_heads(config))
    (crops, _), (whole, validation) = counterparts.stages
    first, second = crops.config, whole.config
    assert first is counterparts.config and crops.sizes[0] == (16, 16) and len(crops.labels) == 5 * 3
    assert second.train.epochs == 3 and second.train.learning_rate == first.train.learning_rate / 2
    for examples in (whole, validation):
        images, labels = examples[0]
        assert images.shape == (3, *config.input.size) and labels.tolist() == [0, 1, 1]
        assert not examples._clear(0)
    pair, _, _ = draw_pair(second, whole.heads, (0, config.seed, 0, 0))
    np.testing.assert_array_equal(whole[0][0][:2], pair)


def test_the_first_epochs_show_clear_lesions_alone():
    simulation = PAIRED["data__simulation"] | {"patch": 32, "clear_epochs": 2, "pairs_per_epoch": 10}
    config = paired_config(settings(mode="joint", **PAIRED | {"data__simulation": simulation}))
    heads = split_heads(config)[0]
    examples = CropExamples(config, heads)
    assert all(examples._clear(n) for n in range(10))
    examples.set_epoch(2)
    assert [examples._clear(n) for n in range(10)] == [True] * 3 + [False] * 7
    assert not CropExamples(config, heads, validate=True)._clear(0)
    for n in range(4):
        (image, counterpart), _, _ = draw_pair(config, heads, (5, n), clear=True)
        assert np.abs(image - counterpart).max() > 0.2


def test_midbrain_pairs_are_volumes():
    config = paired_config(
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
        split_heads(paired_config(settings(**PAIRED | {"data__path": str(tmp_path)})))
