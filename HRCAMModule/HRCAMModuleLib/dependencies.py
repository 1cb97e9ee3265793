"""Python packages that the engine needs: looked for without importing them, installed after one question.

PyTorch comes through the PyTorch extension, which picks the build for the computer's GPU; the others come from
``requirements.txt`` beside the module. Nothing is installed when the module loads.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from .engine import MODULE_FOLDER

REQUIREMENTS = MODULE_FOLDER / "requirements.txt"
TORCH_REQUIREMENT = ">=2.2"
_INSTALLED_SETTING = "HRCAM/InstalledPackages"
_OFFERED_SETTING = "HRCAM/FastEngineOffered"
FAST_ENGINE = "openvino>=2024.4"
DICOM_WRITER = "highdicom>=0.26"

_installing = False


class DependencyError(RuntimeError):
    """A package is missing; the message says what to do next."""


def requirements(path: Path = REQUIREMENTS) -> list[str]:
    """Requirement lines of the file, comments left out."""
    lines = (line.split("#", 1)[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-")]


def missingPackages() -> list[str]:
    """Requirements that are not installed, PyTorch included, in the order in which they would be installed.

    Example
    -------
    >>> isinstance(missingPackages(), list)
    True
    """
    wanted = [f"torch{TORCH_REQUIREMENT}", *requirements()]
    return [requirement for requirement in wanted if not isInstalled(requirement)]


def isInstalled(requirement: str) -> bool:
    """Whether a requirement such as ``jsonschema>=4.20; python_version >= "3.9"`` is met, or means another Python.

    It is decided by the installed package's metadata; nothing is imported. The package ``packaging`` comes with Slicer.
    """
    wanted = _requirement(requirement)
    if wanted.marker is not None and not wanted.marker.evaluate():
        return True
    try:
        found = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(found, prereleases=True)


def _requirement(text: str) -> Any:
    from packaging.requirements import Requirement

    return Requirement(text)


def ensureDependencies(ask: bool = True, onProgress: Callable[[str], None] | None = None) -> None:
    """Install what is missing; returns at once when nothing is.

    Parameters
    ----------
    ask : show one question first. With ``False`` (a batch run that was told to) it installs without a word.
    onProgress : called with what is being installed now; the status bar shows it too.

    Raises
    ------
    DependencyError : the user declined, PyTorch's extension is absent, or an installation failed.
    """
    global _installing
    missing = missingPackages()
    if not missing:
        return
    if _installing:  # Slicer handles clicks while pip runs
        raise DependencyError(_("Python packages are being installed already. Try again when that has ended."))
    _installing = True
    try:
        _install(missing, ask, onProgress or (lambda message: None))
    finally:
        _installing = False


def removePackagesTitle() -> str:
    """Title of the windows that ask and tell about it."""
    return _("HR-CAM: remove packages")


def removePackages() -> str:
    """Uninstall the packages that HR-CAM installed; PyTorch stays, which other modules use too. Says what was done."""
    installed = [name for name in _installedByModule() if isInstalled(name)]
    if not installed:
        return _("HR-CAM has installed no Python packages that are still there.")
    if not slicer.util.confirmOkCancelDisplay(
            _("Uninstall these packages, which HR-CAM installed?\n\n{packages}").format(packages="\n".join(installed)),
            removePackagesTitle()):
        return _("Nothing was removed.")
    for name in installed:
        slicer.util.pip_uninstall(name)
    slicer.app.settings().remove(_INSTALLED_SETTING)
    return _("Removed: {packages}. Restart Slicer.").format(packages=", ".join(installed))


def _installedByModule() -> list[str]:
    return [name for name in str(slicer.app.settings().value(_INSTALLED_SETTING, "") or "").split(",") if name]


def _install(missing: list[str], ask: bool, onProgress: Callable[[str], None]) -> None:
    torch = any(requirement.startswith("torch") for requirement in missing)
    others = [requirement for requirement in missing if not requirement.startswith("torch")]
    utilities = _torchUtilities() if torch else None
    if torch and utilities is None:  # nothing else is worth a download before
        raise DependencyError(_offerTorchExtension(ask))
    if ask and not _agreed(missing):
        raise DependencyError(_("HR-CAM cannot run without these packages: {packages}. Press Localize again to install "
                                "them.").format(packages=", ".join(missing)))
    try:
        if torch:
            _tell(_("Installing PyTorch, this may take some minutes..."), onProgress)
            _installTorch(utilities)
        if others:
            _tellInstalling(others, onProgress)
            _installOthers(others, ask)
            _rememberInstalled(others)
    finally:
        slicer.util.showStatusMessage("")
    importlib.invalidate_caches()
    still = missingPackages()
    if still:
        raise DependencyError(_("Still missing after the installation: {packages}. Restart Slicer and try again; see "
                                "the Python console for pip's messages.").format(packages=", ".join(still)))
    if ask:
        _offerFastEngine(onProgress)


def _rememberInstalled(packages: list[str]) -> None:
    names = {_requirement(one).name for one in packages}
    slicer.app.settings().setValue(_INSTALLED_SETTING, ",".join(sorted(names | set(_installedByModule()))))


def _offerFastEngine(onProgress: Callable[[str], None]) -> None:
    """Offer OpenVINO, once, where PyTorch has no GPU to compute on; without it everything works as well, slower."""
    settings = slicer.app.settings()
    onGpu = "+cu" in importlib.metadata.version("torch") if isInstalled("torch") else False
    if onGpu or isInstalled(FAST_ENGINE) or slicer.app.testingEnabled() or settings.value(_OFFERED_SETTING):
        return
    settings.setValue(_OFFERED_SETTING, True)
    question = _("Install OpenVINO too? From about three large scans on it runs the network in 70 to 75 % of PyTorch's "
                 "time. The download has 60 MB. HR-CAM works without it.")
    try:
        _offer(FAST_ENGINE, question, onProgress)
    except DependencyError as error:  # HR-CAM works without it
        logging.warning("%s", error)


def ensureDicomWriter() -> None:
    """Offer to install what writes DICOM objects, where Slicer lacks it (it is there from 5.12 on).

    Raises ``DependencyError`` when the user declined or the installation failed.
    """
    if not isInstalled(DICOM_WRITER) and not _offer(DICOM_WRITER, _(
            "DICOM objects are written by the Python package highdicom, which Slicer brings from version 5.12 on and "
            "which is not installed here.\n\nInstall it now? The download has a few MB.")):
        raise DependencyError(_("DICOM objects need the Python package highdicom. Press Export again to install it, or "
                                "untick DICOM."))


def _offer(requirement: str, question: str, onProgress: Callable[[str], None] = lambda message: None) -> bool:
    """Install a package that is not needed for everything, after a question; whether it was installed.

    Raises ``DependencyError`` when the installation failed.
    """
    name = _requirement(requirement).name
    if slicer.app.testingEnabled() or not slicer.util.confirmOkCancelDisplay(
            question, _("HR-CAM: install {package}").format(package=name)):
        return False
    _tellInstalling([name], onProgress)
    try:
        slicer.util.pip_install([requirement])
    except Exception as error:
        raise DependencyError(_("{package} could not be installed: {error}. Check the internet connection and try "
                                "again.").format(package=name, error=error)) from error
    finally:
        slicer.util.showStatusMessage("")
    _rememberInstalled([requirement])
    importlib.invalidate_caches()
    return True


def _tellInstalling(packages: Sequence[str], onProgress: Callable[[str], None]) -> None:
    _tell(_("Installing {packages}...").format(packages=", ".join(packages)), onProgress)


def _tell(message: str, onProgress: Callable[[str], None]) -> None:
    logging.info("HR-CAM: %s", message)
    slicer.util.showStatusMessage(f"HR-CAM: {message}")
    onProgress(message)
    slicer.app.processEvents()  # paints it: pip keeps the event loop for itself in parts


def _agreed(missing: list[str]) -> bool:
    if slicer.app.testingEnabled():
        logging.info("HR-CAM: testing mode, nothing is installed")
        return False
    size = _("PyTorch: 200 MB to 3 GB") if any(one.startswith("torch") for one in missing) else _("a few MB")
    text = _("HR-CAM needs Python packages that are not installed yet:\n\n{packages}\n\nThey are downloaded once "
             "({size}) into Slicer's own Python. Install them now?")
    return slicer.util.confirmOkCancelDisplay(text.format(packages="\n".join(missing), size=size),
                                              _("HR-CAM: install packages"))


def _torchUtilities() -> Any:
    """The module of Slicer's PyTorch extension; None where the extension is absent."""
    try:
        return importlib.import_module("PyTorchUtils")
    except ImportError:
        return None


def _offerTorchExtension(ask: bool) -> str:
    """Offer to install Slicer's PyTorch extension; returns what the user is to do next."""
    byHand = _("PyTorch is installed through Slicer's PyTorch extension, which is absent. Open the Extensions Manager "
               "(View menu), install \"PyTorch\", restart Slicer, and press Localize again.")
    model = getattr(slicer.app, "extensionsManagerModel", lambda: None)()
    question = _("HR-CAM needs Slicer's PyTorch extension, which is not installed.\n\nInstall it now? Slicer then "
                 "restarts, so save your work first; press Localize again afterwards.")
    if not ask or model is None or slicer.app.testingEnabled() or not slicer.util.confirmOkCancelDisplay(
            question, _("HR-CAM: install the PyTorch extension")):
        return byHand
    interactive, model.interactive = model.interactive, False  # it would ask the same once more
    try:
        model.installExtensionFromServer("PyTorch", False)  # True too where the download failed
    finally:
        model.interactive = interactive
    if not model.isExtensionInstalled("PyTorch"):
        return _("The PyTorch extension could not be installed. Check the internet connection. ") + byHand
    slicer.util.restart()
    return _("The PyTorch extension is installed. Restart Slicer, then press Localize again.")


def _installTorch(utilities: Any) -> None:
    try:
        torch = utilities.PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=TORCH_REQUIREMENT)
    except Exception as error:
        raise DependencyError(_("PyTorch could not be installed: {error}. Check the internet connection, then try the "
                                "module \"PyTorch Utils\".").format(error=error)) from error
    if torch is None:
        raise DependencyError(_("PyTorch was not installed. Try the module \"PyTorch Utils\"."))


def _installOthers(packages: list[str], ask: bool) -> None:
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:  # Slicer before 5.11
        packaging = None
    try:
        if hasattr(packaging, "pip_ensure"):
            # Requirement objects: the first versions of pip_ensure take no strings.
            packaging.pip_ensure(packaging.load_requirements(REQUIREMENTS), prompt_install=False, prompt_restart=ask,
                                 requester="HR-CAM")
        else:
            slicer.util.pip_install(packages)
    except Exception as error:
        raise DependencyError(_("The packages {packages} could not be installed: {error}. Check the internet "
                                "connection and try again.").format(packages=", ".join(packages), error=error)) \
            from error
