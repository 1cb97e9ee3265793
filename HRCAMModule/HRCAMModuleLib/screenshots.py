"""Pictures of the views for batch runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import slicer
import vtk

from .display import fitSliceViews
from .localization import Localization


def saveScreenshots(logic: Any, localization: Localization, folder: Path, name: str) -> list[Path]:
    """Save ``NAME_Red.png`` and so on, at the strongest region, and ``NAME_3D.png``; returns what was written.

    Without views (``--no-main-window``) nothing is written and the log says so.
    """
    layout = slicer.app.layoutManager()
    if layout is None:
        logging.warning("HR-CAM: screenshots need Slicer's main window; run without --no-main-window")
        return []
    logic.showOverlay(localization, legend=True)
    fitSliceViews()
    if localization.regions:
        logic.jumpToRegion(localization, localization.regions[0]["label"])
    logic.showIn3D(localization, surfaces=True)
    slicer.app.processEvents()
    slices = {name: layout.sliceWidget(name) for name in layout.sliceViewNames()}  # with those of other layouts
    shown = {name: widget for name, widget in slices.items() if widget.visible} or slices
    views = {name: widget.sliceView() for name, widget in shown.items()}
    if layout.threeDViewCount > 0:
        views["3D"] = layout.threeDWidget(0).threeDView()
    return [_save(view, folder / f"{name}_{label}.png") for label, view in views.items()]


def _save(view: Any, path: Path) -> Path:
    from hrcam.atomic_files import replacing

    view.forceRender()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(view.renderWindow())
    grabber.ReadFrontBufferOff()
    writer = vtk.vtkPNGWriter()
    writer.SetInputConnection(grabber.GetOutputPort())
    with replacing(path) as partial:
        writer.SetFileName(str(partial))
        writer.Write()
    return path
