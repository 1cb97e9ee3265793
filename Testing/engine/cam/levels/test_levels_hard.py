"""Networks that make their levels hard to find, and maps that could not be placed on the image."""

from collections import OrderedDict

import architectures as zoo
import pytest
import torch
from hrcam import HRCAM, ModelError, find_levels
from hrcam.cam.levels.find import resolve_levels
from torch import nn
from torch.nn import functional as F


def names(levels):
    return [level.name for level in levels]


class Two(nn.Module):
    """Two strided stages; what is between them and what comes out is for others to say."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = zoo.unit(2, 1, 4, stride=2), zoo.unit(2, 4, 8, stride=2), nn.Linear(8, 2)

    def between(self, x):
        return x

    def forward(self, x):
        return self.fc(self.b(self.between(self.a(x))).mean((2, 3)))


def test_a_map_that_is_padded_beyond_the_image_is_passed_over():
    """Context of 8 voxels, 10 with its border: squeezed onto the image it would lose its mean, too."""

    class Context(Two):
        def __init__(self):
            super().__init__()
            self.pool, self.squeeze = nn.MaxPool2d(4), nn.Conv2d(4, 4, 1, padding=1)

        def between(self, x):
            return x + F.interpolate(self.squeeze(self.pool(x)), size=x.shape[2:])

    torch.manual_seed(0)
    hrcam = HRCAM(Context().double(), 2, example=torch.zeros(1, 1, 64, 64).double()).eval()
    assert [(level.name, level.size[0]) for level in hrcam.levels] == [("b:input", 32), ("b", 16), ("pool", 8)]
    evidence = hrcam.evidence(torch.randn(1, 1, 64, 64).double())
    torch.testing.assert_close(evidence.maps.mean((2, 3)) + hrcam.head.bias, evidence.logits, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("side", [100, 200, 512])
def test_a_head_of_a_size_that_nobody_guesses_is_not_needed(side):
    fixed = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * (side // 8) ** 2, 2),
    )  # fmt: skip
    assert names(find_levels(fixed)) == ["1", "3", "4"]
    assert HRCAM(fixed, 2).eval().evidence(torch.zeros(1, 1, 50, 70)).maps.shape == (1, 2, 50, 70)


def test_a_run_that_fails_before_the_last_convolution_is_an_error():
    class Early(Two):
        def between(self, x):
            return x * torch.sigmoid(nn.functional.linear(x.flatten(1), torch.zeros(1, 7)))

    with pytest.raises(ModelError, match=r"accepts none of the inputs tried.*example="):
        find_levels(Early())


@pytest.mark.parametrize("pack", [
    lambda logits, maps: {"maps": maps, "class": logits},
    lambda logits, maps: (maps, logits),
    lambda logits, maps: OrderedDict(side=maps[0], out=logits[:, :, None, None]),
])  # fmt: skip
def test_logits_are_found_in_whatever_a_network_returns(pack):
    class Packs(Two):
        def forward(self, x):
            a = self.a(x)
            b = self.b(a)
            return pack(self.fc(b.mean((2, 3))), [F.interpolate(a, scale_factor=2), F.interpolate(b, scale_factor=2)])

    assert names(find_levels(Packs())) == ["a", "b"]


def test_a_cut_keeps_the_resolution():
    class Margins(Two):
        def between(self, x):
            return x[:, :, 8:-8, 8:-8]

    assert [level.stride for level in find_levels(Margins())] == [(2.0, 2.0), (4.0, 4.0)]

    class Halves(Two):
        def between(self, x):
            left, right = x.chunk(2, 3)
            return torch.cat([left.sigmoid(), right.tanh()], 3)

    assert [level.stride for level in find_levels(Halves())] == [(2.0, 2.0), (4.0, 4.0)]


class Cut(Two):
    def between(self, x):
        return x[..., : x.shape[3] // 2]


class Mirrored(Two):
    def between(self, x):
        return x.flip(3)


class Warped(Two):
    def between(self, x):
        angle = x.mean() * torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]).expand(len(x), 2, 3)
        return F.grid_sample(x, F.affine_grid(angle, x.shape, align_corners=False), align_corners=False)


@pytest.mark.parametrize(
    ("build", "message"),
    [(Cut, "shows the image cut to a part"), (Mirrored, "mirrored along axis 3"), (Warped, "warped")],
)
def test_maps_that_do_not_lie_on_the_image_are_refused(build, message):
    with pytest.raises(ModelError, match=f"{message}.*levels=.*given by: .*a"):
        find_levels(build())
    with pytest.raises(ModelError, match=message):
        resolve_levels(build(), ["b"])
    assert names(resolve_levels(build(), ["a"])) == ["a"]


def test_a_map_that_is_mirrored_back_is_welcome():
    class Back(Two):
        def between(self, x):
            return x + self.middle(x.flip(3)).flip(-1)

        def __init__(self):
            super().__init__()
            self.middle = nn.Conv2d(4, 4, 3, padding=1)

    assert names(find_levels(Back())) == ["b:input", "b"]


def test_the_one_channel_of_an_attention_gate_is_no_level():
    class Gate(nn.Module):
        """Its gated map is functional and goes to the head alone, so that no hook can read it."""

        def __init__(self):
            super().__init__()
            self.a, self.b, self.psi = zoo.unit(2, 1, 8, stride=2), zoo.unit(2, 8, 8, stride=2), nn.Conv2d(8, 1, 1)
            self.fc = nn.Linear(16, 2)

        def forward(self, x):
            fine = self.a(x)
            coarse = self.b(fine)
            gated = fine * self.psi(F.interpolate(coarse, size=fine.shape[2:])).sigmoid()
            return self.fc(torch.cat([gated.mean((2, 3)), coarse.mean((2, 3))], 1))

    assert names(find_levels(Gate())) == ["a", "b"]


def test_convolutions_after_an_adaptive_pooling_are_levels():
    class Pooled(Two):
        def between(self, x):
            return F.adaptive_avg_pool2d(x, 16)

    found = [(level.name, level.size, level.stride) for level in find_levels(Pooled())]
    assert found == [("a", (64, 80), (2, 2)), ("b:input", (16, 16), (8, 10)), ("b", (8, 8), (16, 20))]


def test_the_layer_that_is_registered_first_need_not_take_the_image():
    class Later(Two):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(8, 2, 1)
            self.stem = zoo.unit(2, 5, 4, stride=2)

        def forward(self, x):
            return self.fc(self.b(self.stem(x)).mean((2, 3)))

    assert names(find_levels(Later())) == ["stem", "b"]


def test_buffers_and_random_numbers_are_given_back():
    class Restless(Two):
        def __init__(self):
            super().__init__()
            self.register_buffer("grid", torch.zeros(3))

        def between(self, x):
            self.grid = torch.arange(x.shape[2])
            return x + torch.rand_like(x)

    cnn, before = Restless(), torch.get_rng_state()
    grid = cnn.grid
    find_levels(cnn)
    assert cnn.grid is grid and torch.equal(grid, torch.zeros(3))
    assert torch.equal(before, torch.get_rng_state())


def test_a_network_without_memory_can_be_wrapped():
    assert HRCAM(zoo.ResNet(2).to("meta"), 2).head.weight.is_meta


class SlicesOfVolume(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = Two()

    def forward(self, x):
        return self.encoder(x.flatten(0, 1)[:, None].squeeze(2)).mean(0, keepdim=True)


class Hidden(Two):
    def __init__(self):
        super().__init__()
        self.layers = [self.a, self.b]
        del self.a, self.b


@pytest.mark.parametrize(
    ("build", "example", "message"),
    [
        (SlicesOfVolume, torch.zeros(1, 4, 1, 64, 64), r"not work on its 3D input.*HRCAM\(cnn.encoder"),
        (Hidden, None, "no 2D or 3D convolution.*ModuleList"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyConv2d(4, 3)), None, "0 is a lazy layer.*Run the network"),
        (lambda: nn.Sequential(torch.ao.nn.quantized.Conv2d(1, 2, 3)), None, "0 is quantized.*before it is quantized"),
    ],
)
def test_what_to_do_is_said(build, example, message):
    with pytest.raises(ModelError, match=message):
        find_levels(build(), example)
