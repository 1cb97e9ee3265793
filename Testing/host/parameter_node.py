"""Stand-in for `slicer.parameterNodeWrapper`: typed parameters stored in a vtkMRMLScriptedModuleNode.

Same spelling in the node as Slicer's (so that scenes are exchangeable), same validation, same Modified events.
Supported: int, float, str, bool, pathlib paths, Enum, node classes, Optional/Union of nodes, list[T], tuple[...],
FloatRange. Dictionaries and user-defined parameter packs are not: they raise TypeError when the class is made.
"""

import typing

import slicer
import vtk

from .parameter_serializers import createSerializer
from .parameter_types import (
    Choice,
    Decimals,
    Default,
    Exclude,
    FloatRange,
    Maximum,
    Minimum,
    SingleStep,
    Validator,
    WithinRange,
    annotationsOf,
    unannotated,
)

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "FloatRange",
    "Maximum",
    "Minimum",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "findChildWidgetForParameter",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
]

SlicerParameterNamePropertyName = "SlicerParameterName"


class ParameterInfo:
    """One declared parameter: type, serializer, validators, default."""

    def __init__(self, name, type_, declaredDefault):
        self.basename, self.unalteredType = name, type_
        self.serializer = createSerializer(unannotated(type_))
        annotations = annotationsOf(type_)
        self.validators = [a for a in annotations if isinstance(a, Validator)]
        self.default = next((a for a in annotations if isinstance(a, Default)), None)
        if declaredDefault is not None:
            self.default = declaredDefault
        if self.default is None:
            self.default = Default(generator=self.serializer.default)

    def write(self, node, value):
        for validator in self.validators:
            validator.validate(value)
        with slicer.util.NodeModify(node):
            self.serializer.write(node, self.basename, value)

    def read(self, node):
        if not self.serializer.isIn(node, self.basename):
            self.write(node, self.default.value)
        return self.serializer.read(node, self.basename)


class _ParameterNode:
    """Methods that the decorator adds to a wrapper class."""

    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode, prefix=None):
        if prefix:
            raise NotImplementedError("The test host's parameterNodeWrapper has no prefixes.")
        self.parameterNode = parameterNode
        self._guis, self._nextGuiTag, self._updatingGui = {}, 0, False
        for parameter in self.allParameters.values():
            parameter.read(parameterNode)  # writes the default where it is missing

    def _parameter(self, name):
        if name not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}; there are {list(self.allParameters)}")
        return self.allParameters[name]

    def getValue(self, name):
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name, value):
        self._parameter(name).write(self.parameterNode, value)

    def default(self, name):
        return self._parameter(name).default

    def isCached(self, name):
        return self._parameter(name).serializer.cached

    @classmethod
    def dataType(cls, name):
        return cls.allParameters[name].unalteredType

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified):
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        return self.parameterNode.Modified()

    def connectGui(self, gui):
        """Connect every widget with the dynamic property SlicerParameterName. Returns None, as Slicer's does: use
        `connectParametersToGui` for a tag that `disconnectGui` knows."""
        import qt

        isWidget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if isWidget else list(vars(gui).values())
        named = {w.property(SlicerParameterNamePropertyName): w for w in widgets}
        self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping):
        from .parameter_gui import createGuiConnector

        connectors = {n: createGuiConnector(w, self._parameter(n).unalteredType) for n, w in mapping.items()}
        tag, self._nextGuiTag = self._nextGuiTag, self._nextGuiTag + 1
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(lambda name=name, connector=connector: self._onGuiChanged(name, connector))
        # As in Slicer, nothing takes this observer away again (wrapper.py, _connectParametersToGui).
        self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        self._guis[tag] = connectors
        return tag

    def disconnectGui(self, tag):
        if tag in self._guis:
            for connector in self._guis.pop(tag).values():
                connector.disconnect()

    def _onGuiChanged(self, name, connector):
        if not self._updatingGui:
            self.setValue(name, connector.read())

    def _updateGui(self):
        if self._updatingGui:
            return
        self._updatingGui = True
        try:
            with slicer.util.NodeModify(self):
                for connectors in list(self._guis.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._updatingGui = False


def _property(name):
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _wrap(class_):
    parameters = {}
    for name, type_ in typing.get_type_hints(class_, include_extras=True).items():
        declared = Default(getattr(class_, name)) if hasattr(class_, name) else None
        parameters[name] = ParameterInfo(name, type_, declared)
    inherent = ("__module__", "__dict__", "__weakref__", "__doc__")
    members = {n: m for n, m in vars(_ParameterNode).items() if n not in inherent}
    for name, member in members.items():
        if name in vars(class_) and name != "__init__":
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(class_, name, member)
    for name in parameters:
        if name in members:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(class_, name, _property(name))
    class_.allParameters = parameters
    return class_


def parameterNodeWrapper(classtype=None):
    """Class decorator; `@parameterNodeWrapper` and `@parameterNodeWrapper()`."""
    return _wrap if classtype is None else _wrap(classtype)


def isParameterNodeWrapper(classOrObject):
    return getattr(classOrObject, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter):
    import qt

    fitting = [w for w in widget.findChildren(qt.QWidget) if w.property(SlicerParameterNamePropertyName) == parameter]
    return fitting[0] if fitting else None
