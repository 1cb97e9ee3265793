"""How values of a type are written into a vtkMRMLScriptedModuleNode, spelt as Slicer spells them."""

import collections.abc
import enum
import pathlib
import types
import typing

import slicer

from .parameter_types import FloatRange, unannotated


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
