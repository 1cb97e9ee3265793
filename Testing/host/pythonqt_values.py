"""Values that are not QObjects as PythonQt shows them: enums are ints, sizes, colors and events are plain objects.

`wrap` turns what PySide6 returned into what a Slicer script would see, `unwrap` turns arguments back. QObjects are
`pythonqt.PythonQtObject`s; that file registers its own converters here, so that this one does not depend on it.
"""

import enum
import inspect
import sys
import traceback
import types

slotErrors = []
"""Exceptions raised in slots and overridden virtual methods: PythonQt prints them and goes on; tests look here."""

objectConverters = {"wrap": None, "unwrap": None, "isObject": None}


class EnumValue(int):
    """An enum value: an int (as in PythonQt) that remembers its Qt type, which PySide6 insists on."""

    def __new__(cls, member):
        value = super().__new__(cls, int(member.value))
        value.member = member
        return value

    def _combine(self, other, operation):
        enumType = type(self.member)
        if not issubclass(enumType, enum.Flag):
            return operation(int(self), int(other))
        otherMember = other.member if isinstance(other, EnumValue) else enumType(int(other))
        return EnumValue(operation(self.member, otherMember))

    def __or__(self, other):
        return self._combine(other, lambda a, b: a | b)

    def __and__(self, other):
        return self._combine(other, lambda a, b: a & b)

    def __invert__(self):
        return EnumValue(~self.member) if isinstance(self.member, enum.Flag) else ~int(self)

    __ror__ = __or__
    __rand__ = __and__

    def __repr__(self):
        return f"{self.member} ({int(self)})"


class ValueMeta(type):
    """Class access (`qt.QFont.Bold`, `qt.QColor.fromRgbF(…)`) goes to PySide6's class, converted both ways."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return wrapMember(getattr(cls._pyside, name))

    def __eq__(cls, other):
        return cls is other

    __hash__ = type.__hash__


class PythonQtValue(metaclass=ValueMeta):
    """Base of the façade's value classes (QSize, QColor, QIcon, QTableWidgetItem, QEvent, QPainter, …)."""

    _pyside = None

    def __init__(self, *args, **kwargs):
        self._value = self._pyside(*[unwrap(a) for a in args], **{k: unwrap(v) for k, v in kwargs.items()})

    @classmethod
    def _adopt(cls, value):
        wrapped = cls.__new__(cls)
        wrapped._value = value
        return wrapped

    def __getattr__(self, name):
        if name.startswith("__") or name == "_value":
            raise AttributeError(name)
        try:
            return wrapMember(getattr(self._value, name[:-1] if name in ("exec_", "print_") else name))
        except AttributeError:
            raise AttributeError(f"{type(self).__name__} has no attribute named '{name}'") from None

    def __eq__(self, other):
        other = unwrap(other)
        return self._value is other or bool(self._value == other)

    def __hash__(self):
        return hash(id(self._value))

    def __bool__(self):
        return True

    def __bytes__(self):
        return bytes(self._value)

    def __len__(self):
        return len(self._value)

    def __repr__(self):
        return repr(self._value)

    def __str__(self):
        return str(self._value)

    def _arithmetic(name):  # noqa: N805 - helper of the class body
        def apply(self, other):
            return wrap(getattr(self._value, name)(unwrap(other)))

        return apply

    __add__, __sub__, __mul__ = _arithmetic("__add__"), _arithmetic("__sub__"), _arithmetic("__mul__")
    __lt__ = _arithmetic("__lt__")
    del _arithmetic


_valueClasses = {}


def valueClass(pysideClass):
    """The façade class of a PySide6 class that is no QObject."""
    if pysideClass not in _valueClasses:
        _valueClasses[pysideClass] = ValueMeta(pysideClass.__name__, (PythonQtValue,), {"_pyside": pysideClass})
    return _valueClasses[pysideClass]


def isFromPySide(type_):
    return type_.__module__.split(".")[0] in ("PySide6", "shiboken6", "Shiboken")


def wrap(value):
    """PySide6 → script: QObjects and Qt values get their façade, Qt lists are tuples, enums ints."""
    if value is None or (isinstance(value, (bool, int, float, str, bytes)) and not isinstance(value, enum.Enum)):
        return value
    if objectConverters["isObject"](value):
        return objectConverters["wrap"](value)
    if isinstance(value, (list, tuple)):
        return tuple(wrap(v) for v in value)
    if isinstance(value, dict):
        return {k: wrap(v) for k, v in value.items()}
    if isFromPySide(type(value)):
        return EnumValue(value) if isinstance(value, enum.Enum) else valueClass(type(value))._adopt(value)
    return value


def unwrap(value):
    """Script → PySide6."""
    if isinstance(value, EnumValue):
        return value.member
    if isinstance(value, PythonQtValue):
        return value._value
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(unwrap(v) for v in value)
    if isinstance(value, dict) and type(value) is dict:
        return {k: unwrap(v) for k, v in value.items()}
    if isinstance(value, (types.FunctionType, types.MethodType)):
        return asSlot(value)
    return objectConverters["unwrap"](value)


def wrapMember(member):
    """A member found on a PySide6 class or value: enums and nested classes converted, functions made to convert."""
    if isinstance(member, enum.Enum):
        return EnumValue(member)
    if isinstance(member, type):
        if issubclass(member, enum.Enum):
            return lambda value: EnumValue(member(value))
        return valueClass(member) if isFromPySide(member) else member
    return converting(member) if callable(member) else wrap(member)


def converting(function):
    """`function` with arguments unwrapped and the result wrapped."""

    def call(*args, **kwargs):
        return wrap(function(*[unwrap(a) for a in args], **{k: unwrap(v) for k, v in kwargs.items()}))

    call.__name__ = getattr(function, "__name__", "method")
    return call


def acceptedArguments(function):
    """How many positional arguments a Python callable takes; None for any number."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (1 if inspect.ismethod(function) else 0)


def asSlot(function):
    """`function` as PythonQt calls slots: surplus signal arguments dropped, exceptions printed, not passed on."""
    accepted = acceptedArguments(function)

    def slot(*args):
        try:
            return unwrap(function(*[wrap(a) for a in args[:accepted]]))
        except Exception as error:
            reportError(error)
            return None

    return slot


def reportError(error):
    """What PythonQt does with an exception that reaches C++: print it and go on."""
    slotErrors.append(error)
    traceback.print_exception(error, file=sys.stderr)
