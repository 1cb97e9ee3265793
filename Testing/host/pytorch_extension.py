"""Stand-in for the PyTorch extension (`PyTorchUtils`), in the states that a user's Slicer can be in.

absent: `import PyTorchUtils` fails. empty: the extension is there, torch is not. ready: torch is this Python's own.
"""

import importlib.util
import sys
import types

import slicer


class PyTorchUtilsLogic:
    """The part of SlicerPyTorch's logic that other extensions call."""

    def torchInstalled(self):
        return state == "ready" and importlib.util.find_spec("torch") is not None

    def installTorch(self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None, **_):
        """Returns the module `torch`, or None where the user declined."""
        requests.append(torchVersionRequirement)
        question = "PyTorch will be downloaded and installed. Continue?"
        if askConfirmation and not slicer.util.confirmOkCancelDisplay(question, "PyTorch"):
            return None
        setState("ready")
        return self.torch

    @property
    def torch(self):
        if not self.torchInstalled():
            return self.installTorch(askConfirmation=True)
        import torch

        return torch

    @property
    def cuda(self):
        return self.torch.cuda.is_available()

    def getDevice(self):
        return self.torch.device("cuda" if self.torch.cuda.is_available() else "cpu")


state = "absent"
requests = []
"""torchVersionRequirement of each installTorch call."""


def setState(newState):
    """Put the extension into one of its states; `slicer.modules.pytorchutils` follows."""
    global state
    if newState not in ("absent", "empty", "ready"):
        raise ValueError(f"The PyTorch extension is absent, empty or ready, not '{newState}'.")
    state = newState
    if newState == "absent":
        sys.modules.pop("PyTorchUtils", None)
    else:
        module = types.ModuleType("PyTorchUtils")
        module.PyTorchUtilsLogic = PyTorchUtilsLogic
        sys.modules["PyTorchUtils"] = module
