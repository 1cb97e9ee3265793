"""Fusion: what is added, what is kept, what a gate holds back."""

import pytest
import torch
from hrcam import ModelError
from hrcam.fusion import FUSIONS, fuse, upsample
from torch.nn import functional as F


def test_upsampling_uses_half_pixel_centers():
    # Weights worked out by hand for 2 → 4 with half-pixel centers: 1, 3/4, 1/4, 0.
    line = torch.tensor([[[[1.0, 0.0]]]])
    assert upsample(line, (1, 4)).flatten().tolist() == [1.0, 0.75, 0.25, 0.0]


@pytest.mark.parametrize(
    ("native", "size"), [((4, 6), (32, 48)), ((3, 4, 5), (12, 16, 10)), ((8, 8), (4, 2)), ((8, 6), (2, 6))]
)
def test_upsampling_keeps_the_mean_where_sizes_divide(native, size):
    m = torch.randn(2, 3, *native, dtype=torch.float64)
    torch.testing.assert_close(upsample(m, size).flatten(2).mean(2), m.flatten(2).mean(2))


def test_corner_aligned_upsampling_would_break_the_mean():
    m = torch.randn(1, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cornered = F.interpolate(m, size=(64, 64), mode="bilinear", align_corners=True)
    assert abs(float(cornered.mean() - m.mean())) > 1e-3


def test_a_constant_level_stays_constant():
    torch.testing.assert_close(upsample(torch.full((1, 1, 3, 3), 2.5), (10, 7)), torch.full((1, 1, 10, 7), 2.5))


def test_sum_adds_the_levels():
    fine, coarse = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(fuse([fine, coarse], (8, 8)), fine + upsample(coarse, (8, 8)))


def test_fusing_changes_no_level_map():
    maps = [torch.randn(1, 1, 8, 8), torch.randn(1, 1, 4, 4)]
    copies = [m.clone() for m in maps]
    for name in FUSIONS:
        fuse(maps, (8, 8), name)
    assert all(torch.equal(a, b) for a, b in zip(maps, copies, strict=True))


def test_gate_passes_fine_evidence_by_the_amount_of_coarse_evidence():
    fine = torch.full((1, 1, 1, 3), 2.0)
    coarse = torch.tensor([[[[-4.0, 1.0, 3.0]]]])
    # gates worked out by hand: 0, 1/2, 3/4
    torch.testing.assert_close(fuse([fine, coarse], (1, 3), "gated"), torch.tensor([[[[-4.0, 2.0, 4.5]]]]))


def test_gates_open_from_coarse_to_fine_through_all_levels():
    levels = [torch.ones(1, 1, n, n) for n in (8, 4, 2)]
    # worked out by hand: 1; 1 + 1/2 · 1 = 3/2; 3/2 + (3/2)/(5/2) · 1 = 21/10
    torch.testing.assert_close(fuse(levels, (8, 8), "gated"), torch.full((1, 1, 8, 8), 2.1))
    levels[2] = -levels[2]
    torch.testing.assert_close(fuse(levels, (8, 8), "gated"), torch.full((1, 1, 8, 8), -1.0))


def test_gated_completeness_error_is_what_the_gates_held_back():
    generator = torch.Generator().manual_seed(1)
    fine, coarse = (torch.randn(1, 1, n, n, dtype=torch.float64, generator=generator) for n in (8, 4))
    size = (8, 8)
    gate = upsample(coarse, size).relu() / (upsample(coarse, size).relu() + 1.0)
    held_back = ((1 - gate) * fine).mean()
    torch.testing.assert_close(
        fuse([fine, coarse], size).mean() - fuse([fine, coarse], size, "gated").mean(), held_back
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([torch.zeros(1, 1, 2, 2)], (4, 4), "product"), "no fusion 'product'.*sum, gated"),
        (([], (4, 4)), "no level"),
        (([torch.zeros(1, 1, 2, 2)], (4, 4, 4)), "does not fit.*Give 2 positive numbers"),
        (([torch.zeros(1, 1, 2, 2, 2)], (4, 4)), "does not fit.*Give 3 positive numbers"),
        (([torch.zeros(1, 1, 2, 2)], (4, 0)), "does not fit"),
    ],
)
def test_bad_requests_are_refused_in_words(arguments, message):
    with pytest.raises(ModelError, match=message):
        fuse(*arguments)
