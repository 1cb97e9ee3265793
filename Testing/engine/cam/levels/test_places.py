"""Evidence lies at its cause, whatever a network does to its input, or the network is refused in words."""

import architectures as zoo
import pytest
import torch
from hrcam import HRCAM, ModelError, list_bundles, load_bundle
from hrcam.cam.levels.place import find_places
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, before, dims=2, channels=1, pad=1):
        super().__init__()
        conv, self.dims, self.before = getattr(nn, f"Conv{dims}d"), dims, before
        self.a = nn.Sequential(conv(channels, 8, 3, padding=pad), nn.ReLU(), conv(8, 8, 3, padding=pad), nn.ReLU())
        self.b = nn.Sequential(getattr(nn, f"MaxPool{dims}d")(2), conv(8, 8, 3, padding=pad), nn.ReLU())
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.b(self.a(self.before(x))).flatten(2).mean(2))


def beside(build, size, channels=1):
    """How many pixels evidence lies beside a changed spot at worst, at a quarter and three quarters of the image."""
    torch.manual_seed(0)
    model = HRCAM(build(), 2).eval()
    nn.init.normal_(model.head.weight)
    image = torch.randn(1, channels, *size)
    plain, worst = model.evidence(image), 0.0
    for share in (0.25, 0.75):
        spot = [int(n * share) for n in size]
        changed = image.clone()
        changed[(..., *(slice(n - 1, n + 2) for n in spot))] += 30
        effect = (model.evidence(changed).maps - plain.maps).square().sum((0, 1))
        for axis, n in enumerate(size):
            profile = effect.sum([a for a in range(len(size)) if a != axis])
            worst = max(worst, abs(float((profile * torch.arange(n)).sum() / profile.sum()) - spot[axis]))
    assert torch.allclose(plain.logits, model(image), atol=1e-4)
    return worst


def to_multiple(x):
    return F.pad(x, (0, -x.shape[3] % 32, 0, -x.shape[2] % 32))


def to_least(x):
    return F.pad(x, (0, max(0, 128 - x.shape[3]), 0, max(0, 128 - x.shape[2])))


def sampled(*rows):
    """Sample the image at places that an affine matrix gives."""

    def sample(x):
        grid = F.affine_grid(torch.tensor([rows]), x.shape, align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    return sample


def standardized(x):
    return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)


def corner_of(side):
    """A kernel that moves an image, by half its own size."""
    return F.one_hot(torch.tensor(0), side * side).view(1, 1, side, side).float()


def to_square(x):
    side = max(x.shape[2:])
    return F.pad(x, (0, side - x.shape[3], 0, side - x.shape[2]))


@pytest.mark.parametrize(
    ("before", "size"),
    [
        (lambda x: x, (96, 96)),
        (to_multiple, (70, 50)),
        (to_least, (96, 64)),
        (to_square, (96, 64)),
        (lambda x: F.pad(x, (16,) * 4, mode="reflect"), (64, 96)),
        (lambda x: F.pad(x, (16,) * 4, mode="circular"), (64, 96)),
        (lambda x: x[:, :, 16:-16, 16:-16], (96, 96)),
        (lambda x: x[:, :, 16:], (96, 96)),
        (lambda x: F.pad(x, (0, 0, 20, 0), mode="reflect"), (96, 80)),
        (lambda x: F.pad(x, (0, 384 - x.shape[3], 0, 384 - x.shape[2])), (96, 80)),
        (lambda x: F.interpolate(x, size=(80, 112)), (96, 64)),
        (lambda x: F.interpolate(x, size=(64, 64)), (96, 120)),
        (lambda x: F.interpolate(x, size=(224, 224), mode="bilinear"), (96, 120)),
        (lambda x: F.max_pool2d(F.pad(x, (0, 2, 0, 2), value=-float("inf")), 3, stride=1), (96, 64)),
        (sampled([1.0, 0, 0], [0, 1, 0]), (96, 64)),
        (sampled([1.0, 0, 0.5], [0, 1, 0]), (96, 64)),
        (sampled([2.0, 0, 0], [0, 2, 0]), (96, 96)),
        (sampled([0.83, 0, 0], [0, 0.83, 0]), (64, 48)),
        (lambda x: F.pad(x[..., 8:-8, 8:-8], (8,) * 4), (64, 48)),
        (lambda x: F.pad(x, (0, 0, 12, 0))[:, :, :-12], (64, 48)),
        (lambda x: F.conv2d(x, corner_of(17), padding=8), (96, 64)),
        (lambda x: F.interpolate(x, scale_factor=(0.5, 1.37), mode="bilinear"), (64, 48)),
        (lambda x: (x - 0.3).sigmoid(), (64, 48)),
    ],
)  # fmt: skip
def test_a_network_that_pads_cuts_or_resizes_its_input_gives_evidence_at_its_cause(before, size):
    assert beside(lambda: Net(before), size) < 3


def causal(size, count, channels=6):
    layers = [m for n in range(count) for m in (nn.ZeroPad2d((0, 0, size - 1, 0)),
              nn.Conv2d(channels if n else 1, channels, (size, 1)), nn.ReLU())]  # fmt: skip
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def strided():
    layers = [m for n in range(3) for m in (nn.Conv2d(8 if n else 1, 8, (11, 5, 3)[n], (4, 1, 1)[n], (2, 2, 1)[n]),
              nn.ReLU(), nn.MaxPool2d(3, 2 if n < 2 else 1))]  # fmt: skip
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: Net(by_view, channels=4), (96, 64)),
        (lambda: Net(by_unfold, channels=4), (96, 64)),
        (lambda: causal(9, 3), (64, 64)),
        (strided, (128, 160)),
        (lambda: Net(standardized), (96, 64)),
        (lambda: Net(lambda x: F.pad(x, (8, -8, 0, 0))), (96, 64)),
        (lambda: Net(lambda x: x.roll(10, 2)[:, :, 10:]), (96, 64)),
    ],
)
def test_over_many_random_weights_answers_lie_within_half_a_cell_of_the_finest_level(build, size):
    """One network's random weights draw its answers aside, other weights to another side; a displaced map stays so."""
    off = []
    for seed in range(16):
        torch.manual_seed(seed)
        model = HRCAM(build(), 2, example=torch.zeros(1, 1, *size)).eval()
        nn.init.normal_(model.head.weight)
        image = torch.randn(1, 1, *size)
        spot = [int(n * (0.4, 0.6)[seed % 2]) for n in size]
        changed = image.clone()
        changed[(..., *(slice(n - 1, n + 2) for n in spot))] += 3
        effect = model.evidence(changed).maps - model.evidence(image).maps
        effect = (effect - effect.flatten(2).median(2).values[..., None, None]).square().sum((0, 1))
        center = [(effect.sum(1 - axis) * torch.arange(n)).sum() / effect.sum() for axis, n in enumerate(size)]
        off.append(torch.stack(center) - torch.tensor(spot))
    off = torch.stack(off)
    chance = 2 * off.std(0) / len(off) ** 0.5
    assert (off.mean(0).abs() - chance).max() < 0.5 * max(model.levels[0].stride)


def test_unpadded_convolutions_give_evidence_at_its_cause():
    assert beside(lambda: Net(lambda x: x, pad=0), (64, 64)) < 2
    assert beside(lambda: Net(lambda x: x, dims=3, pad=0), (24, 28, 32)) < 2
    assert beside(zoo.LeNet, (68, 92)) < 3
    assert HRCAM(zoo.LeNet(), 2).eval().evidence(torch.zeros(1, 1, 28, 28)).maps.shape == (1, 2, 28, 28)


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (lambda x: torch.roll(x, 16, 2), "rolled along axis 2"),
        (lambda x: torch.roll(x, x.shape[3] // 2, 3), "rolled along axis 3"),
        (lambda x: x.flip(2), "mirrored along axis 2"),
        (lambda x: x.transpose(2, 3), "axes exchanged"),
        (lambda x: x.rot90(1, (2, 3)), "axes exchanged"),
        (lambda x: torch.fft.fft2(x).abs(), "shows the image"),
        (lambda x: x.cumsum(3) / 10, "shows the image"),
        (lambda x: x.sort(2).values, "cannot be followed"),
        (sampled([0.985, 0.174, 0], [-0.174, 0.985, 0]), "cannot be followed"),
        (sampled([1, 0.3, 0], [0, 1, 0]), "cannot be followed"),
        (lambda x: torch.cat([x.chunk(4, 2)[n] for n in (2, 0, 3, 1)], 2), "cannot be followed"),
        (lambda x: torch.cat([x[:, :, ::2], x[:, :, 1::2]], 2), "more than once along axis 2"),
        (lambda x: torch.eye(x.shape[2]).flip(0) @ x, "mirrored along axis 2"),
        (lambda x: F.pad(x, (0, 0, 20, 0), mode="circular")[:, :, :-20], "rolled along axis 2"),
        (lambda x: x[:, :, : int((x > 1).nonzero()[:, 2].amax())], "depends on what is in it"),
        (lambda x: x[:, :, int(torch.randint(24, ())) :][:, :, :40], "at places that it draws by chance"),
        (lambda x: x.flip(3) if torch.rand(()) < 0.5 else x, "at places that it draws by chance"),
    ],
)
def test_what_no_margin_makes_good_is_refused_in_words(before, message):
    with pytest.raises(ModelError, match=f"{message}.*cannot be placed"):
        HRCAM(Net(before), 2)


class Between(nn.Module):
    """Something done to the maps between two levels."""

    def __init__(self, change, channels=8):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
        self.b = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU())
        self.within, self.change, self.fc = nn.Conv2d(8, 8, 3, padding=1), change, nn.Linear(8, 2)

    def forward(self, x):
        return self.fc(self.b(self.change(self, self.a(x))).mean((2, 3)))


def in_windows(self, x):
    n, c, h, w = x.shape
    windows = x.view(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 1, 3, 5).reshape(-1, c, 8, 8)
    return self.within(windows).view(n, h // 8, w // 8, c, 8, 8).permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, w)


@pytest.mark.parametrize("extremes", [
    lambda x: (x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)),
    lambda x: (x.min(), x.max()),
])  # fmt: skip
def test_a_network_that_scales_the_image_by_its_extremes_is_refused(extremes):
    def scaled(x):
        low, high = extremes(x)
        return (x - low) / (high - low)

    with pytest.raises(ModelError, match=r"by its own extremes .*a change at one place changes all.*beforehand"):
        HRCAM(Net(scaled), 2)


def test_a_network_that_cuts_by_what_is_in_an_image_is_refused_when_it_does():
    def to_bright_rows(x):
        rows = (x > 0.5).any(3).any(1)[0].nonzero()
        return x[:, :, int(rows.amin()) : int(rows.amax()) + 1]

    model = HRCAM(Net(to_bright_rows), 2).eval()
    image = torch.ones(1, 1, 64, 48)
    assert model.evidence(image).maps.shape == (1, 2, 64, 48)
    image[:, :, :24] = 0
    with pytest.raises(ModelError, match=r"\(64, 48\) and \(40, 48\) cells.*by what is in them.*beforehand"):
        model.evidence(image)


def unpadded(kernel, count, **more):
    convs = [nn.Conv2d(4 if n else 1, 4, kernel, **more) for n in range(count)]
    return nn.Sequential(*[m for conv in convs for m in (conv, nn.ReLU())], nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_padding_of_one_side_and_unpadded_strides_are_made_good():
    assert beside(lambda: unpadded(5, 2, stride=2), (96, 80)) < 3
    assert beside(lambda: unpadded(3, 2, dilation=3), (96, 80)) < 3
    assert beside(lambda: causal(4, 4), (64, 48)) < 3


def test_windows_side_by_side_in_the_batch_are_no_maps_and_put_together_they_are():
    assert beside(lambda: Between(in_windows), (96, 64)) < 3


def tiled(_, x):
    tiles = x.view(len(x), 2, 2, 2, *x.shape[2:]).permute(0, 1, 2, 4, 3, 5)
    return tiles.reshape(len(x), 2, 2 * x.shape[2], 2 * x.shape[3])


@pytest.mark.parametrize(
    ("change", "channels", "message"),
    [
        (tiled, 2, "more than once"),
        (lambda _, x: torch.cat([x, x.flip(3)], 1), 16, "so blurred or mixed that it cannot be followed"),
        (lambda _, x: x.flip(2), 8, "mirrored along axis 2"),
        (lambda self, x: x + self.within(x).roll(48, 2), 8, "rolled along axis 2"),
    ],
)
def test_what_is_done_between_levels_is_seen_too(change, channels, message):
    with pytest.raises(ModelError, match=f"{message}.*cannot be placed"):
        HRCAM(Between(change, channels), 2)


def test_a_network_that_standardizes_its_input_is_wrapped():
    model = HRCAM(Net(standardized), 2).eval()
    assert not any(any(map(any, place.margins)) for place in model.placements(torch.zeros(1, 1, 96, 64)))


class Fading(nn.Module):
    """Each of six layers passes on a tenth of a change, beside a constant that stays."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8 if n else 1, 8, 3, 2, 1) for n in range(6))
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        for conv in self.convs:
            x = conv(x).tanh() / 4 + 1
        return self.fc(x.flatten(2).mean(2))


def test_a_deep_network_in_which_changes_fade_is_wrapped():
    strides = [level.stride for level in HRCAM(Fading(), 2).levels]
    assert strides == [(2.0**n, 2.0**n) for n in range(1, 7)]


def written(x):
    room = torch.zeros(x.shape)
    room[:] = x
    return room.mul_(torch.ones(1)).add_(x).div_(2)


def test_a_network_that_writes_into_room_of_its_own_is_followed():
    model = HRCAM(Net(written), 2).eval()
    assert not any(any(map(any, place.margins)) for place in model.placements(torch.zeros(1, 1, 96, 64)))
    with pytest.raises(ModelError, match="rolled along axis 2"):
        HRCAM(Net(lambda x: torch.roll(written(x), 20, 2)), 2)


def test_it_counts_what_the_network_does_at_the_size_that_is_used():
    model = HRCAM(Net(lambda x: torch.roll(x, 20, 2) if x.shape[2] > 200 else x), 2).eval()
    assert model.evidence(torch.zeros(1, 1, 96, 96)).maps.shape == (1, 2, 96, 96)
    with pytest.raises(ModelError, match="input of 256×96, 'a' shows the image rolled along axis 2"):
        model.evidence(torch.zeros(1, 1, 256, 96))


def test_what_lies_beyond_the_image_leaves_its_evidence_complete():
    torch.manual_seed(0)
    model = HRCAM(Net(to_multiple).double(), 2).eval()
    evidence = model.evidence(torch.randn(1, 1, 50, 40).double(), per_level=True)
    total = sum(level.mean((2, 3)) for level in evidence.levels) + model.head.bias
    torch.testing.assert_close(total, evidence.logits)


def by_view(x):
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def by_unfold(x):
    return F.unfold(x, 2, stride=2).view(len(x), -1, x.shape[2] // 2, x.shape[3] // 2)


@pytest.mark.parametrize("fold", [by_view, by_unfold, lambda x: F.pixel_unshuffle(x, 2)])
def test_space_to_depth_in_any_form_is_a_resolution(fold):
    model = HRCAM(Net(fold, channels=4), 2, example=torch.zeros(1, 1, 64, 96))
    assert [level.stride for level in model.levels] == [(2, 2), (4, 4)]


class Tokens(Net):
    """Patches as tokens through a dense layer, and back as a map."""

    def __init__(self):
        super().__init__(self.as_tokens, channels=8)
        self.embed = nn.Linear(16, 8)

    def as_tokens(self, x):
        n, c, h, w = x.shape
        patches = x.view(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 1, 3, 5).reshape(n, h * w // 16, 16 * c)
        return self.embed(patches).transpose(1, 2).reshape(n, 8, h // 4, w // 4)


def overlapping(x):
    return x.unfold(2, 4, 2).unfold(3, 4, 2).permute(0, 1, 4, 5, 2, 3).flatten(1, 3)


def test_patches_that_were_tokens_or_overlap_are_a_resolution():
    example = torch.zeros(1, 1, 64, 96)
    assert [level.stride for level in HRCAM(Tokens(), 2, example=example).levels] == [(4, 4), (8, 8)]
    net = Net(overlapping, channels=16)
    assert [level.stride for level in HRCAM(net, 2, example=example).levels] == [(2, 2), (4, 4)]


@pytest.mark.parametrize("dims", [2, 3])
def test_random_weights_residuals_and_strides_are_no_displacement(dims):
    size = (1, 1, *((96, 80) if dims == 2 else (32, 32, 48)))
    for build in (zoo.ResNet, zoo.MobileNet, zoo.ConvNeXt, zoo.HRNet, zoo.UNet, zoo.FeaturePyramid):
        for seed in range(2):
            torch.manual_seed(seed)
            model = HRCAM(build(dims), 2)
            assert not any(any(map(any, place.margins)) for place in model.placements(torch.zeros(size)))


@pytest.mark.parametrize("name", ["t1ce-tumor", "simulated-lesion", "nm-parkinson-simulated"])
def test_maps_of_the_models_that_come_along_stay_where_they_are(name):
    bundle = load_bundle(name)
    places = bundle.build().placements(torch.zeros(1, 1, *bundle.input.size))
    assert not any(any(map(any, place.margins)) for place in places)


def test_finding_places_leaves_weights_and_random_numbers_alone():
    cnn = zoo.ResNet(2).train()
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    numbers = torch.get_rng_state()
    find_places(cnn, ["layer1"], torch.zeros(1, 1, 64, 64), [None])
    assert cnn.training and torch.equal(numbers, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in cnn.state_dict().items())


@pytest.mark.parametrize("name", sorted(one.name for one in list_bundles()))
def test_every_bundled_model_takes_images_of_any_size(name):
    network = load_bundle(name).build()
    for size in ((48, 40, 56), (50, 70, 33)):
        placements = network.placements(torch.zeros(1, 1, *size[: network.num_dims]))
        assert not any(map(any, (margins for place in placements for margins in place.margins)))


@pytest.mark.parametrize("name", sorted(one.name for one in list_bundles()))
def test_every_bundled_model_takes_images_of_its_own_size_and_is_not_asked_where_its_maps_lie(name, monkeypatch):
    bundle = load_bundle(name)
    network = bundle.build()
    monkeypatch.setattr(network.cnn, "forward", None)
    placements = network.placements(torch.zeros(1, 1, *bundle.metadata["input"]["size"]))
    assert not any(map(any, (margins for place in placements for margins in place.margins)))
