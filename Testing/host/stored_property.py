"""A Qt property that only stores its value, for the host's stand-ins of C++ widgets."""

from PySide6.QtCore import Property


def storedProperty(type_, name, default):
    """Property of `type_`; a change calls the object's `_propertyChanged(name)` where it has one."""

    def read(qobject):
        return qobject.__dict__.setdefault("_stored", {}).get(name, default)

    def write(qobject, value):
        if read(qobject) != value:
            qobject.__dict__["_stored"][name] = value
            if hasattr(qobject, "_propertyChanged"):
                qobject._propertyChanged(name)

    return Property(type_, read, write)
