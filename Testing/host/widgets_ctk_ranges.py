"""Stand-ins for CTK's sliders and ranges of floating-point numbers."""

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Qt, Signal, Slot

from .stored_property import storedProperty


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    pass


def _row(widget):
    row = QtWidgets.QHBoxLayout(widget)
    row.setContentsMargins(0, 0, 0, 0)
    return row


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that show one value."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimals = storedProperty(int, "decimals", 2)
    singleStep = storedProperty(float, "singleStep", 1.0)
    pageStep = storedProperty(float, "pageStep", 10.0)
    tracking = storedProperty(bool, "tracking", True)
    minimum = storedProperty(float, "minimum", 0.0)
    maximum = storedProperty(float, "maximum", 99.0)
    prefix = storedProperty(str, "prefix", "")
    suffix = storedProperty(str, "suffix", "")
    spinBoxVisible = storedProperty(bool, "spinBoxVisible", True)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._value = 0.0
        self._slider = QtWidgets.QSlider(Qt.Orientation.Horizontal)
        self._spinBox = QtWidgets.QDoubleSpinBox()
        row = _row(self)
        row.addWidget(self._slider, 1)
        row.addWidget(self._spinBox)
        self.setFocusProxy(self._slider)
        self._propertyChanged("")
        self._slider.valueChanged.connect(lambda position: self.setValue(self.minimum + position * self._step()))
        self._spinBox.valueChanged.connect(self.setValue)

    def _step(self):
        return self.singleStep or 1.0

    def _propertyChanged(self, _name):
        with QtCore.QSignalBlocker(self._spinBox), QtCore.QSignalBlocker(self._slider):
            self._spinBox.setDecimals(self.decimals)
            self._spinBox.setSingleStep(self._step())
            self._spinBox.setRange(self.minimum, self.maximum)
            self._spinBox.setPrefix(self.prefix)
            self._spinBox.setSuffix(self.suffix)
            self._spinBox.setVisible(self.spinBoxVisible)
            self._slider.setRange(0, max(0, round((self.maximum - self.minimum) / self._step())))
        self.setValue(self._value)

    @Slot(float)
    def setValue(self, value):
        value = round(min(max(value, self.minimum), self.maximum), self.decimals)
        changed, self._value = value != self._value, value
        with QtCore.QSignalBlocker(self._spinBox), QtCore.QSignalBlocker(self._slider):
            self._slider.setValue(round((value - self.minimum) / self._step()))
            self._spinBox.setValue(value)
        if changed:
            self.valueIsChanging.emit(value)
            self.valueChanged.emit(value)

    @Slot(float, float)
    def setRange(self, minimum, maximum):
        self.setProperty("minimum", float(minimum))
        self.setProperty("maximum", float(maximum))

    value = Property(float, lambda self: self._value, setValue)


class _RangeBar(QtWidgets.QWidget):
    """Two handles on a line, drawn and dragged; positions are fractions of the line."""

    dragged = Signal(float, float)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.low, self.high, self._held = 0.0, 1.0, None
        self.setMinimumSize(60, 18)

    def paintEvent(self, event):
        painter = QtWidgets.QStylePainter(self)
        length, middle = self.width() - 8, self.height() // 2
        painter.fillRect(4, middle - 2, length, 4, self.palette().mid())
        low, high = 4 + int(self.low * length), 4 + int(self.high * length)
        painter.fillRect(low, middle - 2, high - low, 4, self.palette().highlight())
        for handle in (low, high):
            painter.fillRect(handle - 4, middle - 8, 8, 16, self.palette().buttonText())

    def mousePressEvent(self, event):
        at = self._fraction(event)
        self._held = "low" if abs(at - self.low) <= abs(at - self.high) else "high"

    def mouseMoveEvent(self, event):
        at = self._fraction(event)
        if self._held == "low":
            self.dragged.emit(min(at, self.high), self.high)
        elif self._held == "high":
            self.dragged.emit(self.low, max(at, self.low))

    def mouseReleaseEvent(self, event):
        self._held = None

    def _fraction(self, event):
        return min(max((event.position().x() - 4) / max(self.width() - 8, 1), 0.0), 1.0)


class ctkDoubleRangeSlider(QtWidgets.QWidget):
    """Minimum and maximum value within a range; the base of the range widget here (two widgets in CTK)."""

    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    rangeChanged = Signal(float, float)
    singleStep = storedProperty(float, "singleStep", 1.0)
    tracking = storedProperty(bool, "tracking", True)
    minimum = storedProperty(float, "minimum", 0.0)
    maximum = storedProperty(float, "maximum", 99.0)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._low, self._high = 0.0, 99.0
        self._bar = _RangeBar()
        self._bar.dragged.connect(self._onDragged)
        _row(self).addWidget(self._bar, 1)
        self._show()

    def _onDragged(self, low, high):
        span = self.maximum - self.minimum
        self.setValues(self.minimum + low * span, self.minimum + high * span)

    def _propertyChanged(self, name):
        if name in ("minimum", "maximum"):
            self.rangeChanged.emit(self.minimum, self.maximum)
        self.setValues(self._low, self._high)

    def _show(self):
        span = (self.maximum - self.minimum) or 1.0
        self._bar.low, self._bar.high = (self._low - self.minimum) / span, (self._high - self.minimum) / span
        self._bar.update()

    def _rounded(self, value):
        return value

    @Slot(float, float)
    def setValues(self, low, high):
        low, high = sorted((self._rounded(low), self._rounded(high)))
        low, high = (min(max(v, self.minimum), max(self.minimum, self.maximum)) for v in (low, high))
        lowChanged, highChanged = low != self._low, high != self._high
        self._low, self._high = low, high
        self._show()
        if lowChanged:
            self.minimumValueChanged.emit(low)
        if highChanged:
            self.maximumValueChanged.emit(high)
        if lowChanged or highChanged:
            self.valuesChanged.emit(low, high)

    @Slot(float)
    def setMinimumValue(self, low):
        self.setValues(low, max(low, self._high))

    @Slot(float)
    def setMaximumValue(self, high):
        self.setValues(min(high, self._low), high)

    @Slot(float, float)
    def setRange(self, minimum, maximum):
        self.setProperty("minimum", float(minimum))
        self.setProperty("maximum", float(maximum))

    minimumValue = Property(float, lambda self: self._low, setMinimumValue)
    maximumValue = Property(float, lambda self: self._high, setMaximumValue)


class ctkRangeWidget(ctkDoubleRangeSlider):
    """The range slider between two spin boxes."""

    decimals = storedProperty(int, "decimals", 2)
    prefix = storedProperty(str, "prefix", "")
    suffix = storedProperty(str, "suffix", "")

    def __init__(self, parent=None):
        self._lowBox = self._highBox = None
        super().__init__(parent)
        self._lowBox, self._highBox = QtWidgets.QDoubleSpinBox(), QtWidgets.QDoubleSpinBox()
        self.layout().insertWidget(0, self._lowBox)
        self.layout().addWidget(self._highBox)
        self._show()
        self._lowBox.valueChanged.connect(self.setMinimumValue)
        self._highBox.valueChanged.connect(self.setMaximumValue)

    def _rounded(self, value):
        return round(value, self.decimals)

    def _show(self):
        super()._show()
        if self._highBox is None:
            return
        for box, value in ((self._lowBox, self._low), (self._highBox, self._high)):
            with QtCore.QSignalBlocker(box):
                box.setDecimals(self.decimals)
                box.setSingleStep(self.singleStep)
                box.setRange(self.minimum, self.maximum)
                box.setPrefix(self.prefix)
                box.setSuffix(self.suffix)
                box.setValue(value)


CLASSES = (ctkDoubleSpinBox, ctkSliderWidget, ctkDoubleRangeSlider, ctkRangeWidget)
