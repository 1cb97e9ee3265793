"""HR-CAM's own promises: the order of operations, completeness, classes a case, precision, threads, memory."""

import copy
import pickle
import threading

import architectures as zoo
import pytest
import torch
from hrcam import HRCAM, ModelError
from hrcam.networks.registry import build_network
from torch import nn
from torch.nn import functional as F


def wrap(cnn, classes=3, **arguments):
    torch.manual_seed(0)
    return HRCAM(cnn, classes, **arguments).eval()


def feature_maps(hrcam, x):
    """The levels' maps, read by plain hooks."""
    found = {}
    handles = [
        hrcam.cnn.get_submodule(level.name).register_forward_hook(
            lambda _m, _i, output, name=level.name: found.__setitem__(name, output.clone())
        )
        for level in hrcam.levels
    ]
    with torch.no_grad():
        hrcam.cnn(x)
    for handle in handles:
        handle.remove()
    return [found[level.name] for level in hrcam.levels]


@pytest.mark.parametrize("dims", [2, 3])
def test_channels_first_equals_upsampling_first(dims):
    hrcam = wrap(zoo.ResNet(dims).double())
    size = (32, 48) if dims == 2 else (16, 32, 24)
    x = torch.randn(2, 1, *size, dtype=torch.float64)
    weights = hrcam.head.weight.split([level.channels for level in hrcam.levels], 1)
    mode = "bilinear" if dims == 2 else "trilinear"
    naive = sum(
        torch.einsum("kc,bc...->bk...", w, F.interpolate(f, size=size, mode=mode, align_corners=False))
        for w, f in zip(weights, feature_maps(hrcam, x), strict=True)
    )
    torch.testing.assert_close(hrcam.evidence(x).maps, naive, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dims", [2, 3])
def test_map_averages_to_the_logit(dims):
    hrcam = wrap(zoo.ResNet(dims).double())
    x = torch.randn(2, 1, *((64, 32) if dims == 2 else (16, 32, 24)), dtype=torch.float64)
    evidence = hrcam.evidence(x, per_level=True)
    sums = sum(m.flatten(2).mean(2) for m in evidence.levels) + hrcam.head.bias
    torch.testing.assert_close(sums, evidence.logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(evidence.maps.flatten(2).mean(2) + hrcam.head.bias, evidence.logits, rtol=0, atol=1e-12)
    torch.testing.assert_close(hrcam(x), evidence.logits, rtol=0, atol=1e-12)


def test_corner_aligned_upsampling_would_not_be_complete():
    hrcam = wrap(zoo.ResNet(2).double())
    x = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    evidence = hrcam.evidence(x, per_level=True)
    cornered = sum(F.interpolate(m, size=(64, 64), mode="bilinear", align_corners=True) for m in evidence.levels)
    error = (cornered.mean((2, 3)) + hrcam.head.bias - evidence.logits).abs().max()
    assert error > 1e-3 * evidence.logits.abs().max()


def test_one_level_with_the_networks_own_dense_layer_is_zhous_cam():
    cnn = zoo.ResNet(2).double()
    hrcam = wrap(cnn, 2, levels=["layer2"])
    hrcam.head.load_state_dict(cnn.fc[2].state_dict())
    x = torch.randn(2, 1, 32, 48, dtype=torch.float64)
    torch.testing.assert_close(hrcam(x), cnn.eval()(x))
    (features,) = feature_maps(hrcam, x)
    zhou = torch.einsum("kc,bchw->bkhw", cnn.fc[2].weight, features)
    torch.testing.assert_close(hrcam.evidence(x, size=zhou.shape[2:]).maps, zhou)


def test_a_point_source_lights_up_at_its_place_at_every_level():
    """Pooling networks have no offset: averaged over the point's phase, a level's center of mass is the point's."""
    torch.manual_seed(0)
    layers = []
    for _ in range(4):
        smooth = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        smooth.weight.data = torch.tensor([[[[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]]]) / 16
        layers += [smooth, nn.ReLU(), nn.AvgPool2d(2)]
    hrcam = wrap(nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2)), 2)
    hrcam.head.weight.data.fill_(1.0)
    assert [level.stride for level in hrcam.levels] == [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (8.0, 8.0)]
    offsets = []
    for phase in range(8):
        x = torch.zeros(1, 1, 128, 128)
        x[0, 0, 60 + phase, 56 + phase] = 1
        levels = hrcam.evidence(x, classes=0, per_level=True).levels
        maps = torch.cat([F.interpolate(m, size=(128, 128), mode="bilinear", align_corners=False) for m in levels])[
            :, 0
        ]
        mass = maps.sum((1, 2))
        places = torch.arange(128.0)
        rows = (maps.sum(2) * places).sum(1) / mass - (60 + phase)
        columns = (maps.sum(1) * places).sum(1) / mass - (56 + phase)
        offsets.append(torch.stack([rows, columns]))
    assert torch.stack(offsets).mean(0).abs().max() < 1e-3
    assert torch.stack(offsets).abs().max() < 4  # half a voxel of the coarsest level


def test_a_class_a_case_equals_choosing_from_all():
    hrcam = wrap(zoo.ResNet(2))
    x = torch.randn(4, 1, 32, 48)
    everything = hrcam.evidence(x, per_level=True)
    classes = torch.tensor([2, 0, 1, 2])
    chosen = hrcam.evidence(x, classes=classes, per_level=True)
    assert chosen.maps.shape == (4, 1, 32, 48)
    torch.testing.assert_close(chosen.maps[:, 0], everything.maps[torch.arange(4), classes])
    torch.testing.assert_close(chosen.levels[0][:, 0], everything.levels[0][torch.arange(4), classes])
    torch.testing.assert_close(chosen.logits, everything.logits)
    torch.testing.assert_close(hrcam.evidence(x, classes=1).maps[:, 0], everything.maps[:, 1])
    assert hrcam.evidence(x).levels == []


def test_a_case_does_not_depend_on_its_batch():
    hrcam = wrap(zoo.UNet(2))
    x = torch.randn(3, 1, 32, 48)
    alone = torch.cat([hrcam.evidence(case[None]).maps for case in x])
    torch.testing.assert_close(hrcam.evidence(x).maps, alone)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (3, "0 to 2"),
        (-1, "0 to 2"),
        (torch.tensor([0, 1, 2]), "3 entries for a batch of 2"),
        (torch.tensor([0.0, 1.0]), "LongTensor"),
        (True, "LongTensor"),
        (torch.zeros(2, 1, dtype=torch.long), "LongTensor"),
    ],
)
def test_classes_that_do_not_exist_are_refused(classes, message):
    with pytest.raises(ModelError, match=message):
        wrap(zoo.LeNet()).evidence(torch.zeros(2, 1, 32, 32), classes=classes)


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 1, 8, 32, 32)])
def test_an_input_of_the_wrong_dimension_is_refused(shape):
    hrcam = wrap(zoo.LeNet())
    with pytest.raises(ModelError, match="B×C×H×W"):
        hrcam(torch.zeros(shape))
    with pytest.raises(ModelError, match="B×C×H×W"):
        hrcam.evidence(torch.zeros(shape))


@pytest.mark.parametrize("count", [0, -1, 2.0, True])
def test_a_number_of_classes_that_makes_no_sense_is_refused(count):
    with pytest.raises(ModelError, match="num_classes"):
        HRCAM(zoo.LeNet(), count)


def test_a_fixed_size_network_runs_on_any_size():
    hrcam = wrap(zoo.VGG(2))
    assert hrcam.evidence(torch.randn(1, 1, 40, 72)).maps.shape == (1, 3, 40, 72)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_stays_close_and_gives_float32(dtype):
    hrcam = wrap(zoo.UNet(2))
    x = torch.rand(2, 1, 32, 48)
    exact = hrcam.evidence(x)
    reduced = copy.deepcopy(hrcam).to(dtype).evidence(x.to(dtype))
    assert reduced.maps.dtype == reduced.logits.dtype == torch.float32
    torch.testing.assert_close(reduced.maps, exact.maps, rtol=0, atol=0.03 * float(exact.maps.abs().max()))


def test_autocast_stays_close_and_gives_float32():
    hrcam = wrap(zoo.UNet(2))
    x = torch.rand(2, 1, 32, 48)
    exact = hrcam.evidence(x)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = hrcam.evidence(x)
    assert reduced.maps.dtype == torch.float32
    torch.testing.assert_close(reduced.maps, exact.maps, rtol=0, atol=0.03 * float(exact.maps.abs().max()))


def test_channels_last_gives_the_same_and_copies_no_feature_map():
    hrcam = wrap(zoo.ResNet(2))
    x = torch.rand(2, 1, 32, 48)
    expected = hrcam.evidence(x)
    last = copy.deepcopy(hrcam).to(memory_format=torch.channels_last)
    got = last.evidence(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got.maps, expected.maps, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_gives_the_same_as_the_cpu():
    hrcam = wrap(zoo.UNet(2))
    x = torch.rand(2, 1, 32, 48)
    expected = hrcam.evidence(x, classes=torch.tensor([0, 2]))
    got = copy.deepcopy(hrcam).cuda().evidence(x.cuda(), classes=torch.tensor([0, 2]))
    torch.testing.assert_close(got.maps.cpu(), expected.maps, rtol=1e-3, atol=1e-4)


def test_evidence_needs_no_gradient_and_training_gets_one():
    hrcam = wrap(zoo.ResNet(2))
    assert not hrcam.evidence(torch.rand(1, 1, 32, 32)).maps.requires_grad
    hrcam.train()
    hrcam(torch.rand(2, 1, 32, 32)).sum().backward()
    assert all(p.grad is not None for name, p in hrcam.named_parameters() if "cnn.fc" not in name)


def test_level_maps_can_be_trained_through():
    hrcam = wrap(zoo.UNet(2))
    _logits, maps = hrcam.native_maps(torch.rand(2, 1, 32, 32), classes=torch.tensor([0, 1]))
    sum(m.square().mean() for m in maps).backward()
    assert hrcam.head.weight.grad.abs().sum() > 0 and hrcam.cnn.down[0][0][0].weight.grad.abs().sum() > 0


def test_no_hook_is_left_even_when_the_network_fails():
    hrcam = wrap(zoo.ResNet(2))
    hrcam.evidence(torch.rand(1, 1, 32, 32))
    with pytest.raises(RuntimeError):
        hrcam.evidence(torch.rand(1, 5, 32, 32))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in hrcam.modules())


def test_copies_and_pickles_give_the_same_maps():
    hrcam = wrap(build_network("hourglass", {"width": 4, "stages": 2}))
    x = torch.rand(1, 1, 16, 16)
    expected = hrcam.evidence(x).maps
    assert torch.equal(copy.deepcopy(hrcam).evidence(x).maps, expected)
    assert torch.equal(pickle.loads(pickle.dumps(hrcam)).evidence(x).maps, expected)


def test_threads_do_not_see_each_others_images():
    hrcam = wrap(zoo.ResNet(2))
    images = [torch.rand(1, 1, 48, 48) for _ in range(4)]
    expected = [hrcam.evidence(x).maps for x in images]
    failures = []

    def work(index):
        for _ in range(10):
            if not torch.equal(hrcam.evidence(images[index]).maps, expected[index]):
                failures.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_level_maps_are_all_that_is_kept_of_the_features():
    """A feature map must be freed as soon as its evidence is summed: weak references to them die during the call."""
    import weakref

    hrcam = wrap(zoo.UNetEncoder(2))
    hrcam.placements(torch.rand(1, 1, 32, 32))  # once a size
    alive = []

    def watch(_module, _inputs, output):
        if output.requires_grad:
            raise AssertionError("gradients are off")
        alive.append((weakref.ref(output), [r for r, _ in alive if r() is not None]))

    handles = [m.register_forward_hook(watch) for m in hrcam.cnn.down]
    hrcam.evidence(torch.rand(1, 1, 32, 32))
    for handle in handles:
        handle.remove()
    assert len(alive) == 3
    assert all(r() is None for r, _ in alive)
    assert len(alive[2][1]) <= 1  # at the third stage at most its own input still lives


def test_a_guided_network_uses_its_fusion():
    cnn = zoo.UNetEncoder(2)
    plain, guided = wrap(cnn), wrap(cnn, fusion="guided")
    guided.head.load_state_dict(plain.head.state_dict())
    x = torch.rand(1, 1, 32, 32)
    assert torch.equal(plain.evidence(x).logits, guided.evidence(x).logits)
    assert not torch.allclose(plain.evidence(x).maps, guided.evidence(x).maps)
    with pytest.raises(ModelError, match="no fusion"):
        HRCAM(cnn, 2, fusion="best")
