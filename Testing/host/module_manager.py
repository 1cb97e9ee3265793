"""Stand-ins for Slicer's modules and their manager: C++ modules by their logics, scripted ones from a file."""

import importlib.util
import sys
import types
from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal, Slot

from . import pythonqt
from .pythonqt_values import reportError
from .stored_property import storedProperty
from .widgets_qmrml import qSlicerWidget


class qSlicerLoadableModule(QtCore.QObject):
    """A C++ module of Slicer: name, title, and the real logic; the host has no panel of it."""

    title = storedProperty(str, "title", "")
    path = storedProperty(str, "path", "")
    hidden = storedProperty(bool, "hidden", False)

    def __init__(self, name, logic, parent=None):
        super().__init__(parent)
        self._name, self._logic = name, logic
        self.setProperty("title", name)

    name = Property(str, lambda self: self._name)

    @Slot(result=object)
    def logic(self):
        return self._logic

    @Slot(result=object)
    def widgetRepresentation(self):
        raise NotImplementedError(f"The test host has no panel of the module {self._name}.")


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """A scripted module: `<Name>.py` with the classes `<Name>`, `<Name>Widget`, `<Name>Logic`, `<Name>Test`."""

    title = storedProperty(str, "title", "")
    categories = storedProperty("QStringList", "categories", [])
    dependencies = storedProperty("QStringList", "dependencies", [])
    contributors = storedProperty("QStringList", "contributors", [])
    associatedNodeTypes = storedProperty("QStringList", "associatedNodeTypes", [])
    helpText = storedProperty(str, "helpText", "")
    acknowledgementText = storedProperty(str, "acknowledgementText", "")
    icon = storedProperty(QtGui.QIcon, "icon", None)
    hidden = storedProperty(bool, "hidden", False)
    index = storedProperty(int, "index", -1)
    widgetRepresentationCreationEnabled = storedProperty(bool, "widgetRepresentationCreationEnabled", True)

    def __init__(self, filePath, logic, parent=None):
        super().__init__(parent)
        self._path, self._logic = Path(filePath).resolve(), logic
        self._widget = None
        self._ownWidgets = []

    name = Property(str, lambda self: self._path.stem)
    path = Property(str, lambda self: str(self._path))

    def load(self):
        """Run the file and build its module class; an error propagates (Slicer would not list the module)."""
        name = self._path.stem
        if str(self._path.parent) not in sys.path:
            sys.path.insert(0, str(self._path.parent))
        spec = importlib.util.spec_from_file_location(name, self._path)
        pythonModule = importlib.util.module_from_spec(spec)
        sys.modules[name] = pythonModule
        try:
            spec.loader.exec_module(pythonModule)
            instance = getattr(pythonModule, name)(pythonqt.wrap(self))
        except BaseException:
            sys.modules.pop(name, None)
            raise
        setattr(slicer.modules, f"{name}Instance", instance)
        if not hasattr(pythonModule, f"{name}Widget"):  # Slicer asks at this point: what is imported late no longer is
            self.setProperty("widgetRepresentationCreationEnabled", False)
        reader = getattr(pythonModule, f"{name}FileReader", None)
        if reader is not None:
            QtWidgets.QApplication.instance()._ioManager.registerReader(name, reader)
        if hasattr(instance, "setup"):
            instance.setup()

    @Slot(result=object)
    def logic(self):
        return self._logic

    @Slot(result=object)
    def widgetRepresentation(self):
        if self._widget is None and self.widgetRepresentationCreationEnabled:
            self._widget = self.createNewWidgetRepresentation()
        return self._widget

    @Slot(result=object)
    def createNewWidgetRepresentation(self):
        widget = qSlicerScriptedLoadableModuleWidget(self._path.stem)
        widget.reload()
        widget.setMRMLScene(slicer.mrmlScene)
        self._ownWidgets.append(widget)
        return widget

    def close(self):
        for widget in self._ownWidgets:
            widget.deleteLater()
        self._ownWidgets, self._widget = [], None


class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    """The panel around a script's `<Name>Widget`. Errors in the script are printed and noted, as by PythonQt."""

    def __init__(self, moduleName, parent=None):
        super().__init__(parent)
        self._moduleName, self._scriptWidget, self._entered = moduleName, None, False
        QtWidgets.QVBoxLayout(self)

    @Slot()
    def reload(self):
        scriptClass = getattr(sys.modules[self._moduleName], f"{self._moduleName}Widget")
        self._scriptWidget = None
        self._scriptWidget = self._guarded(lambda: scriptClass(pythonqt.wrap(self)))
        setattr(slicer.modules, f"{self._moduleName}Widget", self._scriptWidget)
        self._call("setup")

    @Slot(result=object)
    def self(self):
        return self._scriptWidget

    @Slot()
    def enter(self):
        self._entered = True
        self._call("enter")

    @Slot()
    def exit(self):
        self._entered = False
        self._call("exit")

    isEntered = Property(bool, lambda self: self._entered)

    def _call(self, method):
        if hasattr(self._scriptWidget, method):
            self._guarded(getattr(self._scriptWidget, method))

    @staticmethod
    def _guarded(function):
        try:
            return function()
        except Exception as error:
            reportError(error)
            return None


class qSlicerModuleFactoryManager(QtCore.QObject):
    def __init__(self, modules, parent):
        super().__init__(parent)
        self._modules = modules

    @Slot(result=object)
    def loadedModuleNames(self):
        return list(self._modules)

    @Slot(str, result=bool)
    def isLoaded(self, name):
        return name in self._modules


class qSlicerModuleManager(QtCore.QObject):
    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)
    moduleUnloaded = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._modules = {}
        self._factory = qSlicerModuleFactoryManager(self._modules, self)

    @Slot(str, result=object)
    def module(self, name):
        return self._modules.get(name)

    @Slot(result=object)
    def modulesNames(self):
        return list(self._modules)

    @Slot(result=object)
    def factoryManager(self):
        return self._factory

    def addLoadableModules(self, logics):
        """`slicer.modules.<lower-case name>` for each of `{name: logic}`."""
        slicer.modules = types.SimpleNamespace()
        for name, logic in logics.items():
            self._add(qSlicerLoadableModule(name, logic, self))

    def addScriptedModule(self, filePath):
        """Load a module from its file; returns the module object (façade)."""
        logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
        logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        logic.SetMRMLScene(slicer.mrmlScene)
        module = qSlicerScriptedLoadableModule(filePath, logic, self)
        self._add(module)
        try:
            module.load()
        except BaseException:
            self._remove(module.property("name"))
            raise
        self.moduleLoaded.emit(module.property("name"))
        return pythonqt.wrap(module)

    def unload(self, name):
        """What happens at exit: `cleanup()` of the panel, then everything of the module goes."""
        self.moduleAboutToBeUnloaded.emit(name)
        module = self._modules[name]
        if isinstance(module, qSlicerScriptedLoadableModule):
            module.close()
            QtWidgets.QApplication.instance()._ioManager.unregisterReader(name)
            module.logic().SetMRMLScene(None)
            module.logic().SetMRMLApplicationLogic(None)
            for attribute in (f"{name}Instance", f"{name}Widget"):
                vars(slicer.modules).pop(attribute, None)
            sys.modules.pop(name, None)
        self._remove(name)
        self.moduleUnloaded.emit(name)

    def unloadAll(self):
        for name in reversed(list(self._modules)):
            self.unload(name)

    def _add(self, module):
        name = module.property("name")
        if name in self._modules:
            raise RuntimeError(f"The module {name} is loaded already.")
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), pythonqt.wrap(module))

    def _remove(self, name):
        self._modules.pop(name).deleteLater()
        delattr(slicer.modules, name.lower())


CLASSES = (
    qSlicerLoadableModule,
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
    qSlicerModuleFactoryManager,
)
