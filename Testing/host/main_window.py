"""The main window: module selector and panel on the left, the views on the right."""

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Qt, Signal, Slot

from . import pythonqt
from .layout import qSlicerLayoutManager

PANEL_WIDTH = 430  # pixels, Slicer's usual one


class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    moduleSelected = Signal(str)

    def __init__(self, moduleManager, parent=None):
        super().__init__("Module selection", parent)
        self._moduleManager, self._selected = moduleManager, ""
        self._combo = QtWidgets.QComboBox()
        self.addWidget(QtWidgets.QLabel(" Modules: "))
        self.addWidget(self._combo)
        self._combo.activated.connect(lambda index: self.selectModule(self._combo.itemData(index)))
        moduleManager.moduleLoaded.connect(self._onLoaded)
        moduleManager.moduleAboutToBeUnloaded.connect(self._onUnloading)

    def _onLoaded(self, name):
        self._combo.addItem(self._moduleManager.module(name).property("title") or name, name)
        self._combo.setCurrentIndex(self._combo.findData(self._selected))

    def _onUnloading(self, name):
        if self._combo.findData(name) >= 0:
            self._combo.removeItem(self._combo.findData(name))
        if name == self._selected:
            self.selectModule("")

    @Slot(str)
    def selectModule(self, name):
        self._selected = name
        self._combo.setCurrentIndex(self._combo.findData(name))
        self.moduleSelected.emit(name)

    selectedModule = Property(str, lambda self: self._selected)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    def __init__(self, application):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self.setWindowTitle("3D Slicer (test host)")
        self._moduleManager = application._moduleManager
        self._selector = qSlicerModuleSelectorToolBar(self._moduleManager, self)
        self.addToolBar(self._selector)
        self._selector.moduleSelected.connect(self._showModule)
        self._panel = QtWidgets.QScrollArea()
        self._panel.setWidgetResizable(True)
        self._panel.setMinimumWidth(PANEL_WIDTH)
        self._panel.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._dock = QtWidgets.QDockWidget("3D Slicer")
        self._dock.setObjectName("PanelDockWidget")
        self._dock.setWidget(self._panel)
        self.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self._dock)
        viewport = QtWidgets.QWidget()
        viewport.setObjectName("CentralWidgetLayoutFrame")
        self.setCentralWidget(viewport)
        self.statusBar()
        self._layoutManager = qSlicerLayoutManager(viewport)
        application.setLayoutManager(self._layoutManager)
        self._application = application
        self._entered = None
        self.resize(1280, 860)

    def _showModule(self, name):
        if self._entered is not None:
            self._entered.exit()
            self._entered = None
        panel = self._panel.takeWidget()
        if panel is not None:
            panel.hide()
            panel.setParent(None)  # PySide keeps it as a child of the window, which would take it along
        module = self._moduleManager.module(name) if name else None
        widget = module.widgetRepresentation() if module is not None else None
        if widget is not None:
            self._panel.setWidget(widget)
            widget.show()
            widget.enter()
            self._entered = widget

    def closeViews(self):
        self._selector.selectModule("")
        self._layoutManager.closeViews()
        self._application.setLayoutManager(None)

    @Slot(result=object)
    def moduleSelector(self):
        return self._selector

    def sizeHint(self):
        return QtCore.QSize(1280, 860)


CLASSES = (qSlicerMainWindow, qSlicerModuleSelectorToolBar)


def open_(application):
    """Build and show the window; returns it (façade: `slicer.util.mainWindow()`)."""
    window = qSlicerMainWindow(application)
    window.show()
    application.processEvents()
    return pythonqt.wrap(window)
