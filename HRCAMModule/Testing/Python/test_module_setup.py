"""Loading the module, finding the engine, and installing what is missing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ("module_host",)
pytestmark = pytest.mark.gui

slicer = pytest.importorskip("slicer")
ROOT = Path(__file__).resolve().parents[3]


def test_the_module_introduces_itself(_loadedModule, slicerHost):
    module = slicer.modules.hrcammodule
    assert module.title == "HR-CAM Pathology Localization"
    assert "Neuroimaging" in module.categories
    assert "Research use only" in module.helpText
    assert "arXiv:1909.12919" in module.acknowledgementText


def test_slicers_modules_whose_logic_is_used_are_loaded_before(_loadedModule, slicerHost):
    files = [path for path in (ROOT / "HRCAMModule").rglob("*.py") if "Testing" not in path.parts]
    sources = "".join(path.read_text(encoding="utf-8") for path in files)
    used = set(re.findall(r"slicer\.modules\.(\w+)", sources))
    dependencies = slicer.modules.hrcammodule.dependencies
    assert used and used <= {name.lower() for name in dependencies}
    loaded = slicer.app.moduleManager().factoryManager().loadedModuleNames()
    assert set(dependencies) <= set(loaded), "Slicer does not load a module whose dependency has another name"


def test_loading_the_module_and_its_panel_imports_no_torch(tmp_path):
    code = f"""
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path.insert(0, {str(ROOT)!r})
from Testing.host import start
host = start()
import slicer
host.loadModule({str(ROOT / "HRCAMModule" / "HRCAMModule.py")!r})
early = {{"HRCAMModuleLib.widget", "HRCAMModuleLib.logic"}} & set(sys.modules)
assert not early, early
slicer.util.getModuleWidget("HRCAMModule").enter()
assert not host.errors, host.errors
assert "torch" not in sys.modules
host.stop()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr[-2000:]


def test_slicers_reload_reads_the_parts_anew():
    code = f"""
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path.insert(0, {str(ROOT)!r})
from Testing.host import start
host = start()
import slicer
host.loadModule({str(ROOT / "HRCAMModule" / "HRCAMModule.py")!r})
slicer.util.getModuleWidget("HRCAMModule").enter()
former = sys.modules["HRCAMModuleLib.widget"]
module = slicer.util.reloadScriptedModule("HRCAMModule")
assert sys.modules["HRCAMModuleLib.widget"] is not former
assert module is sys.modules["HRCAMModule"]
panel = slicer.util.getModuleWidget("HRCAMModule")
assert type(panel) is sys.modules["HRCAMModuleLib.widget"].HRCAMModuleWidget
assert not host.errors, host.errors
host.stop()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stderr[-2000:]


def test_the_engine_beside_a_source_checkout_is_found(panel, monkeypatch):
    from HRCAMModuleLib import engine

    source = str(ROOT / "HRCAMExtension")
    spec = engine.importlib.util.spec_from_file_location(
        "hrcam", f"{source}/hrcam/__init__.py", submodule_search_locations=[f"{source}/hrcam"])
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != source])
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: spec if source in sys.path else None)
    assert engine.ensureEngineOnPath() == ROOT / "HRCAMExtension"
    assert source in sys.path


def test_a_missing_engine_says_where_it_was_sought(panel, monkeypatch, tmp_path):
    from HRCAMModuleLib import engine

    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(engine, "SOURCE_ENGINE", tmp_path)
    with pytest.raises(RuntimeError, match="Install the HRCAM extension again"):
        engine.ensureEngineOnPath()


def test_requirements_leave_out_what_slicer_brings():
    from HRCAMModuleLib.dependencies import requirements

    names = {line.split(">")[0].lower() for line in requirements()}
    assert not names & {"torch", "numpy", "simpleitk"}
    assert all("==" not in line for line in requirements())


@pytest.mark.parametrize("requirement, met", [("pytest", True), ("pytest>=1.0", True), ("pytest>=999.0", False),
                                              ("no-such-package-here", False), ("pytest<1.0", False),
                                              ("pytest>=1.0,!=1.2; python_version >= '3.0'", True),
                                              ("no-such-package-here; python_version < '3.0'", True)])
def test_installed_packages_are_recognized_by_their_metadata(panel, requirement, met):
    from HRCAMModuleLib.dependencies import isInstalled

    assert isInstalled(requirement) is met


def test_nothing_is_asked_when_nothing_is_missing(panel, monkeypatch):
    from HRCAMModuleLib import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: [])
    monkeypatch.setattr(dependencies, "_agreed", lambda missing: pytest.fail("asked"))
    dependencies.ensureDependencies()


def test_declining_says_what_to_do_next_and_installs_nothing(panel, monkeypatch):
    from HRCAMModuleLib import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["safetensors>=0.4"])
    monkeypatch.setattr(dependencies, "_agreed", lambda missing: False)
    monkeypatch.setattr(dependencies, "_installOthers", lambda packages: pytest.fail("installed"))
    with pytest.raises(dependencies.DependencyError, match="Press Localize again"):
        dependencies.ensureDependencies()


def test_without_the_pytorch_extension_the_message_names_it_and_nothing_is_asked_or_installed(
    panel, monkeypatch, slicerHost
):
    from HRCAMModuleLib import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["torch>=2.2", "safetensors>=0.4"])
    monkeypatch.setattr(dependencies, "_agreed", lambda missing: pytest.fail("asked for what cannot be installed"))
    monkeypatch.setattr(dependencies, "_installOthers", lambda *_: pytest.fail("installed"))
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    with pytest.raises(dependencies.DependencyError, match="Extensions Manager"):
        dependencies.ensureDependencies(ask=False)


@pytest.mark.parametrize("available", [True, False])
def test_the_pytorch_extension_is_installed_with_one_click(panel, monkeypatch, slicerHost, available):
    from HRCAMModuleLib import dependencies

    model = slicer.app.extensionsManagerModel()
    raw = slicerHost._application._extensionsManager
    monkeypatch.setattr(raw, "availableNames", {"PyTorch"} if available else set())
    monkeypatch.setattr(raw, "installedNames", set())
    monkeypatch.setattr(slicerHost._application, "restarts", 0)
    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["torch>=2.2"])
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    slicerHost.setTesting(False)
    with pytest.raises(dependencies.DependencyError, match="is installed. Restart" if available else "could not be"):
        dependencies.ensureDependencies()
    assert model.isExtensionInstalled("PyTorch") is available and slicerHost._application.restarts == available
    assert model.interactive, "another module's installations ask as before"
    question, = slicerHost.dialogs.texts
    assert "restarts" in question and "PyTorch extension" in question


def test_sizes_are_named_for_what_is_missing_and_the_status_bar_is_left_clean(panel, monkeypatch, slicerHost):
    from HRCAMModuleLib import dependencies

    said = []
    monkeypatch.setattr(slicer.util, "showStatusMessage", lambda text, *_: said.append(text))
    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["safetensors>=0.4"])
    monkeypatch.setattr(dependencies, "_installOthers", lambda *_: (_ for _ in ()).throw(
        dependencies.DependencyError("no network")))
    slicerHost.setTesting(False)
    with pytest.raises(dependencies.DependencyError, match="no network"):
        dependencies.ensureDependencies()
    assert "PyTorch" not in slicerHost.dialogs.texts[0] and "a few MB" in slicerHost.dialogs.texts[0]
    assert "Installing" in said[0] and said[-1] == ""


def test_what_was_installed_is_removed_on_request_and_nothing_else(panel, monkeypatch, slicerHost):
    from HRCAMModuleLib import dependencies

    removed, missing = [], [["jsonschema>=4.20"], []]
    slicerHost.setTesting(False)
    monkeypatch.setattr(dependencies, "missingPackages", lambda: missing.pop(0))
    monkeypatch.setattr(dependencies, "_installOthers", lambda *_: None)
    monkeypatch.setattr(slicer.util, "pip_uninstall", removed.append)
    assert "has installed no" in dependencies.removePackages()
    dependencies.ensureDependencies()
    assert "Removed: jsonschema" in dependencies.removePackages() and removed == ["jsonschema"]
    assert "has installed no" in dependencies.removePackages()


@pytest.mark.parametrize("agreed", [True, False])
def test_the_fast_engine_is_offered_once_and_may_be_declined(panel, monkeypatch, slicerHost, agreed):
    from HRCAMModuleLib import dependencies

    asked, installed = [], []
    slicerHost.setTesting(False)
    slicer.app.settings().remove("HRCAM/FastEngineOffered")
    monkeypatch.setattr(dependencies, "isInstalled", lambda requirement: False)
    monkeypatch.setattr(dependencies, "_installOthers", lambda *_: None)
    monkeypatch.setattr(dependencies, "_agreed", lambda _: True)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_: asked.append(text) or agreed)
    monkeypatch.setattr(slicer.util, "pip_install", installed.extend)
    for _ in range(2):
        missing = [["safetensors>=0.4"], []]
        monkeypatch.setattr(dependencies, "missingPackages", lambda missing=missing: missing.pop(0))
        dependencies.ensureDependencies()
    assert len(asked) == 1 and "60 MB" in asked[0]
    assert installed == [dependencies.FAST_ENGINE] * agreed
    slicer.app.settings().remove("HRCAM/FastEngineOffered")
    slicer.app.settings().remove("HRCAM/InstalledPackages")


def test_one_consent_installs_torch_by_its_extension_and_the_rest_by_pip(panel, monkeypatch):
    from HRCAMModuleLib import dependencies

    calls, missing = [], [["torch>=2.2", "safetensors>=0.4"], []]
    monkeypatch.setattr(dependencies, "missingPackages", lambda: missing.pop(0))
    monkeypatch.setattr(dependencies, "_agreed", lambda names: calls.append(("asked", names)) or True)

    class Logic:
        def installTorch(self, askConfirmation, torchVersionRequirement):
            calls.append(("torch", askConfirmation, torchVersionRequirement))
            return object()

    monkeypatch.setitem(sys.modules, "PyTorchUtils", type("M", (), {"PyTorchUtilsLogic": Logic}))
    monkeypatch.setattr(slicer.packaging, "pip_ensure", lambda wanted, **how: calls.append(
        ("pip", sorted(map(str, wanted)) == sorted(dependencies.requirements()), how)))
    dependencies.ensureDependencies()
    assert calls == [("asked", ["torch>=2.2", "safetensors>=0.4"]), ("torch", False, ">=2.2"),
                     ("pip", True, {"prompt_install": False, "prompt_restart": True, "requester": "HR-CAM"})]


def test_slicer_before_5_11_installs_by_pip_install(panel, monkeypatch):
    from HRCAMModuleLib import dependencies

    calls, missing = [], [["safetensors>=0.4"], []]
    monkeypatch.setattr(dependencies, "missingPackages", lambda: missing.pop(0))
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", calls.append)
    dependencies.ensureDependencies(ask=False)
    assert calls == [["safetensors>=0.4"]]


def test_what_is_missing_is_installed_by_slicers_own_pip_ensure(panel, slicerHost, monkeypatch, tmp_path):
    from HRCAMModuleLib import dependencies

    (tmp_path / "requirements.txt").write_text("# none has this\nno-such-package-at-all>=2\n", encoding="utf-8")
    missing = [["no-such-package-at-all>=2"], []]
    monkeypatch.setattr(dependencies, "REQUIREMENTS", tmp_path / "requirements.txt")
    monkeypatch.setattr(dependencies, "missingPackages", lambda: missing.pop(0))
    monkeypatch.setattr(slicer.packaging, "requests", [])
    monkeypatch.setattr(slicer.packaging, "installer", lambda request: None)
    slicerHost.setTesting(False)
    dependencies.ensureDependencies()
    assert slicer.packaging.requests == [["no-such-package-at-all>=2"]]
    assert len(slicerHost.dialogs.messages) == 1, "one question"


def test_a_second_click_while_packages_are_installed_installs_nothing(panel, monkeypatch):
    from HRCAMModuleLib import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["safetensors>=0.4"])
    refused = []

    def clickAgain(missing):
        with pytest.raises(dependencies.DependencyError, match="being installed already"):
            dependencies.ensureDependencies()
        refused.append(missing)
        return False

    monkeypatch.setattr(dependencies, "_agreed", clickAgain)
    for _ in range(2):  # the guard is gone after the first
        with pytest.raises(dependencies.DependencyError, match="cannot run without"):
            dependencies.ensureDependencies()
    assert len(refused) == 2


def test_a_failed_installation_is_an_error_in_words(panel, monkeypatch):
    from HRCAMModuleLib import dependencies

    def fail(*arguments, **options):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["safetensors>=0.4"])
    monkeypatch.setattr(slicer.packaging, "pip_ensure", fail)
    with pytest.raises(dependencies.DependencyError, match="Check the internet connection"):
        dependencies.ensureDependencies(ask=False)


def test_models_are_listed_even_before_the_package_that_checks_them_is_there(panel, monkeypatch):
    from HRCAMModuleLib import models

    real = models.importlib.util.find_spec
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None if name == "jsonschema" else real(name))
    names = [entry.name for entry in models.listModels()]
    assert "bright-blob" in names


def test_the_sample_is_a_scan_that_its_model_knows(panel):
    from hrcam.bundle.bundle import DEFAULT_MODEL, load_bundle
    from hrcam.scan.checks import assess_fit
    from hrcam.scan.volume import read_volume

    sample = read_volume(ROOT / "HRCAMModule" / "Resources" / "SampleData" / "HRCAMSyntheticTumor.nrrd")
    for model in (DEFAULT_MODEL, "t1ce-tumor"):
        assert assess_fit(sample, load_bundle(model)).warnings == (), "nobody's first try begins with a warning"


def test_adding_a_model_copies_it_and_refuses_what_is_none(panel, monkeypatch, tmp_path, bright_blob_bundle):
    from hrcam.errors import HRCAMError
    from HRCAMModuleLib import models

    monkeypatch.setenv("HRCAM_MODELS", str(tmp_path / "mine"))
    entry = models.addModel(bright_blob_bundle.path)
    assert entry.folder == tmp_path / "mine" / "bright-blob" and (entry.folder / "model.safetensors").is_file()
    (tmp_path / "empty").mkdir()
    for source in (bright_blob_bundle.path, tmp_path / "empty"):
        with pytest.raises(HRCAMError):
            models.addModel(source)


@pytest.mark.parametrize("model", ["bright-blob", "t1ce-tumor"])
def test_the_self_test_passes(_loadedModule, slicerHost, monkeypatch, model):
    monkeypatch.setenv("HRCAM_TEST_MODEL", model)
    slicer.selfTests["HRCAMModule"]()


def test_what_the_panel_takes_from_the_engine_at_a_result_is_light():
    """SimpleITK and SciPy would stop the window for a third of a second when the first result comes."""
    light = ("output.scene_nodes", "output.segment", "output.evidence_colors", "output.terminology", "compare.calls",
             "run.units", "run.result", "scan.io.raw_nrrd", "scan.io.formats", "scan.intensity", "bundle.bundle")
    parts = ROOT / "HRCAMModule" / "HRCAMModuleLib"
    apart = {"comparison_here.py", "localization_here.py", "result_files.py", "models.py", "export.py",
             "screenshots.py"}
    used = {name for path in parts.glob("*.py") if path.name not in apart
            for name in re.findall(r"from hrcam\.([\w.]+) import", path.read_text(encoding="utf-8"))}
    assert used - {"scan.volume", "run.level_volumes"} <= set(light), "those of scripts, and of a single level's map"
    code = f"import sys, {', '.join(f'hrcam.{name}' for name in light)}\n" \
        "print(sorted({'SimpleITK', 'scipy', 'matplotlib', 'pydicom', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.strip() == "[]"
