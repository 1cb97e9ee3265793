"""JSON schemas of all documents that leave or enter HR-CAM, and the one check against them."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from ..errors import InputError

RESULT, BUNDLE, COMPARISON = "result", "bundle", "comparison"
WORKER_REQUEST, WORKER_EVENT = "worker-request", "worker-event"


@cache
def schema(name: str) -> dict[str, Any]:
    """The JSON schema of a kind of document: one of the names above."""
    text = resources.files(__name__).joinpath(f"{name}.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def validator(name: str) -> Any:
    """Built once: ``jsonschema.validate`` would check the schema itself each time, ten times the work."""
    import jsonschema

    return jsonschema.Draft202012Validator(schema(name))


def require(name: str, document: Any, command: str) -> None:
    """Raise `InputError` naming the field where a document breaks its schema; ``command`` writes a fresh one."""
    problem = first_problem(name, document)
    if problem is not None:
        where, what = problem
        raise InputError(f"This is not an HR-CAM {name}: {where or 'the document'}: {what}.",
                         f"Run {command} again to write a fresh one.")


def first_problem(name: str, document: Any) -> tuple[str, str] | None:
    """Where a document breaks its schema ("" for the document itself), and how; None where it does not."""
    import jsonschema

    problem = jsonschema.exceptions.best_match(validator(name).iter_errors(document))
    if problem is None:
        return None
    return ".".join(map(str, problem.absolute_path)), problem.message[:300]
