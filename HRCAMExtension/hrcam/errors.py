"""Errors that a user sees: each says what was wrong and what to do next."""

from collections.abc import Callable


class HRCAMError(Exception):
    """An expected failure.

    Parameters
    ----------
    message : what was wrong, one sentence, with the name of the thing that was wrong.
    hint : what to do next, one sentence.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Message and hint in one line."""
        return f"{self.message} {self.hint}".strip()


class InputError(HRCAMError):
    """The scan cannot be used."""


class ModelError(HRCAMError):
    """The CNN cannot be wrapped or run."""


class BundleError(HRCAMError):
    """The model bundle is missing, damaged or not allowed."""


class OutputError(HRCAMError):
    """A result cannot be written."""


class Cancelled(HRCAMError):  # noqa: N818 - it is a request, not an error
    """The user asked to stop."""

    def __init__(self) -> None:
        super().__init__("Cancelled.", "")


def stop_if(cancelled: Callable[[], bool] | None) -> None:
    """Raise `Cancelled` where ``cancelled`` says so; without it nobody can ask to stop."""
    if cancelled is not None and cancelled():
        raise Cancelled
