"""Models from strangers, code that must not be there, and connections that must not be made."""

import ast
import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hrcam import BundleError, ModelError, OutputError, install_bundle, load_bundle
from hrcam import localize as steps
from hrcam.bundle.bundle import read_bundle
from hrcam.cli import app as cli
from hrcam.localize import Options, localize
from hrcam.scan.volume import to_sitk

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [*sorted((ROOT / "HRCAMExtension" / "hrcam").rglob("*.py")), *sorted(
    path for path in (ROOT / "HRCAMModule").rglob("*.py") if "Testing" not in path.parts)]

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "telnetlib", "ftplib",
                     "smtplib", "requests", "httpx", "aiohttp", "urllib3", "socket", "http", "xmlrpc"}
ALLOWED_URLLIB = {"urllib.parse"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_unpickles_evaluates_text_or_opens_connections(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for module in imports(tree):
        assert module.partition(".")[0] not in FORBIDDEN_MODULES, module
        assert module.partition(".")[0] != "urllib" or module in ALLOWED_URLLIB, module
    for name, call in calls(tree):
        options = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
        assert name not in FORBIDDEN_CALLS, f"line {call.lineno}: {name}"
        if name == "torch.load":
            assert options.get("weights_only") is True, f"line {call.lineno}: torch.load of whole pickles"
        if name == "yaml.load" or name.startswith(("torch.hub", "os.system", "os.popen")):
            pytest.fail(f"line {call.lineno}: {name}")
        assert not options.get("allow_pickle"), f"line {call.lineno}"
        assert not options.get("shell"), f"line {call.lineno}: a shell"


def test_localizing_unpickles_nothing(monkeypatch, bright_blob_bundle, blob_volume):
    import torch

    def refuse(*_, **__):
        pytest.fail("something was unpickled")

    for owner, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(owner, name, refuse)
    result = localize(blob_volume(), read_bundle(bright_blob_bundle.path), Options(device="cpu"))
    assert result.predicted == "lesion"


SEALED = """
import sys
seen = []
def watch(event, arguments):
    # pydicom imports urllib3, which asks whether the machine knows IPv6 by binding to itself: nothing is sent.
    if event == "socket.bind" and arguments[1][:2] == ("::1", 0):
        return
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        seen.append((event, str(arguments)[:200]))
        raise PermissionError(f"{event} in a process that may not speak to anyone")
sys.addaudithook(watch)
from hrcam.cli.app import main
code = main(sys.argv[1:])
print("CONNECTIONS", seen)
sys.exit(code)
"""


def test_localizing_from_start_to_end_asks_for_no_connection(tmp_path, bright_blob_bundle, blob_volume):
    """Importing, loading the model, computing, all files: every socket call of Python would end the process."""
    volume = blob_volume((48, 52, 6), (1.0, 1.0, 6.0))
    SimpleITK.WriteImage(to_sitk(volume.array, volume.geometry), str(tmp_path / "scan.nii.gz"))
    done = subprocess.run(
        [sys.executable, "-c", SEALED, "localize", str(tmp_path / "scan.nii.gz"), "--model",
         str(bright_blob_bundle.path), "--out", str(tmp_path / "out"), "--device", "cpu", "--keep-levels"],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0 and "CONNECTIONS []" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "out" / "scan_overview.png").exists()


@pytest.fixture
def folder(tmp_path, bright_blob_bundle):
    import shutil

    return shutil.copytree(bright_blob_bundle.path, tmp_path / "models" / "bright-blob")


def rewrite(folder, change):
    path = folder / "metadata.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def reweigh(folder, content):
    """Put other weights there, with a checksum that fits."""
    (folder / "model.safetensors").write_bytes(content)
    rewrite(folder, lambda d: d.update(sha256=sha256(content).hexdigest()))


def tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


HOSTILE_WEIGHTS = {
    "nothing": b"",
    "a header of 2^63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
    "a header longer than the file": struct.pack("<Q", 1 << 20) + b"{}",
    "a header that is no JSON": tensors(b"\xff\xfe{"),
    "a deeply nested header": tensors(b'{"a":' * 20_000),
    "a tensor of petabytes": tensors({"a": {"dtype": "F32", "shape": [1 << 40, 1024], "data_offsets": [0, 1 << 52]}}),
    "a size that overflows": tensors({"a": {"dtype": "F64", "shape": [1 << 62, 4], "data_offsets": [0, 0]}}),
    "offsets that overlap": tensors({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                                     "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}}, bytes(6)),
    "negative offsets": tensors({"a": {"dtype": "U8", "shape": [4], "data_offsets": [-4, 0]}}, bytes(4)),
    "bytes that belong to no tensor": tensors({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, bytes(99)),
    "an unknown type": tensors({"a": {"dtype": "PYOBJECT", "shape": [1], "data_offsets": [0, 1]}}, bytes(1)),
    "a PyTorch checkpoint": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("kind", HOSTILE_WEIGHTS)
def test_hostile_weights_are_refused_in_words(kind, folder):
    reweigh(folder, HOSTILE_WEIGHTS[kind])
    with pytest.raises(BundleError) as caught:
        load_bundle(folder).build()
    assert caught.value.hint and len(str(caught.value)) < 1000


@pytest.mark.parametrize(("field", "text"), [
    ("title", "\x1b[2J\x1b[H Model"),
    ("title", "two\nlines"),
    ("modality", "MR \x9b31m"),
    ("description", "right to left \u202e txt.exe"),
    ("intended_use", "bell \x07"),
    ("name", "bright-blob\n"),
    ("version", "1.0.0\n"),
])
def test_texts_of_a_model_hold_nothing_that_steers_a_terminal(field, text, folder, monkeypatch, capsys):
    rewrite(folder, lambda d: d.update({field: text}))
    with pytest.raises(BundleError, match=field):
        load_bundle(folder)
    monkeypatch.setenv("HRCAM_MODELS", str(folder.parent))
    assert cli.main(["models"]) == 0
    heard = capsys.readouterr()
    assert "Not usable" in heard.err
    assert all(line.isprintable() for line in (heard.out + heard.err).split("\n"))


def test_a_model_folder_cannot_lead_out_of_itself(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("private")
    (folder / "MODEL_CARD.md").unlink(missing_ok=True)
    (folder / "MODEL_CARD.md").symlink_to(secret)
    with pytest.raises(BundleError, match="is a link"):
        _ = load_bundle(folder).card
    with pytest.raises(BundleError, match="is a link"):
        install_bundle(folder, tmp_path / "there")
    assert not (tmp_path / "there").exists() or list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../evil", "C:", "con/../x", ".hidden", "UPPER", "a" * 65, ""])
def test_a_models_name_is_never_a_path(name, folder, tmp_path):
    rewrite(folder, lambda d: d.update(name=name))
    with pytest.raises(BundleError):
        install_bundle(folder, tmp_path / "deep" / "there")
    assert not list(tmp_path.glob("**/evil"))


@pytest.mark.parametrize("swap", ["metadata.json", "model.safetensors"])
def test_a_model_that_changes_between_check_and_use_is_noticed(swap, folder, bright_blob_bundle):
    loaded = load_bundle(folder)
    (folder / swap).write_bytes(b"{}")
    if swap == "model.safetensors":
        with pytest.raises(BundleError, match="checksum differs"):
            loaded.build()
    else:  # metadata were read once, as they were checked
        assert loaded.build().num_classes == 2


def test_a_name_that_is_taken_is_not_replaced_by_a_stranger(folder, tmp_path):
    install_bundle(folder, tmp_path / "there")
    before = {p.name: p.read_bytes() for p in (tmp_path / "there" / "bright-blob").iterdir()}
    with pytest.raises(OutputError, match="exists"):
        install_bundle(folder, tmp_path / "there")
    assert {p.name: p.read_bytes() for p in (tmp_path / "there" / "bright-blob").iterdir()} == before


@pytest.mark.parametrize(("step", "value"), [("_logits_of", np.array([0.0, np.nan])), ("join_planes", np.inf)])
def test_an_answer_that_is_not_finite_is_none(step, value, blob_volume, bright_blob_bundle, monkeypatch):
    honest = getattr(steps, step)

    def overflowed(*arguments):
        found = honest(*arguments)
        return value if step == "_logits_of" else replace(found, evidence=np.full_like(found.evidence, value))

    monkeypatch.setattr(steps, step, overflowed)
    with pytest.raises(ModelError, match="not a finite number"):
        steps.localize(blob_volume((48, 52, 6), (1.0, 1.0, 6.0)), bright_blob_bundle, steps.Options(device="cpu"))
