"""Stand-ins for the qMRML widgets that scripted modules use, on real MRML scenes."""

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal, Slot

from .stored_property import storedProperty


class qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    @Slot(result=object)
    def mrmlScene(self):
        return self._scene

    @Slot(object)
    def setMRMLScene(self, scene):
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qSlicerWidget(qMRMLWidget):
    pass


class qMRMLSortFilterProxyModel(QtCore.QObject):
    """What a selector leaves out, by the nodes' IDs."""

    hiddenNodeIDs = storedProperty("QStringList", "hiddenNodeIDs", [])

    def __init__(self, selector):
        super().__init__(selector)
        self._propertyChanged = selector._propertyChanged


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Selector of a node of the scene: follows nodes added, removed, renamed; a removed current node is replaced by
    another fitting one, even with noneEnabled (as checked on a real Slicer)."""

    currentNodeChanged = Signal((object,), (bool,))
    currentNodeIDChanged = Signal(str)
    nodeActivated = Signal(object)
    nodeAdded = Signal(object)
    nodeAddedByUser = Signal(object)
    nodeAboutToBeRemoved = Signal(object)
    nodeAboutToBeEdited = Signal(object)
    nodeTypes = storedProperty("QStringList", "nodeTypes", [])
    hideChildNodeTypes = storedProperty("QStringList", "hideChildNodeTypes", [])
    showHidden = storedProperty(bool, "showHidden", False)
    showChildNodeTypes = storedProperty(bool, "showChildNodeTypes", True)
    noneEnabled = storedProperty(bool, "noneEnabled", False)
    addEnabled = storedProperty(bool, "addEnabled", True)
    removeEnabled = storedProperty(bool, "removeEnabled", True)
    renameEnabled = storedProperty(bool, "renameEnabled", False)
    editEnabled = storedProperty(bool, "editEnabled", False)
    selectNodeUponCreation = storedProperty(bool, "selectNodeUponCreation", True)
    noneDisplay = storedProperty(str, "noneDisplay", "None")
    baseName = storedProperty(str, "baseName", "")
    interactionNodeSingletonTag = storedProperty(str, "interactionNodeSingletonTag", "")

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = self._current = None
        self._attributes = []  # (node class, attribute, value or None)
        self._sceneObservers = []
        self._nodeObservers = {}  # node ID → (node, tag)
        self._filter = qMRMLSortFilterProxyModel(self)
        self._combo = QtWidgets.QComboBox()
        self._combo.activated.connect(self._onActivated)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self.setFocusProxy(self._combo)
        self.setEnabled(False)

    # What fits.

    def _fits(self, node):
        if node.GetID() in self._filter.hiddenNodeIDs or (node.GetHideFromEditors() and not self.showHidden):
            return False
        if any(node.IsA(hidden) for hidden in self.hideChildNodeTypes):
            return False
        if not any(node.IsA(t) if self.showChildNodeTypes else node.GetClassName() == t for t in self.nodeTypes):
            return False
        return all(
            node.GetAttribute(name) is not None and (value is None or node.GetAttribute(name) == value)
            for class_, name, value in self._attributes
            if node.IsA(class_)
        )

    def _nodes(self):
        if self._scene is None:
            return []
        nodes = (self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if self._fits(node)]

    # What is shown.

    def _propertyChanged(self, _name):
        self._refresh()

    def _refresh(self):
        nodes = self._nodes()
        self._combo.clear()
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay, "")
        for node in nodes:
            self._combo.addItem(node.GetName(), node.GetID())
            if node.GetID() not in self._nodeObservers:
                tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onNodeModified)
                self._nodeObservers[node.GetID()] = (node, tag)
        self._addActions()
        if self._current is not None and self._current not in nodes:
            self._select(nodes[0] if nodes else None)
        elif self._current is None and nodes and not self.noneEnabled:
            self._select(nodes[0])
        self._showCurrent()

    def _addActions(self):
        actions = []
        if self.addEnabled:
            actions = [("Create new " + _typeLabel(t), "+" + t) for t in self.nodeTypes]
        if self.renameEnabled:
            actions.append(("Rename current node", "~"))
        if self.removeEnabled:
            actions.append(("Delete current node", "-"))
        if actions:
            self._combo.insertSeparator(self._combo.count())
        for label, data in actions:
            self._combo.addItem(label, data)

    def _showCurrent(self):
        self._combo.setCurrentIndex(self._combo.findData(self._current.GetID() if self._current else ""))

    def _select(self, node):
        if node is self._current:
            return
        self._current = node
        self._showCurrent()
        self.currentNodeChanged[object].emit(node)
        self.currentNodeChanged[bool].emit(node is not None)
        self.currentNodeIDChanged.emit(node.GetID() if node else "")

    def _onActivated(self, index):
        data = self._combo.itemData(index)
        if data and data[0] == "+":
            self.nodeAddedByUser.emit(self.addNode(data[1:]))
        elif data == "-":
            self.removeCurrentNode()
        elif data == "~":
            self.renameCurrentNode()
        else:
            self._select(self._scene.GetNodeByID(data) if data else None)
            self.nodeActivated.emit(self._current)
        self._showCurrent()

    # What the scene says.

    def _onSceneEvent(self, _caller, _event):
        if not self._scene.IsBatchProcessing():
            self._refresh()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAdded(self, _caller, _event, node):
        if not self._scene.IsBatchProcessing():
            self._refresh()
            if self._fits(node):
                self.nodeAdded.emit(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _caller, _event, node):
        if node.GetID() in self._nodeObservers:
            observed, tag = self._nodeObservers.pop(node.GetID())
            observed.RemoveObserver(tag)
            self.nodeAboutToBeRemoved.emit(node)

    def _onNodeModified(self, node, _event):
        index = self._combo.findData(node.GetID() or "")
        if index >= 0 and self._combo.itemText(index) != node.GetName():
            self._combo.setItemText(index, node.GetName())

    # Slots and invokables of the real class.

    @Slot(object)
    def setMRMLScene(self, scene):
        if scene is self._scene:
            return
        for observed, tag in self._sceneObservers + list(self._nodeObservers.values()):
            observed.RemoveObserver(tag)
        self._scene, self._sceneObservers, self._nodeObservers = scene, [], {}
        self.setEnabled(scene is not None)
        if scene is not None:
            events = slicer.vtkMRMLScene
            observers = {events.NodeAddedEvent: self._onNodeAdded}
            observers[events.NodeAboutToBeRemovedEvent] = self._onNodeAboutToBeRemoved
            for event in ("NodeRemovedEvent", "EndBatchProcessEvent", "EndImportEvent", "EndCloseEvent"):
                observers[getattr(events, event)] = self._onSceneEvent
            self._sceneObservers = [(scene, scene.AddObserver(event, f)) for event, f in observers.items()]
        self._refresh()

    @Slot(result=object)
    def mrmlScene(self):
        return self._scene

    @Slot(result=object)
    def sortFilterProxyModel(self):
        return self._filter

    @Slot(result=object)
    def currentNode(self):
        return self._current

    @Slot(object)
    def setCurrentNode(self, node):
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node)
        if node is not None and node not in self._nodes():
            node = None
        self._select(node)

    @Slot(str)
    def setCurrentNodeID(self, nodeId):
        self.setCurrentNode(self._scene.GetNodeByID(nodeId) if self._scene and nodeId else None)

    @Slot(int)
    def setCurrentNodeIndex(self, index):
        self._select(self.nodeFromIndex(index))

    @Slot(int, result=object)
    def nodeFromIndex(self, index):
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    @Slot(result=int)
    def nodeCount(self):
        return len(self._nodes())

    @Slot(result=object)
    @Slot(str, result=object)
    def addNode(self, nodeType=""):
        nodeType = nodeType or self.nodeTypes[0]
        node = self._scene.CreateNodeByClass(nodeType)
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self.baseName or _typeLabel(nodeType)))
        for class_, name, value in self._attributes:
            if node.IsA(class_) and value is not None:
                node.SetAttribute(name, value)
        self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self._select(node)
        return node

    @Slot()
    def removeCurrentNode(self):
        if self._current is not None:
            self._scene.RemoveNode(self._current)

    @Slot()
    def renameCurrentNode(self):
        name, accepted = QtWidgets.QInputDialog.getText(self, "Rename", "Name", text=self._current.GetName())
        if accepted:
            self._current.SetName(name)

    @Slot(str, str)
    @Slot(str, str, object)
    def addAttribute(self, nodeType, name, value=None):
        self._attributes.append((nodeType, name, None if value is None else str(value)))
        self._refresh()

    @Slot(str, str)
    def removeAttribute(self, nodeType, name):
        self._attributes = [a for a in self._attributes if a[:2] != (nodeType, name)]
        self._refresh()

    currentNodeID = Property(str, lambda self: self._current.GetID() if self._current else "", setCurrentNodeID)


def _typeLabel(nodeType):
    return nodeType.replace("vtkMRML", "").removesuffix("Node")


class qMRMLColorTableComboBox(qMRMLNodeComboBox):
    """Color nodes; the lists of the scene's default nodes are hidden from editors, hence showHidden."""

    def __init__(self, parent=None):
        super().__init__(parent)
        for name, value in (("nodeTypes", ["vtkMRMLColorNode"]), ("showHidden", True), ("addEnabled", False)):
            self.setProperty(name, value)
        self.setProperty("removeEnabled", False)


CLASSES = (qMRMLWidget, qSlicerWidget, qMRMLSortFilterProxyModel, qMRMLNodeComboBox, qMRMLColorTableComboBox)
