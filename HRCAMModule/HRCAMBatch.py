"""Localize many scans without clicking, in 3D Slicer:

    Slicer --no-splash --no-main-window --python-script HRCAMBatch.py --input scans/ --output results/

``--usage`` lists the options (Slicer keeps ``--help`` for itself). Every case is tried on its own. The exit code is 0
when all cases were done, 1 when one failed, 2 when the arguments make no sense. On Windows nothing is printed to the
terminal: read ``hrcam_batch.log`` and ``summary.csv`` in the output folder.
"""

import argparse
import contextlib
import glob
import importlib.util
import logging
import os
import sys
from pathlib import Path

_HERE = Path(globals().get("__file__") or sys.argv[0]).resolve().parent
if str(_HERE) not in sys.path:
    sys.path.insert(0, str(_HERE))

LOG = "hrcam_batch.log"
SCENE = "_scene.mrb"
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
    """The options; those of ``hrcam batch`` have the same names."""
    options = _Parser(prog="HRCAMBatch.py", add_help=False, allow_abbrev=False,
                      description="Localize pathology in many scans with 3D Slicer. Research use only.")
    options.add_argument("--input", nargs="+", action="append", default=[], metavar="PATH",
                         help="files, folders, patterns in quotes, DICOM folders, or FOLDER#SERIES")
    options.add_argument("--output", metavar="FOLDER", help="folder for the results; made when it is missing")
    options.add_argument("--model", help="name or folder of a model (default: the engine's)")
    options.add_argument("--class", dest="classLabel", metavar="CLASS", help="class to map (default: most probable)")
    options.add_argument("--device", default="auto", help="auto, cpu or cuda")
    options.add_argument("--plane", default="auto", help="auto, axial, coronal, sagittal or all")
    options.add_argument("--fusion", help="how levels are joined; sum is the published way (default: the model's own)")
    options.add_argument("--minimum-region", dest="minimumRegion", type=float, metavar="ML",
                         help="leave out regions smaller than this, in ml; 0 keeps all (default: the engine's)")
    options.add_argument("--keep-levels", dest="keepLevels", action="store_true",
                         help="also write the map of every CNN level")
    options.add_argument("--faithfulness", action="store_true",
                         help="test if the answer rests on the strongest region (5 more runs a case)")
    options.add_argument("--place", action="store_true",
                         help="name the place of each region in the brain (side, structure, MNI position)")
    options.add_argument("--overwrite", action="store_true", help="compute again what is finished already")
    options.add_argument("--no-overview", dest="overview", action="store_false", help="write no overview pictures")
    options.add_argument("--dicom", action="store_true",
                         help="also write DICOM: Segmentation, Parametric Map, Structured Report")
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
    """The engine's batch: same statuses, tables and rules of what is kept as ``hrcam batch``."""
    from HRCAMModuleLib.dependencies import ensureDependencies
    from HRCAMModuleLib.engine import defaultModel, ensureEngineOnPath

    try:
        ensureEngineOnPath()
        if arguments.install:
            ensureDependencies(ask=False)
        _requireDependencies(arguments)
        from hrcam.batch.records import FAILED, summarize
        from hrcam.batch.run import run_batch
        from hrcam.bundle.bundle import load_bundle
        from hrcam.errors import InputError
        from hrcam.output.writers import DEFAULT_OUTPUTS, DICOM_OUTPUTS
        from hrcam.run.options import MINIMUM_REGION_ML, Options, check_runnable

        bundle = load_bundle(arguments.model or defaultModel())
        smallest = MINIMUM_REGION_ML if arguments.minimumRegion is None else arguments.minimumRegion
        options = Options(arguments.classLabel, arguments.plane, arguments.device, fusion=arguments.fusion,
                          keep_levels=arguments.keepLevels, faithfulness=arguments.faithfulness,
                          place=arguments.place, minimum_region_ml=smallest)
        check_runnable(options, bundle)
    except Exception as problem:  # whatever is missing or makes no sense is told, not raised into Slicer
        return _refuse(problem)
    if arguments.screenshots and not _hasWindow():
        return _refuse("--screenshots needs Slicer's main window: run without --no-main-window, or leave it out")
    outputs = [kind for kind in DEFAULT_OUTPUTS if arguments.overview or kind != "overview"]
    outputs += DICOM_OUTPUTS * arguments.dicom

    def tell(finished, total, row):
        line = f"[{finished}/{total}] {row.case}: {row.status} {row.found.get('predicted') or row.error}"
        (_log.error if row.status == FAILED else _log.info)(line)
        print(line, flush=True)

    try:
        done = run_batch(
            inputs, bundle, output, options, outputs, overwrite=arguments.overwrite, progress=tell,
            report=importlib.util.find_spec("jinja2") is not None,
            beside=lambda result, volume: _besideFiles(result, volume, arguments, output),
            further=(SCENE,) if arguments.scene else ())
    except InputError as problem:
        return _refuse(problem)
    _log.info("%d cases, model %s: %s", len(done.rows), bundle.name, summarize(done))
    return done.exit_code


def _requireDependencies(arguments):
    import slicer
    from HRCAMModuleLib.dependencies import DICOM_WRITER, DependencyError, isInstalled, missingPackages

    further = [DICOM_WRITER] if arguments.dicom and not isInstalled(DICOM_WRITER) else []
    if further and arguments.install:
        slicer.util.pip_install(further)
        further = []
    missing = [*missingPackages(), *further]
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


def _besideFiles(result, volume, arguments, output):
    """What Slicer alone can write of a case: its scene, and pictures of its views."""
    scene = output / f"{result.case}{SCENE}"
    scene.unlink(missing_ok=True)  # of another model or option: beside the new files it would mislead
    if not (arguments.scene or arguments.screenshots):
        return
    from HRCAMModuleLib.logic import HRCAMModuleLogic

    logic = HRCAMModuleLogic()
    with _inScene(result, volume) as localization:
        try:
            if arguments.screenshots:
                from HRCAMModuleLib.screenshots import saveScreenshots

                saveScreenshots(logic, localization, output, result.case)
            if arguments.scene:
                _saveScene(logic, localization, scene)
        finally:
            logic.close()


@contextlib.contextmanager
def _inScene(result, volume):
    """A result and its scan as nodes, for as long as the block lasts."""
    import slicer
    from HRCAMModuleLib.localization import findLocalizations, helperNodes, removeNodes
    from HRCAMModuleLib.scene_results import EvidenceData, addToSceneSteps
    from HRCAMModuleLib.steps import runToEnd
    from HRCAMModuleLib.volume_nodes import rememberFile

    node = slicer.util.addVolumeFromArray(volume.array, volume.geometry.ijk_to_ras, result.case)
    rememberFile(node, volume)
    model = result.provenance["model"]["name"]
    try:
        yield runToEnd(addToSceneSteps(node, EvidenceData(model, result.to_json(), result.map, result.labels)))
    finally:
        for former in findLocalizations(node):
            former.remove()
        removeNodes([node, *helperNodes(node)])


def _saveScene(logic, localization, path):
    import slicer
    from hrcam.atomic_files import replacing
    from hrcam.errors import OutputError

    logic.showOverlay(localization, legend=True)
    with replacing(path) as partial:
        if not slicer.util.saveScene(str(partial), {}):
            raise OutputError(f'The scene "{path}" could not be saved.', "Check free space and permissions.")


if __name__ == "__main__":
    import slicer

    exitCode = 2
    try:
        exitCode = main(sys.argv[1:])
    finally:  # also after an error that nobody foresaw: Slicer would stay open for ever
        slicer.util.exit(exitCode)
