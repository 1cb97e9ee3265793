"""What the application said to the user: every message of `slicer.util` and every ctkMessageBox, without blocking."""

from dataclasses import dataclass

import slicer.util
from PySide6 import QtWidgets

from .widgets_ctk import ctkMessageBox

KINDS = ("noicon", "information", "warning", "critical", "question")  # QMessageBox.Icon


@dataclass(frozen=True)
class Message:
    kind: str  # information | warning | critical | question
    text: str
    title: str
    detailedText: str
    answer: int | None  # the button "pressed" (QMessageBox.StandardButton); None where nothing could be shown


class DialogRecorder:
    """`messages` in the order of showing. With testing mode off, questions are answered by `answers`, a list of
    QMessageBox buttons taken from the front; without one the accepting button is pressed (Ok, Yes, Retry)."""

    ACCEPTING = ("Ok", "Yes", "Retry", "Close")

    def __init__(self):
        self.messages = []
        self.answers = []
        self._genuine = None

    @property
    def texts(self):
        return [message.text for message in self.messages]

    def start(self):
        """Without box (testing, no main window) the genuine function's calls are noted."""
        ctkMessageBox.recorder = self
        self._genuine = slicer.util._messageDisplay
        slicer.util._messageDisplay = self._messageDisplay

    def stop(self):
        ctkMessageBox.recorder = None
        slicer.util._messageDisplay = self._genuine

    def clear(self):
        self.messages.clear()
        self.answers.clear()

    def answer(self, box):
        buttons = [b for b in QtWidgets.QMessageBox.StandardButton if box.standardButtons() & b and b.value]
        accepting = [b for name in self.ACCEPTING for b in buttons if b.name == name]
        answer = int(self.answers.pop(0)) if self.answers else (accepting or buttons or [0x400])[0].value
        kind = box.icon().name.lower() if box.icon().value else "information"
        self._note(kind, box.text(), box.windowTitle().strip(), box.detailedText(), answer)
        return answer

    def _messageDisplay(self, logLevel, text, testingReturnValue, *args, **kwargs):
        known = len(self.messages)
        result = self._genuine(logLevel, text, testingReturnValue, *args, **kwargs)
        if len(self.messages) == known:  # only logged: no main window, or testing
            kind = KINDS[int(kwargs.get("icon", 1))]
            self._note(kind, text, kwargs.get("windowTitle") or "", kwargs.get("detailedText", ""), result)
        return result

    def _note(self, kind, text, title, details, answer):
        self.messages.append(Message(kind, str(text), title, details, answer))
