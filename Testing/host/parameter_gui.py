"""Which widget can show which parameter type, and how: the GUI binding of `parameter_node`.

The pairs are those of Slicer; any other pair is refused (QRadioButton and QListWidget for instance).
"""

import enum
import pathlib

import ctk
import qt
import slicer

from .parameter_serializers import NodeSerializer, createSerializer
from .parameter_types import (
    Choice,
    Decimals,
    FloatRange,
    Maximum,
    Minimum,
    SingleStep,
    WithinRange,
    annotationsOf,
    unannotated,
)


class GuiConnector:
    """Reads, writes and observes one widget."""

    def __init__(self, widget, signal, read, write):
        self._widget, self._signal = widget, signal
        self.read, self.write = read, write
        self._callback = None

    def connect(self, callback):
        self._callback = lambda *_: callback()
        getattr(self._widget, self._signal).connect(self._callback)

    def disconnect(self):
        getattr(self._widget, self._signal).disconnect(self._callback)
        self._callback = None


def _propertyConnector(widget, signal, name, convert=lambda v: v):
    return GuiConnector(
        widget, signal, lambda: convert(getattr(widget, name)), lambda value: setattr(widget, name, value)
    )


def _first(annotations, type_):
    return next((a for a in annotations if isinstance(a, type_)), None)


def _setLimits(widget, annotations, unlimited, mustBeBounded):
    for type_, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
        annotation = _first(annotations, type_)
        if annotation is not None:
            setattr(widget, name, annotation.value)
    within = _first(annotations, WithinRange)
    minimum = within or _first(annotations, Minimum)
    maximum = within or _first(annotations, Maximum)
    if mustBeBounded and (minimum is None or maximum is None):
        raise RuntimeError(f"Cannot connect a {widget.className()} to an unbounded number: annotate it WithinRange.")
    widget.minimum = minimum.minimum if minimum else unlimited[0]
    widget.maximum = maximum.maximum if maximum else unlimited[1]


def _choiceConnector(widget, labels, values):
    widget.clear()
    widget.addItems(labels)

    def write(value):
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return GuiConnector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _rangeConnector(widget):
    def write(value):
        widget.setValues(value.minimum, value.maximum)

    return GuiConnector(widget, "valuesChanged", lambda: FloatRange(widget.minimumValue, widget.maximumValue), write)


def _buttonConnector(widget):
    widget.checkable = True
    return _propertyConnector(widget, "toggled", "checked")


def createGuiConnector(widget, datatype):
    """The connector of `widget` to a parameter of `datatype`; RuntimeError where Slicer has none."""
    type_, annotations, widgetType = unannotated(datatype), annotationsOf(datatype), type(widget)
    isPath = isinstance(type_, type) and issubclass(type_, pathlib.PurePath)
    isEnum = isinstance(type_, type) and issubclass(type_, enum.Enum)
    if type_ is bool and widgetType is qt.QCheckBox:
        return _propertyConnector(widget, "stateChanged", "checked")
    if type_ is bool and widgetType is qt.QPushButton:
        return _buttonConnector(widget)
    if type_ is int and widgetType in (qt.QSlider, qt.QSpinBox):
        _setLimits(widget, annotations, (-(2**31), 2**31 - 1), widgetType is qt.QSlider)
        return _propertyConnector(widget, "valueChanged", "value")
    if type_ is float and widgetType in (qt.QDoubleSpinBox, ctk.ctkDoubleSpinBox, ctk.ctkSliderWidget):
        _setLimits(widget, annotations, (-1e300, 1e300), widgetType is ctk.ctkSliderWidget)
        return _propertyConnector(widget, "valueChanged", "value")
    if type_ is FloatRange and widgetType in (ctk.ctkRangeWidget, ctk.ctkDoubleRangeSlider):
        return _rangeConnector(widget)
    if widgetType in (qt.QComboBox, ctk.ctkComboBox) and isEnum:
        label = getattr(type_, "label", lambda member: member.name)
        return _choiceConnector(widget, [label(member) for member in type_], list(type_))
    if widgetType in (qt.QComboBox, ctk.ctkComboBox) and type_ in (int, float, str, bool):
        choice = _first(annotations, Choice)
        if choice is None:
            raise RuntimeError("A combo box needs a parameter annotated with Choice.")
        return _choiceConnector(widget, [str(c) for c in choice.choices], list(choice.choices))
    if type_ is str and widgetType is qt.QLineEdit:
        return _propertyConnector(widget, "textChanged", "text")
    if type_ is str and widgetType in (qt.QTextEdit, qt.QPlainTextEdit):
        return GuiConnector(widget, "textChanged", widget.toPlainText, widget.setPlainText)
    if isPath and widgetType is ctk.ctkPathLineEdit:
        return GuiConnector(
            widget,
            "currentPathChanged",
            lambda: type_(widget.currentPath),
            lambda value: setattr(widget, "currentPath", str(value)),
        )
    if isPath and widgetType is ctk.ctkDirectoryButton:
        return GuiConnector(
            widget,
            "directoryChanged",
            lambda: type_(widget.directory),
            lambda value: setattr(widget, "directory", str(value)),
        )
    if widgetType is slicer.qMRMLNodeComboBox and isinstance(createSerializer(type_), NodeSerializer):
        widget.nodeTypes = [c.__name__ for c in createSerializer(type_).classes]
        return GuiConnector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{widgetType}'")
