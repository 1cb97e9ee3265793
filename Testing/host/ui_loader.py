"""`qt.QUiLoader` that knows the host's stand-ins for ctk and qMRML widgets."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from PySide6 import QtCore, QtUiTools

from . import pythonqt


class QUiLoader(QtUiTools.QUiLoader):
    """Promoted classes come from the host; a class without stand-in is an error, never a plain QWidget.

    The `.ui` file's `<connections>` are made through the façade, because signatures with VTK pointers
    (`mrmlSceneChanged(vtkMRMLScene*)`) are unknown to PySide6's loader.
    """

    _allMethodsVisible = True

    def createWidget(self, className, parent=None, name=""):
        if className in pythonqt.hostClasses:
            widget = pythonqt.hostClasses[className](parent)
            widget.setObjectName(name)
            return widget
        if re.match("ctk|qMRML|qSlicer", className):
            raise NotImplementedError(f"The test host has no stand-in for {className} (widget '{name}').")
        return super().createWidget(className, parent, name)

    def load(self, file, parent=None):
        root = ElementTree.fromstring(_content(file))
        connections = _takeConnections(root)
        customWidgets = root.find("customwidgets")
        if customWidgets is not None:
            root.remove(customWidgets)
        buffer = QtCore.QBuffer(self)
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        widget = super().load(buffer, parent)
        if widget is None:
            return None

        def named(name):
            found = widget if widget.objectName() == name else widget.findChild(QtCore.QObject, name)
            if found is None:
                raise RuntimeError(f"The .ui file connects '{name}', which it does not contain.")
            return pythonqt.wrap(found)

        for collapsible in widget.findChildren(pythonqt.hostClasses["ctkCollapsibleButton"]):
            collapsible.applyCollapsed()  # the children were added after the property was set
        for sender, signal, receiver, slot in connections:
            if not named(sender).connect(signal, named(receiver), slot):
                raise RuntimeError(f"The .ui file connects '{sender}' by {signal}, which it does not have.")
        return widget


def _content(file):
    if not isinstance(file, QtCore.QFile):
        return Path(file).read_bytes()
    if not file.isOpen():
        file.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
    return bytes(file.readAll())


def _takeConnections(root):
    connections = root.find("connections")
    if connections is None:
        return []
    root.remove(connections)
    return [tuple(c.findtext(k) for k in ("sender", "signal", "receiver", "slot")) for c in connections]
