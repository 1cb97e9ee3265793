"""The layout manager: Slicer's own layout descriptions, by the real vtkMRMLLayoutLogic, as Qt widgets."""

import xml.etree.ElementTree as ElementTree

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt, Signal, Slot

from .views import qMRMLSliceView, qMRMLThreeDView


class qMRMLSliceControllerWidget(QtWidgets.QWidget):
    """The bar above a slice view: its color, offset slider, fit button."""

    def __init__(self, sliceView, parent=None):
        super().__init__(parent)
        self._logic, self._node = sliceView.sliceLogic(), sliceView.mrmlSliceNode()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(4, 0, 4, 0)
        color = ",".join(str(round(255 * c)) for c in self._node.GetLayoutColor())
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setStyleSheet(f"qMRMLSliceControllerWidget {{ background: rgb({color}); }}")
        label = QtWidgets.QLabel(self._node.GetLayoutLabel() or "")
        self._slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self._offset = QtWidgets.QLabel()
        fit = QtWidgets.QToolButton()
        fit.setText("Fit")
        for widget, stretch in ((label, 0), (self._slider, 1), (self._offset, 0), (fit, 0)):
            row.addWidget(widget, stretch)
        fit.clicked.connect(self.fitSliceToBackground)
        self._slider.valueChanged.connect(self._onSlider)
        self._low, self._step = 0.0, 1.0
        modified = vtk.vtkCommand.ModifiedEvent
        self._observers = [(o, o.AddObserver(modified, self._show)) for o in (self._logic, self._node)]
        self._show()

    def _onSlider(self, position):
        self._logic.SetSliceOffset(self._low + position * self._step)

    def _show(self, *_):
        bounds, resolution = [0.0, 0.0], vtk.reference(1.0)
        self._logic.GetSliceOffsetRangeResolution(bounds, resolution)
        self._low, self._step = bounds[0], float(resolution) or 1.0
        offset = self._logic.GetSliceOffset()
        with QtCore.QSignalBlocker(self._slider):
            self._slider.setRange(0, max(0, round((bounds[1] - bounds[0]) / self._step)))
            self._slider.setValue(round((offset - self._low) / self._step))
        self._offset.setText(f"{offset:.1f} mm")

    def disconnectAll(self):
        for observed, tag in self._observers:
            observed.RemoveObserver(tag)

    @Slot()
    def fitSliceToBackground(self):
        self._logic.FitSliceToBackground()
        self._logic.SnapSliceOffsetToIJK()

    @Slot(bool)
    def setSliceVisible(self, visible):
        self._node.SetSliceVisible(visible)

    @Slot(result=object)
    def mrmlSliceNode(self):
        return self._node

    @Slot(result=object)
    def sliceLogic(self):
        return self._logic

    @Slot(result=object)
    def sliceOffsetSlider(self):
        return self._slider


class qMRMLSliceWidget(QtWidgets.QWidget):
    def __init__(self, node, parent=None):
        super().__init__(parent)
        self._view = qMRMLSliceView(node)
        self._controller = qMRMLSliceControllerWidget(self._view)
        _stack(self, self._controller, self._view)

    @Slot(result=object)
    def sliceView(self):
        return self._view

    @Slot(result=object)
    def sliceController(self):
        return self._controller

    @Slot(result=object)
    def sliceLogic(self):
        return self._view.sliceLogic()

    @Slot(result=object)
    def mrmlSliceNode(self):
        return self._view.mrmlSliceNode()

    @Slot()
    def fitSliceToBackground(self):
        self._controller.fitSliceToBackground()

    def closeView(self):
        self._controller.disconnectAll()
        self._view.close()


class qMRMLThreeDWidget(QtWidgets.QWidget):
    def __init__(self, node, parent=None):
        super().__init__(parent)
        self._view = qMRMLThreeDView(node)
        self._controller = QtWidgets.QLabel(f" {node.GetLayoutLabel() or node.GetLayoutName()}")
        self._controller.setStyleSheet("background: rgb(116,120,190); color: white;")
        _stack(self, self._controller, self._view)

    @Slot(result=object)
    def threeDView(self):
        return self._view

    @Slot(result=object)
    def mrmlViewNode(self):
        return self._view.mrmlViewNode()

    def closeView(self):
        self._view.close()


def _stack(widget, controller, view):
    column = QtWidgets.QVBoxLayout(widget)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(0)
    column.addWidget(controller)
    column.addWidget(view, 1)


def _applyProperties(node, element):
    """What the layout description says of a view: orientation, label, color (Slicer's view factories do this)."""
    for item in element.findall("property"):
        name, value = item.get("name"), item.text
        if name == "orientation":
            node.SetOrientation(value)
            node.SetDefaultOrientation(value)
        elif name == "viewlabel":
            node.SetLayoutLabel(value)
        elif name == "viewcolor":
            color = QtGui.QColor(value)
            node.SetLayoutColor(color.redF(), color.greenF(), color.blueF())


WIDGETS = {"vtkMRMLSliceNode": qMRMLSliceWidget, "vtkMRMLViewNode": qMRMLThreeDWidget}


class qSlicerLayoutManager(QtCore.QObject):
    """`slicer.app.layoutManager()`. A view, once shown, is kept (hidden) when the layout changes, as in Slicer."""

    layoutChanged = Signal(int)

    def __init__(self, viewport):
        super().__init__(viewport)
        self._viewport = viewport
        QtWidgets.QVBoxLayout(viewport).setContentsMargins(0, 0, 0, 0)
        self._widgets = {}  # view node ID → widget
        self._shown = None
        self._unshown = QtWidgets.QWidget(viewport)
        self._unshown.hide()
        applicationLogic = slicer.app.applicationLogic()
        self._sliceLogics, self._viewLogics = vtk.vtkCollection(), vtk.vtkCollection()
        applicationLogic.SetSliceLogics(self._sliceLogics)
        applicationLogic.SetViewLogics(self._viewLogics)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(applicationLogic)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._layout = None
        self._observedNode = self._observer = None
        events = slicer.vtkMRMLScene
        self._sceneObservers = [
            slicer.mrmlScene.AddObserver(event, self._onSceneReplaced)
            for event in (events.EndCloseEvent, events.EndImportEvent)
        ]
        self._observe()
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)

    def _observe(self):
        node = self._logic.GetLayoutNode()
        if node is not self._observedNode:
            if self._observedNode is not None:
                self._observedNode.RemoveObserver(self._observer)
            self._observedNode = node
            self._observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLayoutNode)

    def _onSceneReplaced(self, *_):
        self._observe()
        self._onLayoutNode()

    def _onLayoutNode(self, *_):
        arrangement = self._logic.GetLayoutNode().GetViewArrangement()
        if arrangement != self._layout:
            self._layout = arrangement
            self._build()
            self.layoutChanged.emit(arrangement)

    def _build(self):
        description = self._logic.GetLayoutNode().GetCurrentLayoutDescription()
        for widget in self._widgets.values():
            widget.setParent(self._unshown)
        if self._shown is not None:
            self._viewport.layout().removeWidget(self._shown)
            self._shown.hide()
            self._shown.deleteLater()
            self._shown = None
        if not description:
            return
        self._shown = self._element(ElementTree.fromstring(description))
        self._viewport.layout().addWidget(self._shown)
        self._shown.show()
        views = self._logic.GetViewNodes()
        mapped = {views.GetItemAsObject(i).GetID() for i in range(views.GetNumberOfItems())}
        for nodeId in self._widgets:
            slicer.mrmlScene.GetNodeByID(nodeId).SetMappedInLayout(nodeId in mapped)

    def _element(self, element):
        if element.tag == "view":
            return self._viewWidget(element)
        kind = element.get("type", "horizontal")
        items = [(item, self._element(item[0])) for item in element.findall("item")]
        if kind == "tab":
            tabs = QtWidgets.QTabWidget()
            for item, widget in items:
                tabs.addTab(widget, item.get("name", ""))
            return tabs
        if kind == "grid":
            box = QtWidgets.QWidget()
            grid = QtWidgets.QGridLayout(box)
            grid.setContentsMargins(0, 0, 0, 0)
            grid.setSpacing(2)
            for item, widget in items:
                grid.addWidget(widget, int(item.get("row", 0)), int(item.get("column", 0)))
            return box
        orientation = Qt.Orientation.Vertical if kind == "vertical" else Qt.Orientation.Horizontal
        splitter = QtWidgets.QSplitter(orientation)
        for i, (_, widget) in enumerate(items):
            splitter.addWidget(widget)
            splitter.setStretchFactor(i, 1)
        splitter.setSizes([10000] * len(items))
        return splitter

    def _viewWidget(self, element):
        className = element.get("class")
        node = slicer.mrmlScene.GetSingletonNode(element.get("singletontag"), className)
        if className not in WIDGETS:
            return QtWidgets.QLabel(f"The test host has no {className.removeprefix('vtkMRML').removesuffix('Node')}.")
        if node.GetID() not in self._widgets:
            _applyProperties(node, element)
            self._widgets[node.GetID()] = WIDGETS[className](node)
        widget = self._widgets[node.GetID()]
        widget.show()
        return widget

    def _ofKind(self, kind):
        return [w for w in self._widgets.values() if isinstance(w, kind)]

    def closeViews(self):
        """Take the views apart before the scene goes."""
        self._observedNode.RemoveObserver(self._observer)
        for tag in self._sceneObservers:
            slicer.mrmlScene.RemoveObserver(tag)
        warnings = vtk.vtkObject.GetGlobalWarningDisplay()
        vtk.vtkObject.SetGlobalWarningDisplay(0)  # a manager complains about its view node as that goes
        for widget in self._widgets.values():
            widget.closeView()
        self._widgets.clear()
        self._logic.SetMRMLScene(None)
        vtk.vtkObject.SetGlobalWarningDisplay(warnings)
        self._logic.SetMRMLApplicationLogic(None)
        self._sliceLogics.RemoveAllItems()
        self._viewLogics.RemoveAllItems()
        slicer.app.applicationLogic().SetSliceLogics(None)
        slicer.app.applicationLogic().SetViewLogics(None)

    @Slot(int)
    def setLayout(self, layout):
        self._logic.GetLayoutNode().SetViewArrangement(layout)

    layout = Property(int, lambda self: self._layout or 0, setLayout)

    @Slot(result=object)
    def layoutLogic(self):
        return self._logic

    @Slot(result=object)
    def viewport(self):
        return self._viewport

    @Slot(result=object)
    def sliceViewNames(self):
        return [w.mrmlSliceNode().GetLayoutName() for w in self._ofKind(qMRMLSliceWidget)]

    @Slot(str, result=object)
    def sliceWidget(self, name):
        slices = self._ofKind(qMRMLSliceWidget)
        return next((w for w in slices if w.mrmlSliceNode().GetLayoutName() == name), None)

    @Slot(result=object)
    def mrmlSliceLogics(self):
        return self._sliceLogics

    @Slot(int, result=object)
    def threeDWidget(self, index):
        views = self._ofKind(qMRMLThreeDWidget)
        return views[index] if 0 <= index < len(views) else None

    threeDViewCount = Property(int, lambda self: len(self._ofKind(qMRMLThreeDWidget)))
    tableViewCount = Property(int, lambda self: 0)
    plotViewCount = Property(int, lambda self: 0)

    @Slot()
    def resetSliceViews(self):
        for widget in self._ofKind(qMRMLSliceWidget):
            widget.fitSliceToBackground()

    @Slot()
    def resetThreeDViews(self):
        for widget in self._ofKind(qMRMLThreeDWidget):
            widget.threeDView().resetFocalPoint()
            widget.threeDView().resetCamera()


CLASSES = (qMRMLSliceControllerWidget, qMRMLSliceWidget, qMRMLThreeDWidget, qSlicerLayoutManager)
