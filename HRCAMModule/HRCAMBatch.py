"""Localize many scans without clicking, in 3D Slicer:

    Slicer --no-splash --no-main-window --python-script HRCAMBatch.py --input scans/ --output results/

``--usage`` lists the options (Slicer keeps ``--help`` for itself). Every case is tried on its own. The exit code is 0
when all cases were done, 1 when one failed, 2 when the arguments make no sense. On Windows nothing is printed to the
terminal: read ``hrcam_batch.log`` and ``summary.csv`` in the output folder.
"""

import argparse
import csv
import glob
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

_HERE = Path(globals().get("__file__") or sys.argv[0]).resolve().parent
if str(_HERE) not in sys.path:
    sys.path.insert(0, str(_HERE))

COLUMNS = ("case", "status", "predicted", "probability", "shown_class", "regions", "volume_ml", "peak", "faithfulness",
           "seconds", "error", "path")
LOG, SUMMARY = "hrcam_batch.log", "summary.csv"
_log = logging.getLogger("HRCAMBatch")


class HRCAMBatch:
    """What Slicer's list of modules holds of this file: nothing that is shown.

    Slicer takes every script beside a module for a module, and reports an error at each start for one without a class
    of its own name.
    """

    def __init__(self, parent):
        parent.title = "HR-CAM Batch"
        parent.categories = ["Neuroimaging"]
        parent.contributors = ["HR-CAM contributors"]
        parent.helpText = "Localizes many scans from the command line: Slicer --python-script HRCAMBatch.py --usage"
        parent.hidden = True


class UsageError(Exception):
    """The arguments make no sense."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UsageError(message)


def parser():
    """The options; those of ``hrcam localize`` have the same names."""
    options = _Parser(prog="HRCAMBatch.py", add_help=False, allow_abbrev=False,
                      description="Localize pathology in many scans with 3D Slicer. Research use only.")
    options.add_argument("--input", nargs="+", action="append", default=[], metavar="PATH",
                         help="files, folders, patterns in quotes, DICOM folders, or FOLDER#SERIES")
    options.add_argument("--output", metavar="FOLDER", help="folder for the results; made when it is missing")
    options.add_argument("--model", default="t1ce-tumor", help="name or folder of a model (default: %(default)s)")
    options.add_argument("--class", dest="classLabel", metavar="CLASS", help="class to map (default: most probable)")
    options.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options.add_argument("--plane", default="auto", choices=("auto", "axial", "coronal", "sagittal", "all"))
    options.add_argument("--fusion", help="how levels are joined; sum is the published way (default: the model's own)")
    options.add_argument("--keep-levels", dest="keepLevels", action="store_true",
                         help="also write the map of every CNN level")
    options.add_argument("--faithfulness", action="store_true",
                         help="test if the answer rests on the strongest region (5 more runs a case)")
    options.add_argument("--overwrite", action="store_true", help="compute again what is finished already")
    options.add_argument("--no-overview", dest="overview", action="store_false", help="write no overview pictures")
    options.add_argument("--scene", action="store_true", help="also save each case as a Slicer scene (.mrb)")
    options.add_argument("--screenshots", action="store_true",
                         help="also save pictures of the slice and 3D views (needs Slicer's main window)")
    options.add_argument("--install", action="store_true", help="install missing Python packages without asking")
    options.add_argument("--usage", action="store_true", help="show this text and end")
    return options


def main(argv):
    """Run with a list of arguments; returns the exit code. Importable: it never ends the application."""
    try:
        arguments = parser().parse_args(list(argv))
        if arguments.usage:
            print(parser().format_help())
            return 0
        inputs = [path for group in arguments.input for path in group]
        if not inputs or not arguments.output:
            raise UsageError("--input and --output are needed")
        absent = [path for path in inputs if not _isThere(path)]
        if absent:
            raise UsageError(f'there is no "{absent[0]}"')
        output = Path(arguments.output)
        output.mkdir(parents=True, exist_ok=True)
    except (UsageError, OSError) as problem:
        print(f"HRCAMBatch: {problem}. --usage lists the options.", file=sys.stderr)
        return 2
    handler = logging.FileHandler(output / LOG, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        return _run(arguments, inputs, output)
    finally:
        _log.removeHandler(handler)
        handler.close()


def _isThere(path):
    """Whether an input exists; a pattern is for the engine to expand, and FOLDER#SERIES names what lies within."""
    return glob.has_magic(path) or os.path.lexists(path) or Path(path.rpartition("#")[0] or path).is_dir()


def _run(arguments, inputs, output):
    from HRCAMModuleLib.dependencies import DependencyError, ensureDependencies
    from HRCAMModuleLib.engine import ensureEngineOnPath

    try:
        ensureEngineOnPath()
        if arguments.install:
            ensureDependencies(ask=False)
        _requireDependencies()
        from hrcam.bundle.bundle import load_bundle
        from hrcam.scan.io.discovery import find_cases

        bundle = load_bundle(arguments.model)
        cases, passedOver = find_cases(inputs)
    except DependencyError as problem:
        return _refuse(problem)
    except Exception as problem:  # whatever the engine cannot read is told, not raised into Slicer
        return _refuse(problem)
    if not cases:
        return _refuse("no scan was found in the input")
    if arguments.screenshots and not _hasWindow():
        return _refuse("--screenshots needs Slicer's main window: run without --no-main-window, or leave it out")
    if arguments.classLabel and arguments.classLabel not in bundle.class_names:
        known = ", ".join(bundle.class_names)
        return _refuse(f'model "{bundle.name}" knows no class "{arguments.classLabel}"; it knows {known}')
    _log.info("%d cases, model %s", len(cases), bundle.name)
    rows = [{"case": Path(other.path).name, "path": other.path, "status": "passed over", "error": other.why}
            for other in passedOver]
    for number, case in enumerate(cases, start=1):
        start = time.monotonic()
        row = {"case": case.name, "path": str(case.path)}
        try:
            row.update(_oneCase(case, arguments, bundle, output))
        except Exception as problem:  # one bad case never stops the others
            row.update(status="failed", error=" ".join(str(problem).split()) or type(problem).__name__)
            _log.error("%s: %s", case.name, row["error"], exc_info=not _isExpected(problem))
        row["seconds"] = f"{time.monotonic() - start:.1f}"
        rows.append(row)
        _writeSummary(rows, output / SUMMARY)
        line = f"[{number}/{len(cases)}] {case.name}: {row['status']} {row.get('predicted') or row.get('error') or ''}"
        _log.info(line)
        print(line, flush=True)
    failed = sum(row["status"] == "failed" for row in rows)
    _log.info("%d done, %d failed", len(rows) - failed, failed)
    return 1 if failed else 0


def _requireDependencies():
    from HRCAMModuleLib.dependencies import DependencyError, missingPackages

    missing = missingPackages()
    if missing:
        raise DependencyError(f"missing packages: {', '.join(missing)}; add --install, or press \"Localize pathology\" "
                              "once in the module")


def _hasWindow():
    import slicer

    return slicer.app.layoutManager() is not None


def _refuse(problem):
    _log.error("%s", problem)
    print(f"HRCAMBatch: {problem}", file=sys.stderr)
    return 2


def _isExpected(problem):
    from hrcam.errors import HRCAMError

    return isinstance(problem, HRCAMError)


def _oneCase(case, arguments, bundle, output):
    """Localize one case and write its files; returns columns of its row."""
    import slicer
    from hrcam.output.writers import remove_former
    from hrcam.scan.volume import read_volume
    from HRCAMModuleLib.localization import helperNodes, removeNodes
    from HRCAMModuleLib.logic import HRCAMModuleLogic
    from HRCAMModuleLib.volume_nodes import rememberFile

    if case.error is not None:
        raise case.error
    volume = read_volume(case.path)
    scene = output / f"{case.name}_scene.mrb"
    if not arguments.overwrite and (scene.is_file() or not arguments.scene):
        former = _finishedResult(case, volume, arguments, bundle, output)
        if former is not None:
            return {**_columns(former), "status": "skipped"}
    logic = HRCAMModuleLogic()
    node = slicer.util.addVolumeFromArray(volume.array, volume.geometry.ijk_to_ras, case.name)
    rememberFile(node, volume)
    try:
        result = logic.localize(node, model=arguments.model, classLabel=arguments.classLabel, device=arguments.device,
                                plane=arguments.plane, fusion=arguments.fusion, faithfulness=arguments.faithfulness)
        if arguments.screenshots:
            from HRCAMModuleLib.screenshots import saveScreenshots

            saveScreenshots(logic, result, output, case.name)
        remove_former(output, case.name)  # of another model or option: beside the new files it would mislead
        scene.unlink(missing_ok=True)
        if arguments.scene:
            _saveScene(logic, result, scene)
        # Last: its report is what a later run takes for "finished".
        logic.exportReport(result, output, levelMaps=arguments.keepLevels, overview=arguments.overview)
        return {**_columns(result.info), "status": "done"}
    finally:
        logic.close()
        for former in logic.results(node):
            former.remove()
        removeNodes([node, *helperNodes(node)])


def _finishedResult(case, volume, arguments, bundle, output):
    """The result of the same scan, model and options, when all its files are there; else None."""
    from hrcam.batch.resume import finished
    from hrcam.localize import Options

    options = Options(arguments.classLabel, arguments.plane, fusion=arguments.fusion,
                      keep_levels=arguments.keepLevels, faithfulness=arguments.faithfulness)
    outputs = ["map", "levels", "labels"] + ["overview"] * arguments.overview
    return finished(output, case.name, bundle, options, outputs,
                    lambda scan: scan["content_hash"] == volume.content_hash)


def _columns(info):
    regions, faithfulness = info["regions"], info.get("faithfulness") or {}
    return {
        "predicted": info["predicted"],
        "probability": info["probabilities"][info["predicted"]],  # whole: rounded, it may claim certainty
        "shown_class": info["shown_class"],
        "regions": len(regions),
        "volume_ml": f"{sum(region['volume_ml'] for region in regions):.3f}",
        "peak": f"{max((region['peak'] for region in regions), default=0.0):.3f}",
        "faithfulness": faithfulness.get("score"),
    }


def _saveScene(logic, result, path):
    import slicer

    logic.showOverlay(result, legend=True)
    with tempfile.TemporaryDirectory(prefix=".hrcam-", dir=path.parent) as folder:
        partial = Path(folder) / path.name
        if not slicer.util.saveScene(str(partial), {}):
            raise RuntimeError(f"the scene could not be saved to {path.parent}; check free space and permissions")
        partial.replace(path)


def _writeSummary(rows, path):
    from hrcam.words import spreadsheet_cell

    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows({column: spreadsheet_cell(value) for column, value in row.items()} for row in rows)
    partial.replace(path)


if __name__ == "__main__":
    import slicer

    exitCode = 2
    try:
        exitCode = main(sys.argv[1:])
    finally:  # also after an error that nobody foresaw: Slicer would stay open for ever
        slicer.util.exit(exitCode)
