"""HR-CAM Pathology Localization: the module that 3D Slicer loads. The work is in HRCAMModuleLib and in the engine."""

import math
import os
import sys
import tempfile
import time
from pathlib import Path

import slicer
import vtk

# Slicer's reload runs this file anew, and not its parts: taken off the list of modules, they are read anew as well.
for _part in [name for name in sys.modules if name.split(".")[0] == "HRCAMModuleLib"]:
    del sys.modules[_part]

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

DOCUMENTATION_URL = "https://github.com/HRCAM/HRCAMExtension/blob/main/docs/tutorial.md"

__all__ = ["HRCAMModule", "HRCAMModuleFileReader", "HRCAMModuleTest", "HRCAMModuleWidget"]


def __getattr__(name):
    """The logic, imported when a script asks for it: Slicer starts without it."""
    if name != "HRCAMModuleLogic":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from HRCAMModuleLib.logic import HRCAMModuleLogic

    return HRCAMModuleLogic


def HRCAMModuleWidget(parent=None):
    """The panel, imported when it is opened. Slicer, as it starts, looks whether the module has this name
    (qSlicerScriptedLoadableModule.cxx, ``setPythonSource``): the class itself would be imported by that.
    """
    from HRCAMModuleLib.widget import HRCAMModuleWidget as Panel

    return Panel(parent)


class HRCAMModule(ScriptedLoadableModule):
    """What Slicer shows about the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("HR-CAM Pathology Localization")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation"), "Neuroimaging"]
        parent.dependencies = ["Colors", "Segmentations", "VolumeRendering"]
        parent.contributors = ["HR-CAM contributors"]
        parent.helpText = _(
            "Says <b>what</b> a scan shows and <b>exactly where</b> the evidence is, with convolutional networks. They "
            "learn from labels of whole images; no human outline was used. Beyond that they compare the pixels of "
            "simulated pairs, in which a synthetic lesion has a known place, and learn from labels that they drew "
            "themselves.<br><br>Choose a scan and a model, press <i>Localize pathology</i>, then step through the "
            "regions and slices. Evidence 1.0 is the weakest calibrated level, on every scan; a normal scan shows an "
            "empty overlay.<br><br><b>Research use only.</b> Not a medical device; not for diagnosis or "
            "treatment.<br><br>See the <a href=\"{url}\">tutorial and manual</a>."
        ).format(url=DOCUMENTATION_URL)
        parent.acknowledgementText = _(
            "Method: S. Shinde, T. Chougule, J. Saini, M. Ingalhalikar, \"HR-CAM: Precise Localization of Pathology "
            "Using Multi-level Learning in CNNs\", MICCAI 2019, LNCS 11767 (arXiv:1909.12919). Please cite it when you "
            "publish results of this module.")
        slicer.app.connect("startupCompleted()", self._startupCompleted)

    def _startupCompleted(self):
        from HRCAMModuleLib.legend import drawLegendsAnew
        from HRCAMModuleLib.sample_data import registerSampleData

        registerSampleData(Path(self.resourcePath("")))
        scene = slicer.mrmlScene
        scene.AddObserver(scene.EndImportEvent, lambda *_event: drawLegendsAnew())


class HRCAMModuleFileReader:
    """Lets Slicer load ``NAME_result.json``, dropped on its window or chosen under Add Data, as if it had run here."""

    def __init__(self, parent):
        self.parent = parent

    def description(self):
        """What the files are."""
        return "HR-CAM result"

    def fileType(self):
        """Slicer's name of the kind of file."""
        return "HRCAMResultFile"

    def extensions(self):
        """For the file dialog."""
        return ["HR-CAM result (*.json)"]

    def canLoadFile(self, filePath):
        """Only results: other files that end in .json belong to others."""
        from HRCAMModuleLib.result_files import isResultFile

        return isResultFile(filePath)

    def canLoadFileConfidence(self, filePath):
        """Surely ours: Slicer's reader of text claims every JSON document, at 0.55 (qSlicerTextsReader.cxx)."""
        return 0.9 if self.canLoadFile(filePath) else 0.0

    def load(self, properties):
        """Add the result, and its scan where that is not in the scene, and show it in the panel."""
        logic = slicer.util.getModuleLogic("HRCAMModule")
        try:
            result = logic.loadResult(properties["fileName"])
        except Exception as error:  # Slicer shows the message; an exception would only reach the console
            self.parent.userMessages().AddMessage(vtk.vtkCommand.ErrorEvent, str(error))
            return False
        logic.select(result)
        self.parent.loadedNodes = [node.GetID() for node in (result.mapVolume, result.labelVolume)]
        return True


class HRCAMModuleTest(ScriptedLoadableModuleTest):
    """Runs a bundled model on a small generated volume and tries everything that the panel offers.

    Where PyTorch is not installed the tests are skipped and say so. ``HRCAM_TEST_MODEL`` names another model.
    """

    def setUp(self):
        slicer.mrmlScene.Clear()
        from HRCAMModuleLib.dependencies import missingPackages

        missing = missingPackages()
        if missing:
            self.skipTest(f"not installed: {', '.join(missing)}")
        from HRCAMModuleLib.engine import defaultModel
        from HRCAMModuleLib.models import listModels

        names = [entry.name for entry in listModels()]
        self.assertTrue(names, "no model bundle was found")
        self.model = os.environ.get("HRCAM_TEST_MODEL") or (defaultModel() if defaultModel() in names else names[0])
        from HRCAMModuleLib.logic import HRCAMModuleLogic
        from HRCAMModuleLib.synthetic import addSyntheticScan

        self.volume = addSyntheticScan()
        self.logic = HRCAMModuleLogic()

    def tearDown(self):
        if hasattr(self, "logic"):
            self.logic.close()
        slicer.mrmlScene.Clear()

    def runTest(self, **_kwargs):
        """Run all tests; called by "Reload and Test" and by the Self Tests module."""
        import unittest

        suite = unittest.defaultTestLoader.loadTestsFromTestCase(type(self))
        outcome = unittest.TextTestRunner().run(suite)
        if not outcome.wasSuccessful():
            raise AssertionError("\n".join(text for _test, text in outcome.failures + outcome.errors))

    def test_aRunAddsMapsRegionsAndSegmentsBesideTheScan(self):
        result = self.logic.localize(self.volume, model=self.model, device="cpu")
        self.assertAlmostEqual(sum(result.probabilities.values()), 1.0, places=3)
        self.assertEqual(result.map().shape, slicer.util.arrayFromVolume(self.volume).shape)
        segments = result.segmentation.GetSegmentation().GetNumberOfSegments()
        self.assertEqual(segments, len(result.evidenceLevels))
        self._checkThatTheEvidenceLiesOnTheLesion(result)
        self.logic.showOverlay(result, kind="both", outline=True, legend=True)
        self.logic.setEvidenceRange(result, *result.evidenceSpan())
        self.logic.showOverlay(result, kind="map", source=self.logic.mapSources(result)[-1])
        for region in result.regions[:1]:
            point = self.logic.jumpToRegion(result, region["label"])
            self.assertEqual(tuple(region["peak_ras"]), tuple(point))
        self.logic.showIn3D(result, surfaces=True, volumeRendering=True)
        self.logic.showIn3D(result, surfaces=False, volumeRendering=False)
        with tempfile.TemporaryDirectory() as folder:
            written = self.logic.exportReport(result, folder, overview=False)
            self.assertTrue(all(path.stat().st_size > 0 for path in written.values()))

    def test_aSecondRunReplacesTheFormerResult(self):
        first = self.logic.localize(self.volume, model=self.model, device="cpu")
        second = self.logic.localize(self.volume, model=self.model, device="cpu")
        self.assertFalse(first.valid)
        self.assertEqual(self.logic.results(self.volume), [second])

    def test_theWorkerLocalizesAndCancelLeavesTheSceneAsItWas(self):
        done, problems = [], []
        self.logic.localize(self.volume, model=self.model, device="cpu", wait=False, onDone=done.append,
                            onError=problems.append)
        self._waitWhile(lambda: self.logic.running, 300)
        self.assertEqual(problems, [])
        self.assertEqual(len(done), 1)
        done[0].remove()
        before = slicer.mrmlScene.GetNumberOfNodes()
        self.logic.localize(self.volume, model=self.model, device="cpu", wait=False, onDone=done.append,
                            onError=problems.append)
        slicer.app.processEvents()
        start = time.monotonic()
        self.logic.cancel()
        self.assertLess(time.monotonic() - start, 1.0)
        slicer.app.processEvents()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
        self.assertEqual(len(done), 1)

    def _checkThatTheEvidenceLiesOnTheLesion(self, result):
        """For any model that finds something: where the generated lesion is, is known."""
        from HRCAMModuleLib.synthetic import LESION_RADIUS_MM, LESION_RAS

        self.assertTrue(result.regions, "no evidence was found")
        strongest = max(result.regions, key=lambda region: region["peak"])
        self.assertLess(math.dist(strongest["peak_ras"], LESION_RAS), LESION_RADIUS_MM)

    def _waitWhile(self, busy, seconds):
        end = time.monotonic() + seconds
        while busy() and time.monotonic() < end:
            slicer.app.processEvents()
            time.sleep(0.01)
        self.assertFalse(busy(), f"still running after {seconds} s")
