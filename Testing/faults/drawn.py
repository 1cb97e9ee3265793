"""A plugin of pytest for `make reliability`: the tests that the catalog names, then others while time is left.

    PYTHONPATH=Testing python -m pytest -p faults.drawn [--drawn-seconds 300] Testing/engine

The others come in one order, drawn with a fixed seed, so that a longer run has all that a shorter one had.
"""

from __future__ import annotations

import random
import time

import pytest

from faults.catalog import is_named

_START = pytest.StashKey[float]()


def _named(item: pytest.Item) -> bool:
    return is_named(item.path.stem, item.name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long tests that no row names are run."""
    parser.addoption("--drawn-seconds", type=float, default=0.0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The named tests first."""
    number = {item: n for n, item in enumerate(items)}
    random.Random(0).shuffle(items)
    items.sort(key=lambda item: (0, number[item]) if _named(item) else (1, 0))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Pass over what there is no time for."""
    if _named(item):
        return None
    start = item.config.stash.setdefault(_START, time.monotonic())
    return True if time.monotonic() - start >= item.config.getoption("--drawn-seconds") else None
