"""Slice and 3D views: real displayable managers in an offscreen VTK window, painted into a Qt widget.

The picture of a view is part of the widget, so `widget.grab()` and `slicer.util` screenshots contain it under every
Qt platform. Mouse and wheel events reach the real MRML interactor styles.
"""

import os
import subprocess
import sys

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Qt, Slot
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLColorLegendDisplayableManager",
)
BUTTONS = {
    Qt.MouseButton.LeftButton: "LeftButton",
    Qt.MouseButton.RightButton: "RightButton",
    Qt.MouseButton.MiddleButton: "MiddleButton",
}
PROBE = """
import vtkmodules.vtkRenderingOpenGL2, vtkmodules.vtkRenderingCore as core
window = core.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.AddRenderer(core.vtkRenderer())
window.Render()
"""

HEADLESS_WINDOWS = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")  # VTK_DEFAULT_OPENGL_WINDOW without a display

_openGLProblem = None


def openGLProblem():
    """Why nothing can be rendered here, or "". Tried in a process of its own: without OpenGL, VTK crashes.

    Without a display the first of `HEADLESS_WINDOWS` that works is chosen for this process.
    """
    global _openGLProblem
    if _openGLProblem is None:
        kinds = ("",) if os.environ.get("DISPLAY") or sys.platform != "linux" else HEADLESS_WINDOWS
        for kind in kinds:
            environment = dict(os.environ, VTK_DEFAULT_OPENGL_WINDOW=kind) if kind else None
            command = [sys.executable, "-c", PROBE]
            tried = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
            if tried.returncode == 0:
                if kind:
                    os.environ["VTK_DEFAULT_OPENGL_WINDOW"] = kind
                _openGLProblem = ""
                return ""
        _openGLProblem = f"no OpenGL (run Testing/install_system_packages.sh): {tried.stderr[-200:].strip()}"
    return _openGLProblem


class RenderedView(QtWidgets.QWidget):
    """An offscreen VTK window with a group of displayable managers, shown as a picture."""

    def __init__(self, factoryClass, managers, parent=None):
        super().__init__(parent)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetSize(300, 300)
        self._renderer = vtk.vtkRenderer()
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        factory = factoryClass.GetInstance()
        factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(self._renderer)
        self._group.Initialize(factory, self._renderer)
        self._observers = [(self._group, self._group.AddObserver(vtk.vtkCommand.UpdateEvent, self._onUpdate))]
        self._picture = None
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.forceRender)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.WheelFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMinimumSize(60, 60)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Expanding)

    def _onUpdate(self, *_):
        self.scheduleRender()

    @Slot()
    def scheduleRender(self):
        """Render once in the next turn of the event loop, however often it is asked for."""
        if not self._timer.isActive():
            self._timer.start(0)

    @Slot()
    def forceRender(self):
        if self._window is None:
            return
        if slicer.app.isRenderPaused:
            self._timer.start(20)
            return
        self._timer.stop()  # what was asked for is done now
        pixels = self.pixels()
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.data, width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
        self._picture = image.copy()
        self.update()

    def pixels(self):
        """The rendered view, rows from the top: height × width × 3, uint8."""
        self._window.Render()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.ShouldRerenderOff()
        grabber.Update()
        width, height, _ = grabber.GetOutput().GetDimensions()
        scalars = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars())
        return np.ascontiguousarray(scalars.reshape(height, width, -1)[::-1, :, :3])

    @Slot(result=object)
    def renderWindow(self):
        return self._window

    @Slot(result=object)
    def renderer(self):
        return self._renderer

    @Slot(result=object)
    def interactor(self):
        return self._interactor

    @Slot(str, result=object)
    def displayableManagerByClassName(self, className):
        return self._group.GetDisplayableManagerByClassName(className)

    def close(self):
        """Take the pipeline apart; in another order VTK crashes."""
        self._timer.stop()
        for observed, tag in self._observers:
            observed.RemoveObserver(tag)
        self._group.SetMRMLDisplayableNode(None)
        self._logic.SetMRMLScene(None)
        self._style.SetInteractor(None)
        self._interactor.SetInteractorStyle(None)
        self._group.SetRenderer(None)
        self._window.Finalize()
        self._window = None
        return super().close()

    # Qt's events.

    def paintEvent(self, event):
        if self._picture is None:
            self.forceRender()
        if self._picture is not None:
            QtGui.QPainter(self).drawImage(self.rect(), self._picture)

    def resizeEvent(self, event):
        width, height = max(self.width(), 1), max(self.height(), 1)
        self._interactor.UpdateSize(width, height)
        self._window.SetSize(width, height)
        self._onResized(width, height)
        self._picture = None
        self.scheduleRender()

    def _onResized(self, width, height):
        pass

    def _tellInteractor(self, event):
        modifiers = event.modifiers()
        position = event.position()
        self._interactor.SetEventInformationFlipY(
            int(position.x()),
            int(position.y()),
            bool(modifiers & Qt.KeyboardModifier.ControlModifier),
            bool(modifiers & Qt.KeyboardModifier.ShiftModifier),
            "\0",
            0,
            None,
        )
        self._interactor.SetAltKey(bool(modifiers & Qt.KeyboardModifier.AltModifier))

    def mousePressEvent(self, event):
        self._tellInteractor(event)
        self._interactor.InvokeEvent(BUTTONS.get(event.button(), "LeftButton") + "PressEvent")

    def mouseReleaseEvent(self, event):
        self._tellInteractor(event)
        self._interactor.InvokeEvent(BUTTONS.get(event.button(), "LeftButton") + "ReleaseEvent")

    def mouseMoveEvent(self, event):
        self._tellInteractor(event)
        self._interactor.MouseMoveEvent()

    def wheelEvent(self, event):
        self._tellInteractor(event)
        if event.angleDelta().y() > 0:
            self._interactor.MouseWheelForwardEvent()
        else:
            self._interactor.MouseWheelBackwardEvent()

    def leaveEvent(self, event):
        self._interactor.LeaveEvent()


class qMRMLSliceView(RenderedView):
    """One slice viewer's picture, by the real vtkMRMLSliceLogic."""

    def __init__(self, sliceNode, parent=None):
        super().__init__(slicer.vtkMRMLSliceViewDisplayableManagerFactory, SLICE_MANAGERS, parent)
        self._renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._actor.SetVisibility(0)
        self._renderer.AddViewProp(self._actor)
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetSliceLogics().AddItem(self._logic)
        self._observers.append((self._logic, self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, self._onLogic)))
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetSliceLogic(self._logic)
        self._style.SetDisplayableManagers(self._group)
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._logic.SetSliceNode(sliceNode)
        self._node = sliceNode
        self._group.SetMRMLDisplayableNode(self._node)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._style.SetInteractor(self._interactor)

    def _onLogic(self, *_):
        """Show the logic's blended image; CTK's light box does this in Slicer."""
        connection = self._logic.GetImageDataConnection()
        if self._mapper.GetNumberOfInputConnections(0) == 0 or self._mapper.GetInputConnection(0, 0) != connection:
            self._mapper.SetInputConnection(connection)
        self._actor.SetVisibility(connection is not None)
        self.scheduleRender()

    def _onResized(self, width, height):
        self._logic.ResizeSliceNode(width, height)

    @Slot(result=object)
    def sliceLogic(self):
        return self._logic

    @Slot(result=object)
    def mrmlSliceNode(self):
        return self._node


class qMRMLThreeDView(RenderedView):
    """A 3D view. Volumes are ray cast on the CPU: software OpenGL is many times slower, and its depth peeling
    draws nothing."""

    def __init__(self, viewNode, parent=None):
        super().__init__(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, THREE_D_MANAGERS, parent)
        self._style = slicer.vtkMRMLThreeDViewInteractorStyle()
        self._style.SetDisplayableManagers(self._group)
        self._style.SetInteractor(self._interactor)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyle3D())
        self._logic = slicer.vtkMRMLViewLogic()
        self._logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
        slicer.app.applicationLogic().GetViewLogics().AddItem(self._logic)
        self._logic.SetName(viewNode.GetLayoutName())  # finds its node in the scene by this name
        self._logic.SetMRMLScene(slicer.mrmlScene)
        self._node = viewNode
        self._node.SetBackgroundColor(0.756863, 0.764706, 0.909804)
        self._node.SetBackgroundColor2(0.454902, 0.470588, 0.745098)
        self._node.SetUseDepthPeeling(0)
        self._group.SetMRMLDisplayableNode(self._node)

    @Slot(result=object)
    def mrmlViewNode(self):
        return self._node

    @Slot(result=object)
    def viewLogic(self):
        return self._logic

    @Slot(result=object)
    def cameraNode(self):
        return self.displayableManagerByClassName("vtkMRMLCameraDisplayableManager").GetCameraNode()

    @Slot()
    def resetCamera(self):
        self._renderer.ResetCamera()
        self._renderer.ResetCameraClippingRange()
        self.scheduleRender()

    @Slot()
    def resetFocalPoint(self):
        """Look at the middle of what is shown; box and labels do not count."""
        wasModified = self._node.StartModify()
        visible = self._node.GetBoxVisible(), self._node.GetAxisLabelsVisible()
        self._node.SetBoxVisible(0)
        self._node.SetAxisLabelsVisible(0)
        self._node.EndModify(wasModified)
        self._renderer.ResetCamera()
        self._node.SetBoxVisible(visible[0])
        self._node.SetAxisLabelsVisible(visible[1])
        self._node.InvokeEvent(slicer.vtkMRMLViewNode.ResetFocalPointRequestedEvent)
        self._renderer.ResetCameraClippingRange()
        self.scheduleRender()

    @Slot(int)
    def rotateToViewAxis(self, axis):
        """0 left, 1 right, 2 posterior, 3 anterior, 4 inferior, 5 superior (vtkMRMLCameraNode's directions)."""
        self.cameraNode().RotateTo(axis)


CLASSES = (qMRMLSliceView, qMRMLThreeDView)
