"""What DICOM demands of an object, by the tables of the standard (PS3.3) that highdicom brings."""

import json
from pathlib import Path

import highdicom

TABLES = Path(highdicom.__file__).parent / "_standard"
ALTERNATIVES = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
"""A macro stands in one of them; which macros must be there is not in the tables."""
BY_TYPE_OF_CONTENT = "sr-document-content"
"""Its elements depend on the type of each item."""


def table(name):
    return json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))


def missing(dataset):
    """Elements that the mandatory modules of a dataset's class demand, absent or empty: module and path."""
    modules, found = table("module_attribute_map"), []
    for module in table("iod_module_map")[table("sop_class_iod_map")[str(dataset.SOPClassUID)]]:
        if module["usage"] == "M" and module["key"] != BY_TYPE_OF_CONTENT:
            found += [f"{module['key']}: {path}" for path in _missing(dataset, modules[module["key"]], ())]
    return found


def _missing(item, elements, path):
    for element in elements:
        keyword, kind = element["keyword"], element["type"]
        if tuple(element["path"]) != path or (path and path[-1] in ALTERNATIVES):
            continue
        if keyword not in item:
            if kind in ("1", "2"):
                yield "/".join((*path, keyword))
        elif item[keyword].is_empty:
            if kind in ("1", "1C"):
                yield "/".join((*path, keyword))
        elif item[keyword].VR == "SQ":
            for inner in item[keyword].value:
                yield from _missing(inner, elements, (*path, keyword))
