"""Engines: OpenVINO says what PyTorch says, is taken where it pays, and is never trusted unseen."""

import builtins
import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
import torch
from hrcam import HRCAM
from hrcam.errors import Cancelled, ModelError
from hrcam.localize import Options, localize, warm_up
from hrcam.networks.registry import build_network
from hrcam.run import inference
from hrcam.run import openvino_engine as engine_openvino

openvino = pytest.mark.skipif(not engine_openvino.find_spec("openvino"), reason="openvino is not installed")

CPU = torch.device("cpu")
NETWORKS = {
    "vgg_small": ({"width": 4, "stages": 3, "num_classes": 3}, (40, 56)),
    "resnet_small": ({"width": 4, "stages": 3, "num_classes": 3, "blocks": 1, "antialiased": True}, (32, 48)),
    "hourglass": ({"width": 4, "stages": 3, "num_classes": 3, "decoder_width": 4}, (36, 52)),
    "vgg_small 3D": ({"width": 4, "stages": 3, "num_classes": 3, "dims": 3}, (16, 24, 20)),
}


def network_of(name):
    torch.manual_seed(1)
    arguments, size = NETWORKS[name]
    network = HRCAM(build_network(name.split()[0], arguments), 3)
    with torch.no_grad():
        for norm in network.cnn.modules():
            if hasattr(norm, "running_mean"):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
    return network.eval().requires_grad_(False), size


def native(network, images):
    with torch.inference_mode():
        logits, levels = network.native_maps(torch.from_numpy(images))
    return logits.numpy(), [level.numpy() for level in levels]


@openvino
@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_gives_the_same_logits_and_native_maps_for_any_batch(name):
    network, size = network_of(name)
    compiled = engine_openvino.compiled(network, size, "fp32")
    for batch in (1, 3):
        images = np.random.default_rng(batch).random((batch, 1, *size), np.float32)
        (logits, levels), (found, found_levels) = native(network, images), compiled(images)
        np.testing.assert_allclose(found, logits, atol=1e-4)
        for wanted, got in zip(levels, found_levels, strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())


@openvino
def test_answers_stay_as_they_were_when_the_network_runs_again_and_in_other_threads():
    network, size = network_of("vgg_small")
    compiled = engine_openvino.compiled(network, size, "fp32")
    images = np.random.default_rng(0).random((4, 2, 1, *size), np.float32)
    first = compiled(images[0])[0]
    kept, answers = first.copy(), {}

    def ask(n):
        answers[n] = [compiled(images[n])[0] for _ in range(5)]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(first, kept)
    for n in range(4):
        for answer in answers[n]:
            np.testing.assert_allclose(answer, native(network, images[n])[0], atol=1e-4)


@openvino
def test_a_network_is_compiled_once_a_size_and_forgotten_with_it():
    network, size = network_of("vgg_small")
    one = engine_openvino.compiled(network, size, "fp32")
    assert engine_openvino.compiled(network, size, "fp32") is one
    assert engine_openvino.compiled(network, (24, 24), "fp32") is not one
    alive = weakref.ref(network)
    del network
    gc.collect()
    assert alive() is None, "neither the compiled form nor its cache holds it"


@openvino
def test_compiling_can_be_cancelled_between_its_steps_and_begun_again():
    network, size = network_of("vgg_small")
    for step in range(1, 5):
        answers = iter([False] * (step - 1) + [True])
        with pytest.raises(Cancelled):
            engine_openvino.compiled(network, size, "fp32", lambda answers=answers: next(answers))
        assert next(answers, None) is None, "asked until it said so"
    assert engine_openvino.compiled(network, size, "fp32", lambda: False)


@openvino
def test_of_many_sizes_the_last_ones_stay_compiled():
    network, size = network_of("vgg_small")
    sizes = [(size[0] + 8 * n, size[1]) for n in range(engine_openvino.KEPT_SIZES + 1)]
    first, second = (engine_openvino.compiled(network, one, "fp32") for one in sizes[:2])
    assert engine_openvino.compiled(network, sizes[0], "fp32") is first
    last = [engine_openvino.compiled(network, one, "fp32") for one in sizes[2:]][-1]
    assert engine_openvino.compiled(network, sizes[-1], "fp32") is last
    assert engine_openvino.compiled(network, sizes[0], "fp32") is first, "used after the second"
    assert engine_openvino.compiled(network, sizes[1], "fp32") is not second


@openvino
def test_openvino_counts_nobody(tmp_path):
    script = ("import torch; from hrcam import HRCAM; from hrcam.networks.registry import build_network\n"
              "from hrcam.run.openvino_engine import compiled\n"
              "network = HRCAM(build_network('vgg_small', {'width': 4, 'stages': 2, 'num_classes': 2}), 2).eval()\n"
              "compiled(network.requires_grad_(False), (16, 16), 'fp32')\n"
              "from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)")
    at_home = {name: value for name, value in os.environ.items() if name != "CI"}  # it does not count there
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False,
                          env={**at_home, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)})
    assert "telemetry_stub" in done.stdout, done.stderr
    assert not list(tmp_path.rglob("*ga_cid*")), "an identity for Google Analytics"


@openvino
def test_a_wrong_conversion_is_never_used(monkeypatch):
    import openvino as ov

    convert = ov.convert_model

    def wrong(traced, example_input):
        with torch.no_grad():
            for parameter in traced.parameters():
                parameter.mul_(1.01)
        return convert(traced, example_input=example_input)

    monkeypatch.setattr(ov, "convert_model", wrong)
    network, size = network_of("vgg_small")
    with pytest.raises(ModelError, match="something else than PyTorch"):
        engine_openvino.compiled(network, size, "fp32")
    with pytest.raises(ModelError, match="engine torch"):
        engine_openvino.compiled(network, size, "fp32")


@openvino
def test_localize_finds_the_same_with_both_engines(bright_blob_bundle, blob_volume):
    volume = blob_volume((48, 52, 8), (1.0, 1.0, 5.0))
    torch_result, other = (
        localize(volume, bright_blob_bundle, Options(device="cpu", engine=engine)) for engine in ("torch", "openvino")
    )
    assert torch_result.provenance["engine"] == "torch" and other.provenance["engine"] == "openvino"
    np.testing.assert_allclose(other.map, torch_result.map, atol=1e-4 * np.abs(torch_result.map).max())
    assert other.probabilities == pytest.approx(torch_result.probabilities, abs=1e-5)
    assert other.completeness_error < 1e-3
    assert [region.peak_ras for region in other.regions] == [region.peak_ras for region in torch_result.regions]


@openvino
@pytest.mark.parametrize(
    ("engine", "kind", "items", "wanted"),
    [
        ("auto", "slices", 1, False),
        ("auto", "slices", None, True),
        *(("auto", kind, least - 1, False) for kind, least in engine_openvino.AUTO_IMAGES.items()),
        *(("auto", kind, least, True) for kind, least in engine_openvino.AUTO_IMAGES.items()),
        ("openvino", "slices", 1, True),
        ("torch", "volumes", None, False),
    ],
)
def test_auto_takes_openvino_where_there_is_enough_to_compute(engine, kind, items, wanted):
    assert engine_openvino.is_wanted(engine, CPU, "fp32", kind, items) is wanted


@openvino
def test_auto_decides_from_the_job_and_never_from_what_the_process_did_before(
    monkeypatch, bright_blob_bundle, blob_volume
):
    monkeypatch.setattr(engine_openvino, "AUTO_IMAGES", {"slices": 8})
    few, many = blob_volume((48, 52, 4), (1.0, 1.0, 5.0)), blob_volume((48, 52, 16), (1.0, 1.0, 5.0))

    def engine(volume, **options):
        result = localize(volume, bright_blob_bundle, Options(device="cpu", **options))
        return result.provenance["engine"]

    assert engine(many) == "openvino"
    assert [engine(few) for _ in range(4)] == ["torch"] * 4
    assert engine(few, scans=4) == "openvino", "the job says that more such scans are to come"


@openvino
@pytest.mark.parametrize("plane", ["auto", "coronal", "all"])
def test_made_ready_for_a_grid_the_first_scan_compiles_nothing(monkeypatch, bright_blob_bundle, blob_volume, plane):
    volume = blob_volume((148, 52, 16), (1.0, 1.0, 5.0))  # larger than the model's own input
    options = Options(device="cpu", plane=plane, scans=1000)
    with monkeypatch.context() as patch:
        patch.setattr(engine_openvino, "_compiled", weakref.WeakKeyDictionary())
        warm_up(bright_blob_bundle, options, volume.geometry)
        patch.delattr(engine_openvino, "CompiledNetwork")
        assert localize(volume, bright_blob_bundle, options).provenance["engine"] == "openvino"


@openvino
def test_the_same_scan_gives_the_same_bytes_whatever_the_process_does_before_and_beside(
    monkeypatch, bright_blob_bundle, blob_volume
):
    monkeypatch.setattr(engine_openvino, "AUTO_IMAGES", {"slices": 8})
    few, many = blob_volume((48, 52, 4), (1.0, 1.0, 5.0)), blob_volume((48, 52, 16), (1.0, 1.0, 5.0))

    def answer(volume=few, **options):
        result = localize(volume, bright_blob_bundle, Options(device="cpu", **options))
        return result.provenance["engine"], result.map.tobytes(), result.probabilities

    first = answer()
    for other in ({"volume": many}, {"engine": "openvino"}, {"plane": "all"}, {"precision": "bf16"}, {"batch_size": 1}):
        answer(**other)
        assert answer() == first, other
    compiled, found = answer(engine="openvino"), {}

    def ask(engine):
        found[engine] = [answer(engine=engine) for _ in range(4)]

    threads = [threading.Thread(target=ask, args=(engine,)) for engine in ("auto", "openvino")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"auto": [first] * 4, "openvino": [compiled] * 4}


def test_a_network_on_one_device_stays_there_when_a_thread_wants_it_on_another():
    network, _ = network_of("vgg_small")
    before = inference.place(network, CPU, None, "fp32")
    other = inference.place(network, torch.device("meta"), None, "fp32")
    assert {one.device.type for one in other.network.parameters()} == {"meta"}
    assert {one.device.type for one in before.network.parameters()} == {"cpu"}
    assert inference.place(network, torch.device("meta"), None, "fp32").network is other.network
    other.leave_gpu()
    assert other.network is network


@openvino
def test_of_a_network_of_volumes_what_it_does_to_slices_is_compiled():
    torch.manual_seed(2)
    cnn = build_network("lite0_pyramid", {"num_classes": 2, "finest_stride": 4, "width": 8, "dims": 3, "power": 4})
    network = HRCAM(cnn, 2, levels=cnn.pyramid_levels).eval().requires_grad_(False)
    size = (40, 64, 48)
    assert engine_openvino.computed_images(network, size, 3) == ("slices of volumes", 3 * sum(size))
    compiled = engine_openvino.compiled(network, size, "fp32")
    images = np.random.default_rng(0).random((1, 1, *size), np.float32)
    (logits, levels), (found, found_levels) = native(network, images), compiled(images)
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-6)
    for wanted, got in zip(levels, found_levels, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())
    with pytest.raises(ModelError, match="fp32"):
        engine_openvino.compiled(network, size, "bf16")


@openvino
def test_a_network_that_looks_at_the_other_half_of_the_head_can_be_compiled():
    torch.manual_seed(3)
    cnn = build_network("lite0_pyramid", {"num_classes": 2, "finest_stride": 4, "width": 8, "mirror": True})
    network = HRCAM(cnn, 2, levels=cnn.pyramid_levels).eval().requires_grad_(False)
    engine_openvino.compiled(network, (64, 96), "fp32")


def test_an_engine_that_cannot_be_had_is_refused_by_name_and_passed_over_by_auto(monkeypatch):
    assert not engine_openvino.is_wanted("auto", torch.device("cuda"), "fp32", "volumes", None)
    with pytest.raises(ModelError, match="CPU"):
        engine_openvino.is_wanted("openvino", torch.device("cuda"), "fp32", "slices", None)
    monkeypatch.setattr(engine_openvino, "find_spec", lambda name: None)
    assert not engine_openvino.is_wanted("auto", CPU, "fp32", "volumes", None)
    with pytest.raises(ModelError, match="pip install"):
        engine_openvino.is_wanted("openvino", CPU, "fp32", "slices", None)


@openvino
def test_a_network_that_openvino_cannot_run_goes_to_torch_unless_it_was_asked_for(
    monkeypatch, bright_blob_bundle, blob_volume
):
    import openvino as ov

    def refuse(*given, **options):
        raise RuntimeError("unknown operation")

    monkeypatch.setattr(ov, "convert_model", refuse)
    monkeypatch.setattr(engine_openvino, "_compiled", {})
    monkeypatch.setattr(engine_openvino, "AUTO_IMAGES", {"slices": 1})
    volume = blob_volume((48, 52, 2), (1.0, 1.0, 5.0))
    assert localize(volume, bright_blob_bundle, Options(device="cpu")).provenance["engine"] == "torch"
    with pytest.raises(ModelError, match="unknown operation"):
        localize(volume, bright_blob_bundle, Options(device="cpu", engine="openvino"))


def test_torch_needs_no_openvino(monkeypatch, bright_blob_bundle, blob_volume):
    real = builtins.__import__

    def guarded(name, *given):
        assert not name.startswith("openvino")
        return real(name, *given)

    monkeypatch.setattr(builtins, "__import__", guarded)
    volume = blob_volume((48, 52, 2), (1.0, 1.0, 5.0))
    assert localize(volume, bright_blob_bundle, Options(device="cpu", engine="torch")).provenance["engine"] == "torch"


def test_bf16_on_a_cpu_without_its_instructions_is_fp32_and_says_so(monkeypatch):
    network, _ = network_of("vgg_small")
    monkeypatch.setattr(inference, "_cpu_computes_bf16", lambda: False)
    slow = inference.place(network, CPU, None, "bf16")
    assert slow.precision == "fp32" and "bf16" in slow.warnings[0]
    monkeypatch.setattr(inference, "_cpu_computes_bf16", lambda: True)
    fast = inference.place(network, CPU, None, "bf16")
    assert fast.precision == "bf16" and fast.warnings == []
