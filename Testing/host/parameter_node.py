"""Stand-in for `slicer.parameterNodeWrapper`: typed parameters stored in a vtkMRMLScriptedModuleNode.

Same spelling in the node as Slicer's (so that scenes are exchangeable), same validation, same Modified events.
Supported: int, float, str, bool, pathlib paths, Enum, node classes, Optional/Union of nodes, list[T], tuple[...],
FloatRange. Dictionaries and user-defined parameter packs are not: they raise TypeError when the class is made.
"""

import collections.abc
import enum
import pathlib
import types
import typing

import slicer
import vtk

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


class Default:
    def __init__(self, value=None, *, generator=None):
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._generator() if self._generator else self._value


class Decimals:
    def __init__(self, value):
        self.value = value


class SingleStep:
    def __init__(self, value):
        self.value = value


class Validator:
    """Base of the annotations that refuse values."""

    def validate(self, value):
        raise NotImplementedError


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def validate(self, value):
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def validate(self, value):
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = choices

    def validate(self, value):
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be one of {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = excludedValues

    def validate(self, value):
        if value in self.excludedValues:
            raise ValueError(f"Value is {value}, which is excluded")


class FloatRange:
    def __init__(self, minimum=0.0, maximum=0.0):
        if not minimum <= maximum:
            raise ValueError(f"FloatRange must have minimum <= maximum: {minimum} <= {maximum}")
        self.minimum, self.maximum = minimum, maximum

    def __eq__(self, other):
        return isinstance(other, FloatRange) and (self.minimum, self.maximum) == (other.minimum, other.maximum)

    __hash__ = None

    def __repr__(self):
        return f"FloatRange(minimum={self.minimum}, maximum={self.maximum})"


# How values of a type are written into the node.


class TextSerializer:
    """A value that one string holds."""

    cached = True

    def __init__(self, accepted, default, toText=str, fromText=None):
        self.accepted, self._default = accepted, default
        self.toText, self.fromText = toText, fromText or accepted

    def default(self):
        return self._default

    def isIn(self, node, name):
        return bool(node.HasParameter(name))

    def check(self, value):
        if value is None:
            raise ValueError("Value must not be None")
        if not isinstance(value, self.accepted):
            raise TypeError(f"Value must be of type '{self.accepted}', is type '{type(value)}' value '{value}'")

    def write(self, node, name, value):
        self.check(value)
        node.SetParameter(name, self.toText(value))

    def read(self, node, name):
        return self.fromText(node.GetParameter(name))

    def remove(self, node, name):
        node.UnsetParameter(name)


class NodeSerializer:
    """A node reference; an empty parameter of the same name says that it was set, be it to None."""

    cached = True

    def __init__(self, classes):
        self.classes = classes

    def default(self):
        return None

    def isIn(self, node, name):
        return bool(node.HasParameter(name))

    def write(self, node, name, value):
        if value is not None and not isinstance(value, self.classes):
            raise TypeError(f"Value must be of type '{self.classes}', is type '{type(value)}' value '{value}'")
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name):
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class SequenceSerializer:
    """Tuples of fixed length, and FloatRange: element i is stored as `<name>_<i>`, or by `suffixes`."""

    cached = True

    def __init__(self, elements, make=tuple, take=tuple, suffixes=None):
        self.elements, self.make, self.take = elements, make, take
        self.suffixes = suffixes or [f"_{i}" for i in range(len(elements))]

    def default(self):
        return self.make(*[[e.default() for e in self.elements]])

    def isIn(self, node, name):
        return self.elements[0].isIn(node, name + self.suffixes[0])

    def write(self, node, name, value):
        values = self.take(value)
        if len(values) != len(self.elements):
            raise ValueError(f"Expected {len(self.elements)} values, got {len(values)}")
        for element, suffix, item in zip(self.elements, self.suffixes, values, strict=True):
            element.write(node, name + suffix, item)

    def read(self, node, name):
        return self.make([e.read(node, name + s) for e, s in zip(self.elements, self.suffixes, strict=True)])

    def remove(self, node, name):
        for element, suffix in zip(self.elements, self.suffixes, strict=True):
            element.remove(node, name + suffix)


class ListSerializer:
    cached = True

    def __init__(self, element):
        self.element = element

    def default(self):
        return []

    def isIn(self, node, name):
        return bool(node.HasParameter(f"{name}_len"))

    def _length(self, node, name):
        return int(node.GetParameter(f"{name}_len")) if self.isIn(node, name) else 0

    def write(self, node, name, values):
        values = list(values)
        for i, value in enumerate(values):
            self.element.write(node, f"{name}_{i}", value)
        for i in range(len(values), self._length(node, name)):
            self.element.remove(node, f"{name}_{i}")
        node.SetParameter(f"{name}_len", str(len(values)))

    def read(self, node, name):
        values = [self.element.read(node, f"{name}_{i}") for i in range(self._length(node, name))]
        return ObservedList(values, lambda changed: self.write(node, name, changed))

    def remove(self, node, name):
        for i in range(self._length(node, name)):
            self.element.remove(node, f"{name}_{i}")
        node.UnsetParameter(f"{name}_len")


class ObservedList(collections.abc.MutableSequence):
    """A list that writes itself back into the parameter node when it is changed."""

    def __init__(self, values, save):
        self._values, self._save = values, save

    def __getitem__(self, index):
        return self._values[index]

    def __setitem__(self, index, value):
        self._values[index] = value
        self._save(self._values)

    def __delitem__(self, index):
        del self._values[index]
        self._save(self._values)

    def __len__(self):
        return len(self._values)

    def insert(self, index, value):
        self._values.insert(index, value)
        self._save(self._values)

    def __eq__(self, other):
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    __hash__ = None

    def __repr__(self):
        return f"ObservedList({self._values})"


def _floatSerializer():
    return TextSerializer((int, float), 0, fromText=float)


def createSerializer(type_):
    """The serializer of an (unannotated) type; TypeError for what Slicer or this host cannot store."""
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if type_ is bool:
        return TextSerializer(bool, False, fromText=lambda text: text == "True")
    if type_ is int:
        return TextSerializer(int, 0)
    if type_ is float:
        return _floatSerializer()
    if type_ is str:
        return TextSerializer(str, "")
    if type_ is FloatRange:
        take = lambda r: (r.minimum, r.maximum)  # noqa: E731
        make = lambda values: FloatRange(*values)  # noqa: E731
        return SequenceSerializer([_floatSerializer(), _floatSerializer()], make, take, [".minimum", ".maximum"])
    if isinstance(type_, type) and issubclass(type_, pathlib.PurePath):
        return TextSerializer(type_, type_())
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return TextSerializer(type_, next(iter(type_)), toText=lambda v: v.name, fromText=lambda text: type_[text])
    if origin in (typing.Union, types.UnionType):
        classes = tuple(a for a in arguments if a is not type(None))
    else:
        classes = (type_,)
    if all(isinstance(c, type) and issubclass(c, slicer.vtkMRMLNode) for c in classes):
        return NodeSerializer(classes)
    if origin is list:
        return ListSerializer(createSerializer(unannotated(arguments[0])))
    if origin is tuple:
        return SequenceSerializer([createSerializer(unannotated(a)) for a in arguments])
    raise TypeError(f"The test host's parameterNodeWrapper cannot store parameters of type {type_}")


def unannotated(type_):
    return typing.get_args(type_)[0] if typing.get_origin(type_) is typing.Annotated else type_


def annotationsOf(type_):
    return list(type_.__metadata__) if typing.get_origin(type_) is typing.Annotated else []


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
        """Connect every widget with the dynamic property SlicerParameterName. As in Slicer up to 5.8 no tag is
        returned by mistake; newer versions return it, and so does the host."""
        import qt

        isWidget = getattr(gui, "isWidgetType", lambda: False)()
        widgets = gui.findChildren(qt.QWidget) if isWidget else list(vars(gui).values())
        named = {w.property(SlicerParameterNamePropertyName): w for w in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping):
        from .parameter_gui import createGuiConnector

        connectors = {n: createGuiConnector(w, self._parameter(n).unalteredType) for n, w in mapping.items()}
        tag, self._nextGuiTag = self._nextGuiTag, self._nextGuiTag + 1
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(lambda name=name, connector=connector: self._onGuiChanged(name, connector))
        observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
        self._guis[tag] = (connectors, observer)
        return tag

    def disconnectGui(self, tag):
        if tag in self._guis:
            connectors, observer = self._guis.pop(tag)
            self.parameterNode.RemoveObserver(observer)
            for connector in connectors.values():
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
                for connectors, _ in list(self._guis.values()):
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
