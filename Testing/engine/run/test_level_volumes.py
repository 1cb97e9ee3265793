"""Maps of single levels: kept small, the same on the grid whenever they are looked up, from memory, files and disk."""

import numpy as np
import pytest
from hrcam.cam import level_maps
from hrcam.localize import Options, localize
from hrcam.run.level_volumes import read_level

PLANES = ("axial", "all")


@pytest.fixture(params=PLANES)
def result(request, bright_blob_bundle, blob_volume):
    options = Options(device="cpu", engine="torch", plane=request.param, fusion="sum", keep_levels=True)
    return localize(blob_volume(), bright_blob_bundle, options)


def test_levels_add_up_to_the_map_and_the_scan_is_not_kept(result):
    assert list(result.level_maps) and len(result.level_maps) == len(list(result.level_maps))
    np.testing.assert_allclose(sum(result.level_maps.values()), result.map, atol=1e-3)
    assert all(plan.volume.array.strides == (0, 0, 0) for plan in result.level_maps._plans)


def test_a_level_is_made_anew_at_each_look_and_nothing_of_it_stays(result):
    name = next(iter(result.level_maps))
    one, other = result.level_maps[name], result.level_maps[name]
    assert one is not other and np.array_equal(one, other)
    with pytest.raises(KeyError):
        result.level_maps["nothing"]


def test_a_level_comes_back_from_its_file_as_it_was(result, tmp_path):
    for name in result.level_maps:
        result.level_maps.write(name, tmp_path / "level.npz")
        np.testing.assert_array_equal(read_level(tmp_path / "level.npz"), result.level_maps[name])


def test_one_class_is_kept_of_many(bright_blob_bundle):
    rng = np.random.default_rng(0)
    logits, maps = np.zeros((5, 3), np.float32), rng.random((5, 3, 4, 4), np.float32)
    output = level_maps.Output(logits, (8, 8), (0, 1, 2), {"a": maps}, np.zeros(3, np.float32), lambda chosen: maps)
    kept = output.of_class(1)["a"]
    np.testing.assert_array_equal(kept[slice(0, 5)], maps[:, [1]])
    assert kept.base is None
