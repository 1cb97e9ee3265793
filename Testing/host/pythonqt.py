"""PythonQt's semantics over PySide6: the modules `qt` and `ctk`, and the qMRML classes of `slicer`.

What a script sees is decided by the QMetaObject, as in Slicer: a property is a value (`label.text`, never
`label.text()`), slots and methods are callable, `w.connect("clicked(bool)", f)` and `w.clicked.connect(f)` both work,
a misspelt attribute is refused. The host's README.md lists what is stricter or laxer than in a real Slicer.
"""

import enum
import re
import sys
import types

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtWidgets

from . import pythonqt_values as values
from .pythonqt_values import EnumValue, asSlot, converting, isFromPySide, reportError, unwrap, wrap

QT_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork)

hostClasses = {}
"""Name → PySide6 class that the host wrote in place of a ctk, qMRML or qSlicer class."""

_facades = {}
_connections = {}  # address of the QObject → [(signal, Python callable, what Qt calls)]
_memberKinds = {}  # (PySide6 class, name) → (kind, what)

NUMERIC_TYPES = {"int": (int,), "uint": (int,), "double": (int, float), "float": (int, float), "bool": (int,)}
TEXT_TYPES = {"QString": (str,), "QStringList": (list, tuple)}


def normalizedSignal(signature):
    """Qt's normalized spelling. VTK pointers travel as Python objects in the host's own classes."""
    return bytes(QtCore.QMetaObject.normalizedSignature(re.sub(r"vtk\w+\s*\*", "PyObject", signature))).decode()


class PythonQtSignal:
    """What `widget.clicked` is."""

    def __init__(self, owner, name, signatures):
        self._owner, self._name = owner, name
        self._signature = max(signatures, key=len)  # PythonQt takes the overload with most arguments

    def connect(self, function):
        return self._owner.connect(self._signature, function)

    def disconnect(self, function=None):
        return self._owner.disconnect(self._signature, function)

    def emit(self, *args):
        getattr(self._owner._qobject(), self._name).emit(*[unwrap(a) for a in args])

    __call__ = emit


class PythonQtClass(type):
    """Class of the façade classes: static methods, enums and unbound methods come from PySide6's class."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return values.wrapMember(getattr(cls._pyside, name[:-1] if name in ("exec_", "print_") else name))


class PythonQtObject(metaclass=PythonQtClass):
    """A QObject as a script sees it. Façade classes do not inherit from one another, as in PythonQt."""

    _pyside = QtCore.QObject
    _isScriptClass = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "_pyside" not in cls.__dict__:
            cls._isScriptClass = True

    def __init__(self, *args, **kwargs):
        pysideClass = _classWithOverrides(type(self)) if self._isScriptClass else type(self)._pyside
        self._bind(pysideClass(*[unwrap(a) for a in args], **{k: unwrap(v) for k, v in kwargs.items()}))

    def _bind(self, qobject):
        object.__setattr__(self, "_q", qobject)
        qobject._pythonQtObject = self

    @classmethod
    def _adopt(cls, qobject):
        adopted = cls.__new__(cls)
        adopted._bind(qobject)
        return adopted

    def _qobject(self):
        if not shiboken6.isValid(self._q):
            raise ValueError(f"Trying to access a destroyed {self.className()} object")
        return self._q

    def className(self):
        return type(self)._pyside.__name__

    def inherits(self, className):
        return any(c.__name__ == className for c in type(self)._pyside.__mro__)

    def delete(self):
        shiboken6.delete(self._qobject())

    def __bool__(self):
        return shiboken6.isValid(self._q)

    def __eq__(self, other):
        return self is other or (isinstance(other, PythonQtObject) and _address(self._q) == _address(other._q))

    def __hash__(self):
        return hash(_address(self._q))

    def __repr__(self):
        return f"{self.className()} (PythonQt host, at: {hex(id(self._q))})"

    def __dir__(self):
        meta = self._qobject().metaObject()
        names = {meta.property(i).name() for i in range(meta.propertyCount())}
        return sorted(names | {bytes(meta.method(i).name()).decode() for i in range(meta.methodCount())})

    # Members, in PythonQt's order: Python class, property, signal, slot or method, dynamic property, child by name.

    def __getattr__(self, name):
        if name.startswith("__") or name == "_q":
            raise AttributeError(name)
        qobject = self._qobject()
        kind, member = _memberOf(qobject, name)
        if kind == "Property":
            return wrap(member.read(qobject))
        if kind == "Signal":
            return PythonQtSignal(self, name, member)
        if kind == "Slot":
            return converting(getattr(qobject, member))
        if kind == "EnumValue":
            return values.wrapMember(member)
        dynamic = qobject.property(name)
        if dynamic is not None:
            return wrap(dynamic)
        for child in qobject.children():
            if child.objectName() == name:
                return wrap(child)
        raise AttributeError(f"{self.className()} has no attribute named '{name}'")

    def __setattr__(self, name, value):
        if "_q" not in self.__dict__:  # a script's class before super().__init__()
            object.__setattr__(self, name, value)
            return
        qobject = self._qobject()
        kind, member = _memberOf(qobject, name)
        if kind == "Property":
            _writeProperty(self, member, name, value)
        elif kind != "NotFound":
            raise AttributeError(f"{kind} '{name}' can not be overwritten on {self.className()} object")
        elif qobject.property(name) is not None:
            qobject.setProperty(name, unwrap(value))
        elif self._isScriptClass:
            object.__setattr__(self, name, value)
        else:
            raise AttributeError(
                f"'{name}' does not exist on {self.className()} and "
                "creating new attributes on C++ objects is not allowed"
            )

    # What PythonQtStdDecorators adds to every object.

    def connect(self, signal, *target):
        """`connect("signal(type)", callable)`, also `(signal, receiver, "slot(type)")`. False, with a warning on
        standard error, where the signal does not exist: no exception, as in PythonQt."""
        if isinstance(signal, PythonQtObject):  # receiver.connect(sender, signal, slot)
            return signal.connect(target[0], self, target[1])
        qobject, name = self._qobject(), normalizedSignal(signal)
        if qobject.metaObject().indexOfSignal(name) < 0:
            print(f"QObject::connect: No such signal {self.className()}::{signal}", file=sys.stderr)
            return False
        function = target[0] if len(target) == 1 else getattr(target[0], target[1].split("(")[0])
        if not callable(function):
            raise TypeError(f"{self.className()}.connect needs a callable, got {type(function).__name__}")
        called = asSlot(function)
        if not QtCore.QObject.connect(qobject, QtCore.SIGNAL(name), called):
            return False
        address = _address(qobject)
        if address not in _connections:
            _connections[address] = []
            qobject.destroyed.connect(lambda *_: _connections.pop(address, None))
        _connections[address].append((name, function, called))
        return True

    def disconnect(self, signal, function=None, *_):
        qobject, name = self._qobject(), normalizedSignal(signal)
        connections = _connections.get(_address(qobject), [])
        found = [c for c in connections if c[0] == name and (function is None or c[1] == function)]
        for connection in found:
            QtCore.QObject.disconnect(qobject, QtCore.SIGNAL(name), connection[2])
            connections.remove(connection)
        return bool(found)

    def children(self):
        return tuple(wrap(c) for c in self._qobject().children() if not c.objectName().startswith("qt_"))

    def findChild(self, type_, name=""):
        found = self.findChildren(type_, name)
        return found[0] if found else None

    def findChildren(self, type_, name=""):
        if isinstance(type_, str):
            pysideClass = hostClasses.get(type_) or _qtClass(type_) or QtCore.QObject
        else:
            pysideClass = type_._pyside
        found = self._qobject().findChildren(pysideClass, *([name] if name else []))
        return tuple(wrap(c) for c in found)


def _address(qobject):
    return shiboken6.getCppPointer(qobject)[0] if shiboken6.isValid(qobject) else id(qobject)


def _qtClass(name):
    return next((getattr(m, name) for m in QT_MODULES if hasattr(m, name)), None)


def _memberOf(qobject, name):
    """Kind and member by PythonQt's rules; the same for all objects of a class, hence remembered."""
    key = (type(qobject), name)
    if key not in _memberKinds:
        _memberKinds[key] = _findMember(qobject, name)
    return _memberKinds[key]


def _findMember(qobject, name):
    meta = qobject.metaObject()
    if name == "name" and meta.indexOfProperty("name") < 0:
        name = "objectName"
    index = meta.indexOfProperty(name)
    if index >= 0:
        return "Property", meta.property(index)
    methods = [meta.method(i) for i in range(meta.methodCount())]
    methods = [m for m in methods if bytes(m.name()).decode() == name]
    signals = [m for m in methods if m.methodType() == QtCore.QMetaMethod.MethodType.Signal]
    if signals:
        return "Signal", [bytes(m.methodSignature()).decode() for m in signals]
    name = name[:-1] if name in ("exec_", "print_") else name
    member = None if name.startswith("_") else getattr(qobject, name, None)
    if isinstance(member, (type, enum.Enum)):
        return "EnumValue", member
    if callable(member):
        # Of ctk and qMRML classes PythonQt knows only slots and Q_INVOKABLEs, and what their Qt base offers.
        owners = [c for c in type(qobject).__mro__ if name in c.__dict__]
        fromQt = any(isFromPySide(c) for c in owners) or getattr(owners[0], "_allMethodsVisible", False)
        if methods or fromQt or owners[0] not in hostClasses.values():
            return "Slot", name
    return "NotFound", None


def _writeProperty(wrapper, metaProperty, name, value):
    if not metaProperty.isWritable():
        raise AttributeError(f"Property '{name}' of {wrapper.className()} object is not writable")
    typeName = metaProperty.typeName()
    accepted = NUMERIC_TYPES.get(typeName) or TEXT_TYPES.get(typeName) or (object,)
    plain = int(value) if isinstance(value, EnumValue) else unwrap(value)
    if value is None or not isinstance(value, accepted) or not metaProperty.write(wrapper._qobject(), plain):
        raise AttributeError(
            f"Property '{name}' of type '{typeName}' does not accept an object of type {type(value).__name__} ({value})"
        )


def _classWithOverrides(scriptClass):
    """PySide6 class whose virtual methods call the script's overrides."""
    if "_overriding" not in scriptClass.__dict__:
        base = scriptClass._pyside
        scriptClasses = [c for c in reversed(scriptClass.__mro__) if getattr(c, "_isScriptClass", False)]
        names = {n for c in scriptClasses for n, f in c.__dict__.items() if isinstance(f, types.FunctionType)}
        names = {n for n in names if not n.startswith("_") and hasattr(base, n)}
        overrides = {n: _virtual(n) for n in names}
        scriptClass._overriding = type(base)(base.__name__, (base,), overrides)
    return scriptClass._overriding


def _virtual(name):
    def call(qobject, *args):
        script = qobject.__dict__.get("_pythonQtObject")
        if script is None:  # called by the C++ constructor
            return getattr(type(qobject).__mro__[1], name)(qobject, *args)
        try:
            return unwrap(getattr(type(script), name)(script, *[wrap(a) for a in args]))
        except Exception as error:
            reportError(error)
            return False if name in ("event", "eventFilter") else None

    return call


def facade(pysideClass):
    """The class under which scripts know a PySide6 class of QObjects."""
    known = pysideClass in hostClasses.values() or _qtClass(pysideClass.__name__) is pysideClass
    if not known:  # PySide6-internal or a class with a script's overrides
        return facade(pysideClass.__mro__[1])
    if pysideClass not in _facades:
        _facades[pysideClass] = PythonQtClass(pysideClass.__name__, (PythonQtObject,), {"_pyside": pysideClass})
        _facades[pysideClass]._isScriptClass = False
    return _facades[pysideClass]


class _QtModule(types.ModuleType):
    """`qt` and `ctk`: classes are made when first asked for; what the host has no stand-in for is an AttributeError."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("Signal", "Slot", "Property") and self.__name__ == "qt":
            raise AttributeError(f"qt.{name}: a Python subclass with its own {name} crashes PythonQt; use a callback")
        pysideClass = hostClasses.get(name)
        if pysideClass is None and self.__name__ == "qt":
            pysideClass = _qtClass(name)
        if pysideClass is None:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' (no stand-in in the test host)")
        if isinstance(pysideClass, type) and issubclass(pysideClass, QtCore.QObject):
            return facade(pysideClass)
        return values.wrapMember(pysideClass)


def _wrapObject(qobject):
    return getattr(qobject, "_pythonQtObject", None) or facade(type(qobject))._adopt(qobject)


values.objectConverters.update(
    wrap=_wrapObject,
    unwrap=lambda value: value._qobject() if isinstance(value, PythonQtObject) else value,
    isObject=lambda value: isinstance(value, QtCore.QObject),
)


def install(classes):
    """Put `qt` and `ctk` into `sys.modules` and the qMRML and qSlicer classes into `slicer`.

    classes: PySide6 classes of the host, each named after the C++ class it stands in for.
    """
    import slicer

    hostClasses.update({c.__name__: c for c in classes})
    for name in ("qt", "ctk"):
        sys.modules.setdefault(name, _QtModule(name))
    for name, class_ in hostClasses.items():
        if name.startswith(("qMRML", "qSlicer")):
            setattr(slicer, name, facade(class_))
