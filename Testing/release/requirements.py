"""Which packages the extras of pyproject.toml need, of those that are installed here."""

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = ("setuptools",)


def declared():
    """Extra ("" for the package itself) to its requirements, as pyproject.toml states them."""
    try:
        import tomllib
    except ModuleNotFoundError as error:  # Python 3.10
        raise SystemExit("Run this with Python 3.11 or newer.") from error
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in extras.items()}


def needed(extra):
    """Names of all installed packages that an extra needs, directly or through others, and those that are missing."""
    extras = declared()
    waiting = [*extras[""], *extras[extra]]
    found, missing, seen = set(), set(), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        if name == "hrcam":
            waiting += [one for own in requirement.extras for one in extras[own]]
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            missing.add(name)
            continue
        found.add(name)
        for one in map(Requirement, lines):
            if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in ("", *requirement.extras)):
                one.marker = None
                waiting.append(one)
    return found, missing


def everything():
    """Extra → names of the installed packages that it adds to those of the package itself."""
    own, missing = needed("")
    added = {"": own}
    for extra in declared():
        if extra:
            more, absent = needed(extra)
            added[extra] = more - own
            missing |= absent
    if missing:
        raise SystemExit(f"Not installed here: {', '.join(sorted(missing))}. Run make setup first.")
    return added
