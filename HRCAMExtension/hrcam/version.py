"""The version of the engine, of the extension and of the package."""

__version__ = "0.2.0"
