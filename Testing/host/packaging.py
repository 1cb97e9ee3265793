"""Stand-in for `slicer.packaging` (Slicer 5.11+). Checks are real; installing is left to what a test provides.

The host never changes the Python environment: `pip_install` notes its request in `requests` and calls `installer`,
a function of the requirements that a test sets (it returns, or raises CalledProcessError as a failing pip).
"""

import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import slicer
from packaging.requirements import InvalidRequirement, Requirement

requests = []
"""Lists of requirement strings, in the order in which pip_install was called."""

installer = None


def load_requirements(path):
    """Requirements of a requirements.txt; comments, blank lines and pip's options are skipped."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def _toRequirements(requirements):
    if isinstance(requirements, Requirement):
        return [requirements]
    if isinstance(requirements, list):
        return [Requirement(r) if isinstance(r, str) else r for r in requirements]
    if not isinstance(requirements, str):
        raise TypeError(f"Expected str, Requirement, or list, got {type(requirements).__name__}")
    try:
        return [Requirement(requirements)]
    except InvalidRequirement:
        return [Requirement(r) for r in requirements.split()]


def pip_check(req):
    """Whether every requirement is installed at a fitting version (extras are not looked into)."""
    for requirement in _toRequirements(req):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        try:
            if not requirement.specifier.contains(version(requirement.name), prereleases=True):
                return False
        except PackageNotFoundError:
            return False
    return True


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Install what is missing after asking; RuntimeError when the user declines; nothing while testing.

    Strings are refused: the pip_ensure of Slicer 5.11 takes a list of Requirement objects only.
    """
    if not isinstance(requirements, list) or not all(isinstance(r, Requirement) for r in requirements):
        raise TypeError(f"pip_ensure takes Requirement objects in a list in every Slicer, got {requirements}")
    missing = [r for r in requirements if not pip_check(r)]
    if not missing:
        return
    if skip_in_testing and slicer.app.testingEnabled():
        logging.info("Testing mode is enabled: skipping pip_ensure for %s", [str(r) for r in missing])
        return
    if prompt_install:
        title = f"{requester} - Install Python Packages" if requester else "Install Python Packages"
        text = f"{len(missing)} Python packages need to be installed. Continue?"
        if not slicer.util.confirmOkCancelDisplay(text, title, detailedText="\n".join(f"- {r}" for r in missing)):
            raise RuntimeError("User declined package installation")
    pip_install([str(r) for r in missing], constraints=constraints, requester=requester, show_progress=show_progress)


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    parent=None,
    logCallback=None,
    completedCallback=None,
):
    request = requirements.split() if isinstance(requirements, str) else [str(r) for r in requirements]
    requests.append(request)
    if installer is None:
        raise RuntimeError(f"The test host installs nothing (asked for {request}): set slicer.packaging.installer.")
    installer(request)
    if completedCallback is not None and not blocking:
        completedCallback(0)


def pip_uninstall(requirements):
    raise NotImplementedError("The test host uninstalls nothing.")
