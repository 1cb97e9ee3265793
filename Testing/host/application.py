"""Stand-in for qSlicerApplication (`slicer.app`) on a real QApplication, around a real MRML session."""

import shutil
import sys
import tempfile
from pathlib import Path

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal, Slot

from . import core_io
from .module_manager import qSlicerModuleManager
from .stored_property import storedProperty


class qSlicerCommandOptions(QtCore.QObject):
    noMainWindow = storedProperty(bool, "noMainWindow", False)
    isTestingEnabled = storedProperty(bool, "isTestingEnabled", True)
    runPythonAndExit = storedProperty(bool, "runPythonAndExit", False)
    disableSettings = storedProperty(bool, "disableSettings", True)
    verbose = storedProperty(bool, "verbose", False)


class qSlicerExtensionsManagerModel(QtCore.QObject):
    """Knows which extensions a test declared installed; an installation succeeds when the test says so."""

    interactive = storedProperty(bool, "interactive", True)
    extensionInstalled = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.installedNames = set()
        self.availableNames = set()
        self.requestedNames = []

    @Slot(str, result=bool)
    def isExtensionInstalled(self, name):
        return name in self.installedNames

    @Slot(str, result=bool)
    @Slot(str, bool, result=bool)
    @Slot(str, bool, bool, result=bool)
    def installExtensionFromServer(self, name, restart=True, update=False):
        """True too where the download failed (qSlicerExtensionsManagerModel.cxx, downloadAndInstallExtensionByName)."""
        self.requestedNames.append(name)
        if name in self.availableNames:
            self.installedNames.add(name)
            self.extensionInstalled.emit(name)
        if restart:
            qSlicerApplication.instance().restart()
        return True

    installedExtensions = Property("QStringList", lambda self: sorted(self.installedNames))


class qSlicerApplication(QtWidgets.QApplication):
    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)
    pausedRender = Signal(bool)

    def __init__(self, arguments):
        super().__init__(arguments)
        self.setApplicationName("Slicer")
        self.setApplicationVersion("5.13.0")
        self.setOrganizationName("HR-CAM test host")
        self.setQuitOnLastWindowClosed(False)
        self._temporaryPath = tempfile.mkdtemp(prefix="slicer-host-")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        for scope in (QtCore.QSettings.Scope.UserScope, QtCore.QSettings.Scope.SystemScope):
            QtCore.QSettings.setPath(QtCore.QSettings.Format.IniFormat, scope, self._temporaryPath)
        self._settings = QtCore.QSettings()
        self._commandOptions = qSlicerCommandOptions(self)
        self._ioManager = core_io.qSlicerCoreIOManager(self)
        self._moduleManager = qSlicerModuleManager(self)
        self._extensionsManager = qSlicerExtensionsManagerModel(self)
        self._session = self._layoutManager = None
        self._pauses = 0
        self.exitCode = None
        self.restarts = 0

    def setSession(self, session):
        self._session = session
        self.mrmlSceneChanged.emit(session.scene if session else None)

    def setLayoutManager(self, layoutManager):
        self._layoutManager = layoutManager

    def removeTemporaryFiles(self):
        self._settings.sync()
        shutil.rmtree(self._temporaryPath, ignore_errors=True)

    temporaryPath = Property(str, lambda self: self._temporaryPath)
    slicerHome = Property(str, lambda self: str(Path(sys.prefix)))
    slicerUserSettingsFilePath = Property(str, lambda self: self._settings.fileName())
    launcherExecutableFilePath = Property(str, lambda self: "")
    launcherSettingsFilePath = Property(str, lambda self: "")
    os = Property(str, lambda self: {"darwin": "macosx", "win32": "win"}.get(sys.platform, "linux"))
    majorVersion = Property(int, lambda self: 5)
    minorVersion = Property(int, lambda self: 13)
    revision = Property(str, lambda self: "31053")
    documentationBaseUrl = Property(str, lambda self: "https://slicer.readthedocs.io/en/latest/")

    @Slot(result=object)
    def mrmlScene(self):
        return self._session.scene

    @Slot(result=object)
    def applicationLogic(self):
        return self._session.application_logic

    @Slot(result=object)
    def layoutManager(self):
        """None without main window, as in Slicer."""
        return self._layoutManager

    @Slot(result=object)
    def coreIOManager(self):
        return self._ioManager

    @Slot(result=object)
    def ioManager(self):
        return self._ioManager

    @Slot(result=object)
    def moduleManager(self):
        return self._moduleManager

    @Slot(result=object)
    def extensionsManagerModel(self):
        return self._extensionsManager

    @Slot(result=object)
    def commandOptions(self):
        return self._commandOptions

    @Slot(result=object)
    def settings(self):
        return self._settings

    @Slot(result=object)
    def userSettings(self):
        return self._settings

    @Slot(result=object)
    def revisionUserSettings(self):
        return self._settings

    @Slot(result=bool)
    def testingEnabled(self):
        return self._commandOptions.isTestingEnabled

    @Slot(result=bool)
    def pauseRender(self):
        self._pauses += 1
        if self._pauses == 1:
            self.pausedRender.emit(True)
        return True

    @Slot()
    def resumeRender(self):
        self._pauses = max(0, self._pauses - 1)
        if self._pauses == 0:
            self.pausedRender.emit(False)

    @Slot(bool)
    def setRenderPaused(self, paused):
        if paused:
            self.pauseRender()
        else:
            self.resumeRender()

    isRenderPaused = Property(bool, lambda self: self._pauses > 0)

    @Slot(result=object)
    def startupEnvironment(self):
        return QtCore.QProcessEnvironment.systemEnvironment()

    @Slot(str, result=str)
    def moduleDocumentationUrl(self, moduleName):
        return f"{self.documentationBaseUrl}user_guide/modules/{moduleName.lower()}.html"

    @Slot(int)
    def exit(self, code=0):
        """Noted, not done: the tests go on. `python -m Testing.host` ends its event loop."""
        self.exitCode = code
        QtWidgets.QApplication.exit(code)

    @Slot()
    def restart(self):
        """Counted, not done. Slicer starts another process each time."""
        self.restarts += 1


CLASSES = (
    qSlicerApplication,
    qSlicerCommandOptions,
    *core_io.CLASSES,
    qSlicerExtensionsManagerModel,
    qSlicerModuleManager,
)
