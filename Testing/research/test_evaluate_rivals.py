"""Every rival against its formula, on a network small enough to write the gradients down."""

import copy
import gc

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

pytest.importorskip("torchcam")
pytest.importorskip("captum")
pytest.importorskip("monai")

from hrcam.cam.model import HRCAM
from hrcam.errors import InputError
from hrcam_research.evaluate.cost import measure_cost
from hrcam_research.evaluate.hooked_network import HookedNet, SharedPass, levels_apart
from hrcam_research.evaluate.map_maker import MapMaker


def network(dims=2, inplace=False):
    conv, pool, adaptive = (getattr(nn, f"{name}{dims}d") for name in ("Conv", "MaxPool", "AdaptiveAvgPool"))
    return nn.Sequential(
        conv(1, 4, 3, padding=1),
        nn.ReLU(),
        pool(2),
        conv(4, 6, 3, padding=1),
        nn.ReLU(inplace),
        adaptive(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def wrapped(dims=2, levels=("1", "4"), **options):
    torch.manual_seed(0)
    example = torch.zeros((1, 1) + (16,) * dims)
    model = HRCAM(network(dims, **options), 3, levels=list(levels), example=example).eval()
    with torch.no_grad():
        model.head.weight *= 100  # so that the packages' small constants against division by zero stay negligible
    return model


def images(dims=2, count=2):
    return torch.rand((count, 1) + (16,) * dims, generator=torch.Generator().manual_seed(1))


CLASSES = torch.tensor([2, 0])


def features_and_gradients(model, x, classes):
    """Each level's activation and the full derivative of the class logit to it, written out for this network."""
    cnn, head = model.cnn, model.head
    fine = cnn[1](cnn[0](x))
    fine.retain_grad()
    coarse = cnn[4](cnn[3](cnn[2](fine)))
    coarse.retain_grad()
    pooled = torch.cat([each.flatten(2).mean(2) for each in (fine, coarse)], 1)
    head(pooled).gather(1, classes[:, None]).sum().backward()
    return [(each.detach(), each.grad) for each in (fine, coarse)]


def resized(maps, size):
    mode = {2: "bilinear", 3: "trilinear"}[len(size)]
    return interpolate(maps[:, None], size, mode=mode, align_corners=False)[:, 0]


def scaled(maps):
    flat = maps.flatten(1)
    low, high = (each.view(-1, *[1] * (maps.ndim - 1)) for each in (flat.amin(1), flat.amax(1)))
    return (maps - low) / (high - low)


def by_formula(kind, model, x, classes):
    made = []
    for activation, gradient in features_and_gradients(model, x, classes):
        space = tuple(range(2, activation.ndim))
        if kind == "gradcam":
            weight = gradient.mean(space, keepdim=True)
        elif kind == "layercam":
            weight = gradient.relu()
        elif kind == "hirescam":
            weight = gradient
        elif kind == "gradcam++":
            # As torch-cam 0.5 computes it: α without its denominator, which it divides out of a copy.
            weight = (gradient**2 * gradient.relu()).sum(space, keepdim=True)
        elif kind == "monai-gradcam++":
            below = 2 * gradient**2 + (activation * gradient**3).sum(space, keepdim=True)
            alpha = gradient**2 / (below + 1e-7)
            weight = (alpha * gradient.relu()).sum(space, keepdim=True)
        made.append((weight * activation).sum(1).relu())
    return made


@pytest.mark.parametrize("kind", ["gradcam", "gradcam++", "layercam", "hirescam"])
@pytest.mark.parametrize("dims", [2, 3])
def test_rival_is_its_formula_at_the_last_level_and_over_all(kind, dims):
    model, x = wrapped(dims), images(dims)
    fine, coarse = by_formula(kind, copy.deepcopy(model), x, CLASSES)
    size = tuple(x.shape[2:])
    maker = MapMaker(model, [kind])
    made = maker.make(x, CLASSES, maker.names(slow=False))
    last = resized(coarse, size) if kind == "hirescam" else resized(scaled(coarse), size)
    levels = [resized(scaled(each), size) for each in (fine, coarse)]
    torch.testing.assert_close(made[f"{kind}/last"], last, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made[f"{kind}/mean"], sum(levels) / 2, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made[f"{kind}/max"], torch.maximum(*levels), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_gradcampp_of_monai_has_the_denominator(dims):
    model, x = wrapped(dims), images(dims)
    coarse = by_formula("monai-gradcam++", copy.deepcopy(model), x, CLASSES)[-1]
    made = MapMaker(model).make(x, CLASSES, ["monai-gradcam++/last"])["monai-gradcam++/last"]
    torch.testing.assert_close(scaled(made), scaled(resized(coarse, tuple(x.shape[2:]))), rtol=1e-3, atol=1e-4)


def test_refinecam_is_the_product_and_layercam_package_the_maximum_of_tanh():
    model, x = wrapped(), images()
    fine, coarse = (scaled(each) for each in by_formula("layercam", copy.deepcopy(model), x, CLASSES))
    made = MapMaker(model).make(x, CLASSES, ["refinecam/layercam", "layercam/package"])
    product = scaled(resized(fine, (16, 16)) * resized(coarse, (16, 16)))
    squeezed = [resized(torch.tanh(2 * each), (16, 16)) for each in (fine, coarse)]
    torch.testing.assert_close(made["refinecam/layercam"], product, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made["layercam/package"], torch.maximum(*squeezed), rtol=1e-3, atol=1e-4)


def test_gradcam_of_the_last_level_is_the_rectified_level_map():
    model, x = wrapped(), images()
    made = MapMaker(model).make(x, CLASSES, ["gradcam/last", "hirescam/last"])
    level = model.evidence(x, classes=CLASSES, per_level=True).levels[-1][:, 0].clone().relu()
    torch.testing.assert_close(made["gradcam/last"], resized(scaled(level), (16, 16)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made["hirescam/last"] * 64, resized(level, (16, 16)), rtol=1e-3, atol=1e-4)


def test_monai_agrees_with_torchcam_in_three_dimensions():
    model, x = wrapped(3), images(3)
    made = MapMaker(model).make(
        x, CLASSES, ["monai-gradcam/last", "monai-gradcam/mean", "gradcam/last", "gradcam/mean"]
    )
    torch.testing.assert_close(made["monai-gradcam/mean"], made["gradcam/mean"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scaled(made["monai-gradcam/last"]), scaled(made["gradcam/last"]), rtol=1e-3, atol=1e-3)


def test_own_cam_uses_the_wrapped_networks_classifier():
    model, x = wrapped(), images()
    made = MapMaker(model).make(x, CLASSES, ["cam/own"])["cam/own"]
    with torch.no_grad():
        features = model.cnn[:5](x)
        expected = torch.einsum("bc,bchw->bhw", model.cnn[7].weight[CLASSES], features)
    torch.testing.assert_close(made, resized(scaled(expected), (16, 16)), rtol=1e-3, atol=1e-4)


def test_scorecam_weighs_channels_by_what_they_do_to_the_logit():
    model, x = wrapped(), images(count=1)
    made = MapMaker(model).make(x, CLASSES[:1], ["scorecam/last"])["scorecam/last"]
    with torch.no_grad():
        features = model.cnn[:5](x)[0]
        masks = torch.nan_to_num(scaled(features))
        seen = model(interpolate(masks[:, None], (16, 16), mode="bilinear", align_corners=False) * x)[:, 2]
        weights = torch.softmax(seen - model(x)[0, 2], 0)
        expected = torch.einsum("c,chw->hw", weights, features).relu()[None]
    torch.testing.assert_close(made, resized(scaled(expected), (16, 16)), rtol=1e-3, atol=1e-4)


def test_our_maps_are_evidence_in_logit_units():
    model, x = wrapped(), images()
    maker = MapMaker(model, ["hrcam", "level"])
    made = maker.make(x, CLASSES, maker.names(slow=False))
    logits = model(x).detach().gather(1, CLASSES[:, None])[:, 0]
    torch.testing.assert_close(made["hrcam/sum"].mean((1, 2)) + model.head.bias[CLASSES].detach(), logits)
    torch.testing.assert_close(made["hrcam/sum"], made["level/1"] + made["level/4"])
    torch.testing.assert_close(made["hrcam/sum 0–1"], scaled(made["hrcam/sum"]))


@pytest.mark.parametrize("levels", [("1", "4"), ("2:input", "5:input"), ("0", "3")])
def test_hooked_network_gives_equal_logits_and_leaves_no_hook(levels):
    model, x = wrapped(levels=levels, inplace=True), images()
    hooked = HookedNet(model)
    torch.testing.assert_close(hooked(x), model(x))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("levels", [("1", "4"), ("2:input", "5:input")])
def test_gradients_at_levels_need_none_before_them(levels):
    """A frozen network and an image without gradient: the graph begins at the first level and reaches the others."""
    hooked, x = HookedNet(wrapped(levels=levels)), images()

    def gradients(net):
        kept = []
        for layer in net.level_layers:
            layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
        return torch.autograd.grad(net(x)[:, 0].sum(), kept)

    frozen = copy.deepcopy(hooked).requires_grad_(False)
    for expected, made in zip(gradients(hooked), gradients(frozen), strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(made, expected)
    assert not x.requires_grad


class Branches(nn.Module):
    """Two levels that both come from the image, as the lite 3D networks have them: neither feeds the other."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(1, 6, 3, padding=1, stride=2)
        self.last = nn.Linear(10, 3)

    def forward(self, x):
        return self.last(torch.cat([layer(x).flatten(2).mean(2) for layer in (self.fine, self.coarse)], 1))


def branched():
    torch.manual_seed(0)
    model = HRCAM(Branches(), 3, levels=["fine", "coarse"], example=torch.zeros(1, 1, 16, 16, 16)).eval()
    return model.requires_grad_(False)


def test_levels_are_apart_where_none_feeds_another():
    assert levels_apart(branched(), images(3))
    assert not levels_apart(wrapped(3).requires_grad_(False), images(3))
    assert not levels_apart(wrapped(levels=("2:input", "5:input")).requires_grad_(False), images())


@pytest.mark.parametrize("count", [1, 2])
def test_methods_made_together_are_those_made_alone_from_one_pass(count):
    model, x = branched(), images(3, count)
    maker = MapMaker(model)
    passes = []
    model.cnn.fine.register_forward_hook(lambda *_: passes.append(1))
    names = [method.name for method in maker.methods if method.group != "scorecam"]
    names = names if count == 1 else [name for name in names if not name.startswith("monai")]
    maker.make(x, CLASSES[:count], names)  # the first time it finds out how the levels hang together
    passes.clear()
    together = maker.make(x, CLASSES[:count], names)
    assert len(passes) == 2  # HR-CAM's, and that of all the others
    for name in names:
        torch.testing.assert_close(together[name], maker.make(x, CLASSES[:count], [name])[name])
        assert together[name].std() > 0


def test_every_method_made_together_is_the_one_made_alone():
    for model in (branched(), wrapped(3).requires_grad_(False)):
        maker, x = MapMaker(model), images(3)
        together = maker.make(x, CLASSES, (method.name for method in maker.methods))
        assert set(together) == {method.name for method in maker.methods}
        for name, made in together.items():
            torch.testing.assert_close(made, maker.make(x, CLASSES, [name])[name])


def test_a_shared_pass_is_of_its_own_images_alone():
    model = branched()
    shared = SharedPass(model)
    net, x, other = HookedNet(model, shared), images(3), images(3) + 1
    with shared.of(x):
        assert shared.features(x) is not None
        assert shared.features(x[:1]) is None
        torch.testing.assert_close(net(x), model(x))
        torch.testing.assert_close(net(other), model(other))
    assert shared.features(x) is None
    with pytest.raises(RuntimeError), shared.of(x):
        raise RuntimeError
    assert shared.features(x) is None


def test_tap_reads_the_feature_map_before_it_is_overwritten_in_place():
    plain, spoilt = wrapped(levels=("1", "3")), wrapped(levels=("1", "3"), inplace=True)
    x = images()
    for name in ("layercam/mean", "hirescam/mean", "gradcam/last"):
        expected, made = (MapMaker(model).make(x, CLASSES, [name])[name] for model in (plain, spoilt))
        torch.testing.assert_close(made, expected)


def test_rivals_work_on_frozen_networks_and_leave_them_as_they_were():
    model = wrapped().requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    maker = MapMaker(model)
    made = maker.make(images(), CLASSES, [method.name for method in maker.methods])
    assert all(maps.shape == (2, 16, 16) and maps.isfinite().all() for maps in made.values())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_map_of_numbers_beyond_float32_says_nothing():
    """MONAI's Grad-CAM++ takes the exponential of the logit."""
    model, x, name = wrapped(), images(), "monai-gradcam++/last"
    before = MapMaker(model).make(x, CLASSES, [name])[name]
    with torch.no_grad():
        model.head.bias[CLASSES[0]] += 1000
    made = MapMaker(model).make(x, CLASSES, [name])[name]
    assert made.isfinite().all() and (made[0] == 0).all()
    torch.testing.assert_close(made[1], before[1])
    assert before[0].std() > 0 < before[1].std()


def test_no_method_keeps_what_it_worked_with():
    maker, x = MapMaker(branched()), images(3)

    def tensors():
        gc.collect()
        return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())

    counts = []
    for _ in range(3):
        maker.make(x, CLASSES, [method.name for method in maker.methods])
        counts.append(tensors())
    assert counts[2] == counts[1]


def test_unknown_method_is_refused_by_name():
    with pytest.raises(InputError, match=r"'eigencam'.*layercam/mean"):
        MapMaker(wrapped(), ["eigencam"])


def test_cost_sees_the_memory_of_a_backward_pass():
    model = wrapped()
    costs = measure_cost(MapMaker(model, ["hrcam/sum", "layercam/mean"]), torch.rand(1, 1, 128, 128), 0, repeats=3)
    assert costs["layercam/mean"].memory > 1.3 * costs["hrcam/sum"].memory > 0
    assert all(cost.time > 0 for cost in costs.values())
