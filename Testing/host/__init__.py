"""A small Qt host on real MRML: enough of Slicer's application to run, click and test a scripted module without it.

    host = start()                                    # slicer.app, slicer.mrmlScene, slicer.modules, qt, ctk, …
    module = host.loadModule("HRCAMModule/HRCAMModule.py")
    host.stop()

One host at a time, and one QApplication a process, as in Slicer. README.md tells what differs from a real Slicer.
"""

import os
import sys
from pathlib import Path

_host = None


class Host:
    """The running application. Attributes: `app` (slicer.app), `dialogs` (DialogRecorder), `mainWindow` or None."""

    def __init__(self, withMainWindow, testing):
        import slicer
        import slicer.util
        import vtk

        from . import (
            application,
            dialogs,
            layout,
            main_window,
            module_manager,
            pythonqt,
            ui_loader,
            views,
            widgets_ctk,
            widgets_ctk_ranges,
            widgets_qmrml,
        )

        _checkPySide()
        _quietVtk(vtk)
        widgets = (widgets_ctk, widgets_ctk_ranges, widgets_qmrml)
        sources = (application, module_manager, *widgets, views, layout, main_window)
        pythonqt.install([c for source in sources for c in source.CLASSES] + [ui_loader.QUiLoader])
        _installPythonModules()
        self._application = application.qSlicerApplication.instance() or application.qSlicerApplication(["Slicer"])
        self._application._commandOptions.setProperty("noMainWindow", not withMainWindow)
        self._application._commandOptions.setProperty("isTestingEnabled", testing)
        self._startSession()
        self.app = slicer.app = pythonqt.wrap(self._application)
        self._application._moduleManager.addLoadableModules(self._session.logics)
        volumeRendering = slicer.modules.volumerendering.logic()  # software OpenGL casts rays ten times slower
        volumeRendering.SetDefaultRenderingMethod("vtkMRMLCPURayCastVolumeRenderingDisplayNode")
        self.dialogs = dialogs.DialogRecorder()
        self.dialogs.start()
        self.mainWindow = None
        if withMainWindow:
            self.openMainWindow()

    def openMainWindow(self):
        """Module panel and views; RuntimeError, with the reason, where nothing can be rendered."""
        from . import main_window, views

        problem = views.openGLProblem()
        if problem:
            raise RuntimeError(f"The Slicer host cannot open its window: {problem}")
        self._application._commandOptions.setProperty("noMainWindow", False)
        self.mainWindow = main_window.open_(self._application)
        return self.mainWindow

    def closeMainWindow(self):
        import shiboken6

        window, self.mainWindow = self.mainWindow._qobject(), None
        window.closeViews()
        window.close()
        shiboken6.delete(window)  # now: `slicer.util.mainWindow()` must not find it
        self._application._commandOptions.setProperty("noMainWindow", True)
        self.processEvents()

    def _startSession(self):
        import slicer
        from hrcam.output.mrml import MRMLSession

        self._session = MRMLSession(Path(self._application._temporaryPath))
        slicer.mrmlScene = self._session.scene
        self._application.setSession(self._session)

    @property
    def errors(self):
        """Exceptions raised in slots, overridden virtual methods and panels since the start or the last `clear()`."""
        from .pythonqt_values import slotErrors

        return slotErrors

    def setTesting(self, testing):
        """`slicer.app.testingEnabled()`: off, questions are asked (and answered by `dialogs.answers`)."""
        self._application._commandOptions.setProperty("isTestingEnabled", testing)

    def loadModule(self, path):
        """Load a scripted module from its file; returns the module object (`slicer.modules.<name>`)."""
        return self._application._moduleManager.addScriptedModule(path)

    def unloadModule(self, name):
        self._application._moduleManager.unload(name)

    def completeStartup(self):
        """What Slicer announces once when its main window is up."""
        self._application.startupCompleted.emit()

    def processEvents(self, seconds=0.0):
        """Run the event loop for a while, or until nothing is pending."""
        import time

        deadline = time.monotonic() + seconds
        self._application.processEvents()
        while time.monotonic() < deadline:
            time.sleep(0.005)
            self._application.processEvents()

    def waitUntil(self, condition, seconds=10.0):
        """Run the event loop until `condition()`; AssertionError when it stays false for `seconds`."""
        import time

        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"Not reached within {seconds} s: {condition}")
            self._application.processEvents()
            time.sleep(0.005)

    def clear(self):
        """Back to the state after the start: empty scene, no messages, no errors."""
        import slicer

        slicer.mrmlScene.Clear(False)
        self.processEvents()
        self.dialogs.clear()
        self.errors.clear()
        self.setTesting(True)
        self._application.exitCode = None

    def stop(self):
        """Modules cleaned up, views and window closed, scene taken down, in the order that VTK survives."""
        import slicer

        from . import pytorch_extension

        global _host
        self._application._moduleManager.unloadAll()
        if self.mainWindow is not None:
            self.closeMainWindow()
        self.dialogs.stop()
        pytorch_extension.setState("absent")
        self._application.sendPostedEvents(None, 0)
        self._application.processEvents()
        self._application.setSession(None)
        for name in ("app", "mrmlScene", "modules"):
            delattr(slicer, name)
        self._session.close()
        self._application.removeTemporaryFiles()
        _host = None


def start(withMainWindow=False, testing=True):
    """Start the host. Without display Qt's own "offscreen" platform is taken."""
    global _host
    if _host is not None:
        raise RuntimeError("The Slicer host runs already; stop() it first.")
    if not os.environ.get("DISPLAY") and sys.platform.startswith("linux"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    _host = Host(withMainWindow, testing)
    return _host


def _checkPySide():
    """PySide6 6.12's wheels lose a reference to None with every call that returns it under Python < 3.12, until the
    interpreter aborts somewhere else."""
    from PySide6 import QtCore

    calls = 200
    before, qobject = sys.getrefcount(None), QtCore.QObject()
    for _ in range(calls):
        qobject.parent()
    if before - sys.getrefcount(None) > calls // 2:
        raise RuntimeError(
            f"PySide6 {QtCore.__version__} corrupts Python {sys.version.split()[0]} (it loses references to None). "
            "Install PySide6-Essentials<6.12."
        )


def _quietVtk(vtk):
    """VTK's messages once, on standard error: its logger would print each a second time."""
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
    window = vtk.vtkOutputWindow()
    window.SetDisplayModeToAlwaysStdErr()
    vtk.vtkOutputWindow.SetInstance(window)


def _installPythonModules():
    """The Python files of Slicer that slicer-core does not ship."""
    import slicer

    from . import i18n, packaging, parameter_node, sample_data, scripted_module

    for name, module in (
        ("i18n", i18n),
        ("packaging", packaging),
        ("parameterNodeWrapper", parameter_node),
        ("ScriptedLoadableModule", scripted_module),
    ):
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    sys.modules["SampleData"] = sample_data
