"""Put small faults into the geometry, the fusion and the bundles, one at a time: do the tests notice?

    python Testing/faults/mutants.py [--files cam/fusion.py scan/geometry.py] [--seconds 600] [--out build/mutants.json]

Each mutant lives in a process forked from one that has imported everything heavy, so it costs no more than its tests up
to the first failure. Each file has an equal share of the seconds; where they do not suffice, its mutants are drawn
evenly, always in the same order. Survivors that no test can notice are explained in ``survivors.py``.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.survivors import EXPLAINED

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "HRCAMExtension" / "hrcam"
TESTS = {
    "cam/fusion.py": ["cam/test_fusion.py"],
    "cam/appearance.py": ["cam/test_appearance.py", "cam/test_fusion.py"],
    "scan/geometry.py": ["scan/test_geometry.py"],
    "scan/io/nifti.py": ["scan/io/test_nifti.py"],
    "scan/io/dicom/volumes.py": ["scan/io/test_dicom_volumes.py"],
    "run/marking.py": ["run/test_marking.py", "run/test_borders.py"],
    "run/components.py": ["run/test_marking.py", "run/test_borders.py", "run/test_agreement.py"],
    "run/borders.py": ["run/test_borders.py"],
    "run/agreement.py": ["run/test_agreement.py"],
    "run/decision.py": ["run/test_decision.py"],
    "bundle/bundle.py": ["bundle/test_bundle.py", "bundle"],
    "bundle/metadata.py": ["bundle/test_bundle_faults.py", "bundle"],
    "bundle/network.py": ["bundle/test_bundle_faults.py", "bundle"],
    "bundle/install.py": ["bundle/test_bundle_install.py", "bundle"],
    "bundle/write.py": ["bundle/test_bundle.py", "bundle"],
}
"""File of the engine to the tests that must notice, those first that are likely to."""

SLOW = "not every_public and not connection and not listed_without_torch and not no_source and not unpickles"
LONGEST_S = 300

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Mod: ast.Mult, ast.MatMult: ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is (file and function), what was changed, and the source that holds it."""

    where: str
    change: str
    source: str


def mutants(path: Path) -> Iterator[Mutant]:
    """All mutants of a file, in the order of its source."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    scopes = dict(_scopes(tree))
    count = sum(1 for _ in ast.walk(tree))
    for number in range(count):
        for variant in range(2):
            changed = copy.deepcopy(tree)
            node = next(one for n, one in enumerate(ast.walk(changed)) if n == number)
            before = ast.unparse(node) if isinstance(node, (ast.expr, ast.stmt)) else ""
            if number in scopes and _mutate(node, variant):
                after = ast.unparse(node)
                yield Mutant(f"{path.name}: {scopes[number]}", f"{_short(before)} → {_short(after)}",
                             ast.unparse(ast.fix_missing_locations(changed)))


def _scopes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Number (in the order of ``ast.walk``) and function of the nodes that run; annotations and texts do not."""
    order = {id(node): number for number, node in enumerate(ast.walk(tree))}

    def visit(node: ast.AST, scope: str) -> Iterator[tuple[int, str]]:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            scope = f"{scope}.{node.name}".lstrip(".")
        if scope:
            yield order[id(node)], scope
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child, scope)

    yield from visit(tree, "")


def _mutate(node: ast.AST, variant: int) -> bool:
    """Change a node in place; whether there is such a variant of it."""
    if isinstance(node, ast.Compare) and variant == 0 and type(node.ops[0]) in COMPARISONS:
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp) and variant == 0 and type(node.op) in OPERATORS:
        node.op = OPERATORS[type(node.op)]()
    elif isinstance(node, ast.BoolOp) and variant == 0:
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp) and variant == 0 and isinstance(node.op, (ast.USub, ast.Not)):
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant) and variant == 0 and isinstance(node.value, bool):
        node.value = not node.value
    elif isinstance(node, ast.Constant) and variant == 0 and isinstance(node.value, (int, float)):
        node.value = node.value + 1
    elif isinstance(node, (ast.If, ast.IfExp)) and variant == 1:
        node.test = ast.UnaryOp(ast.Not(), node.test)
    else:
        return False
    return True


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else f"{line[:67]}…"


class _Mutated(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Gives one module of the engine from a changed source."""

    def __init__(self, path: Path, source: str) -> None:
        super().__init__(".".join(("hrcam", *path.relative_to(ENGINE).with_suffix("").parts)), str(path))
        self._changed = source

    def find_spec(self, fullname, path, target=None):  # type: ignore[no-untyped-def]
        """Only the mutated module."""
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def get_code(self, fullname):  # type: ignore[no-untyped-def]
        """The changed source, compiled; nothing is cached."""
        return compile(self._changed, self.path, "exec")


def lives(path: Path, source: str) -> bool:
    """Whether all tests of a file pass with its source replaced."""
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
    try:
        signal.alarm(LONGEST_S)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.meta_path.insert(0, _Mutated(path, source))
        import pytest

        tests = [str(ROOT / "Testing" / "engine" / name) for name in TESTS[path.relative_to(ENGINE).as_posix()]]
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-k", SLOW, *tests])
    except BaseException:
        os._exit(1)
    os._exit(int(code))


def check(path: Path, seconds: float) -> tuple[int, int, list[Mutant]]:
    """Number of all mutants, of those that were tried, and those that lived. The order is always the same."""
    found, survivors, tried = list(mutants(path)), [], 0
    random.Random(0).shuffle(found)
    end = time.monotonic() + seconds
    for mutant in found:
        if time.monotonic() > end:
            break
        tried += 1
        if lives(path, mutant.source):
            survivors.append(mutant)
            print(f"{tried}/{len(found)} lives: {mutant.where}: {mutant.change}", flush=True)
    return len(found), tried, survivors


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 1 where a mutant lives unexplained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="+", default=list(TESTS), choices=list(TESTS))
    parser.add_argument("--seconds", type=float, default=math.inf, help="for all files (default: until all are tried)")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    import hypothesis
    import pytest
    import safetensors.torch
    import scipy.spatial.transform
    import SimpleITK
    import torch

    del hypothesis, pytest, safetensors, scipy, SimpleITK
    torch.set_num_threads(1)
    files, lived, passed = [], [], set()
    for name in asked.files:
        path = ENGINE / name
        if not (passed & set(TESTS[name]) or lives(path, path.read_text(encoding="utf-8"))):
            print(f"{name}: its tests fail without any mutant", file=sys.stderr)
            return 2
        passed.update(TESTS[name][-1:])
        total, count, survivors = check(path, asked.seconds / len(asked.files))
        files.append({"file": name, "all": total, "mutants": count, "killed": count - len(survivors)})
        lived += [{"where": one.where, "change": one.change, "why": EXPLAINED.get((one.where, one.change), "")}
                  for one in survivors]
        print(f"{name}: {count - len(survivors)} of {count} noticed, of {total}", flush=True)
    if asked.out is not None:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        document = json.dumps({"files": files, "survivors": lived}, indent=1, ensure_ascii=False)
        asked.out.write_text(document + "\n", encoding="utf-8")
    return int(any(not one["why"] for one in lived))


if __name__ == "__main__":
    sys.exit(main())
