"""Stand-ins for CTK's containers, path and choice widgets. Through `ctk` only properties, signals and slots show."""

from pathlib import Path

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt, Signal, Slot

from .stored_property import storedProperty

HEADER_HEIGHT = 24  # pixels of a collapsible button's own button
UNLIMITED = 16777215  # QWIDGETSIZE_MAX


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    contentsCollapsed = Signal(bool)
    flat = storedProperty(bool, "flat", False)
    contentsFrameShape = storedProperty(int, "contentsFrameShape", 0)
    collapsedHeight = storedProperty(int, "collapsedHeight", 10)

    def __init__(self, parent=None):
        super().__init__(None if isinstance(parent, str) else parent)
        if isinstance(parent, str):
            self.setText(parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER_HEIGHT, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Preferred)
        self.toggled.connect(self._onToggled)

    def _setCollapsed(self, collapsed):
        self.setChecked(not collapsed)

    collapsed = Property(bool, lambda self: not self.isChecked(), _setCollapsed)

    def _onToggled(self, expanded):
        self.applyCollapsed()
        self.contentsCollapsed.emit(not expanded)

    def applyCollapsed(self):
        """Hide or show the contents. As in CTK nothing is hidden before the widget was created on screen, so that
        children of a never shown, collapsed button answer `isVisibleTo` with True."""
        expanded = self.isChecked()
        self.setMaximumHeight(UNLIMITED if expanded else HEADER_HEIGHT)
        if self.testAttribute(Qt.WidgetAttribute.WA_WState_Created):
            for child in self.children():
                if not isinstance(child, QtWidgets.QWidget):
                    continue
                if not expanded and child.property("_hiddenByScript") is None:
                    child.setProperty("_hiddenByScript", child.isHidden())
                    child.hide()
                elif expanded and child.property("_hiddenByScript") is not None:
                    child.setVisible(not child.property("_hiddenByScript"))
                    child.setProperty("_hiddenByScript", None)
        self.updateGeometry()

    def showEvent(self, event):
        self.applyCollapsed()
        super().showEvent(event)

    def sizeHint(self):
        expanded = self.layout() is not None and self.isChecked()
        hint = self.layout().totalSizeHint() if expanded else QtCore.QSize(120, HEADER_HEIGHT)
        return QtCore.QSize(hint.width(), max(hint.height(), HEADER_HEIGHT))

    def minimumSizeHint(self):
        # As CTK's: what the layout needs at least. Wrapped labels would ask for a wide panel by their size hints.
        hint = self.sizeHint()
        expanded = self.layout() is not None and self.isChecked()
        return QtCore.QSize(self.layout().totalMinimumSize().width(), hint.height()) if expanded else hint

    def hitButton(self, position):
        return position.y() < HEADER_HEIGHT

    def paintEvent(self, event):
        painter = QtWidgets.QStylePainter(self)
        button = QtWidgets.QStyleOptionButton()
        button.initFrom(self)
        button.rect = QtCore.QRect(0, 0, self.width(), HEADER_HEIGHT)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, button)
        painter.drawText(button.rect.adjusted(22, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self.text())
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(6, 6, 12, 12)
        style = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(style.PE_IndicatorArrowDown if self.isChecked() else style.PE_IndicatorArrowRight, arrow)


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    collapsedHeight = storedProperty(int, "collapsedHeight", 14)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setCheckable(True)
        self.toggled.connect(self._apply)

    def _apply(self, expanded):
        self.setMaximumHeight(UNLIMITED if expanded else HEADER_HEIGHT)

    collapsed = Property(bool, lambda self: not self.isChecked(), lambda self, value: self.setChecked(not value))


class ctkPathLineEdit(QtWidgets.QWidget):
    """Filters: Dirs 1, Files 2, Readable 16, Writable 32 (QDir::Filter), as the properties of the real one."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    filters = storedProperty(int, "filters", 3)
    nameFilters = storedProperty("QStringList", "nameFilters", [])
    settingKey = storedProperty(str, "settingKey", "")
    label = storedProperty(str, "label", "")
    showBrowseButton = storedProperty(bool, "showBrowseButton", True)
    showHistoryButton = storedProperty(bool, "showHistoryButton", True)

    Dirs, Files, Readable, Writable = 1, 2, 16, 32

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._edit = QtWidgets.QComboBox()
        self._edit.setEditable(True)
        browse = QtWidgets.QToolButton()
        browse.setText("…")
        row.addWidget(self._edit, 1)
        row.addWidget(browse)
        self._edit.editTextChanged.connect(self.currentPathChanged)
        browse.clicked.connect(self.browse)
        self.setFocusProxy(self._edit)

    @Slot()
    def browse(self):
        if self.filters & self.Files:
            chosen = QtWidgets.QFileDialog.getOpenFileName(self, self.label, self.currentPath)[0]
        else:
            chosen = QtWidgets.QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        if chosen:
            self.setCurrentPath(chosen)

    @Slot(str)
    def setCurrentPath(self, path):
        self._edit.setEditText(path)

    @Slot()
    def addCurrentPathToHistory(self):
        self._edit.insertItem(0, self._edit.currentText())

    currentPath = Property(str, lambda self: self._edit.currentText(), setCurrentPath)


class ctkDirectoryButton(QtWidgets.QWidget):
    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    caption = storedProperty(str, "caption", "Select a directory")

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._button = QtWidgets.QPushButton()
        row.addWidget(self._button)
        self._button.clicked.connect(self.browse)
        self._directory = str(Path.cwd())
        self._button.setText(self._directory)

    @Slot()
    def browse(self):
        chosen = QtWidgets.QFileDialog.getExistingDirectory(self, self.caption, self._directory)
        if chosen:
            self._setDirectory(chosen)
            self.directorySelected.emit(chosen)

    def _setDirectory(self, directory):
        if directory != self._directory:
            self._directory = directory
            self._button.setText(directory)
            self.directoryChanged.emit(directory)

    directory = Property(str, lambda self: self._directory, _setDirectory)


class ctkComboBox(QtWidgets.QComboBox):
    defaultText = storedProperty(str, "defaultText", "")
    forceDefault = storedProperty(bool, "forceDefault", False)
    scrollWheelEnabled = storedProperty(bool, "scrollWheelEnabled", True)


class ctkColorPickerButton(QtWidgets.QPushButton):
    colorChanged = Signal(QtGui.QColor)
    displayColorName = storedProperty(bool, "displayColorName", True)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._color = QtGui.QColor(Qt.GlobalColor.black)
        self.clicked.connect(self.changeColor)

    @Slot()
    def changeColor(self):
        chosen = QtWidgets.QColorDialog.getColor(self._color, self)
        if chosen.isValid():
            self.setColor(chosen)

    @Slot(QtGui.QColor)
    def setColor(self, color):
        if color != self._color:
            self._color = QtGui.QColor(color)
            self.colorChanged.emit(self._color)

    color = Property(QtGui.QColor, lambda self: self._color, setColor)


class ctkMessageBox(QtWidgets.QMessageBox):
    """Never blocks a test: `dialogs.recorder`, when it is set, notes what was shown and gives the answer."""

    dontShowAgainSettingsKey = storedProperty(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible = storedProperty(bool, "dontShowAgainVisible", False)
    recorder = None

    def exec(self):
        return super().exec() if ctkMessageBox.recorder is None else ctkMessageBox.recorder.answer(self)


CLASSES = (
    ctkCollapsibleButton,
    ctkCollapsibleGroupBox,
    ctkPathLineEdit,
    ctkDirectoryButton,
    ctkComboBox,
    ctkColorPickerButton,
    ctkMessageBox,
)
