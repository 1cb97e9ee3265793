"""Options that mean the same in several commands, each defined once."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[str, typer.Option("--model", "-m", help="Name (see hrcam models) or folder.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
ClassName = Annotated[
    str | None, typer.Option("--class", help="Class whose evidence is shown (default: the likeliest pathology).")
]
Plane = Annotated[
    str, typer.Option("--plane", help="auto (the model's best), axial, coronal, sagittal, or all (mean of the three).")
]
Fusion = Annotated[
    str | None,
    typer.Option("--fusion", help="How levels are fused; sum is the published form (default: the model's)."),
]
Precision = Annotated[str, typer.Option("--precision", help="fp32; bf16 and fp16 are faster and less exact.")]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Slices a forward pass (default: suits the device).")
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine", help="torch, openvino (CPU, faster), or auto: openvino where it is installed and pays."
    ),
]
KeepLevels = Annotated[bool, typer.Option("--keep-levels", help="Also write the map of every CNN level.")]
MinimumRegion = Annotated[
    float, typer.Option("--minimum-region", min=0, help="Leave out regions smaller than this, in ml; 0 keeps all.")
]
TestFaithfulness = Annotated[
    bool, typer.Option("--faithfulness", help="Test if the answer rests on the strongest region (5 more runs).")
]
NamePlaces = Annotated[
    bool, typer.Option("--place", help="Name the place of each region in the brain (side, structure, MNI position).")
]
Scene = Annotated[bool, typer.Option("--scene", help="Also write a scene (.mrb) a scan for 3D Slicer.")]
Dicom = Annotated[
    bool, typer.Option("--dicom", help="Also write DICOM: Segmentation, Parametric Map, Structured Report.")
]
NoOverview = Annotated[bool, typer.Option("--no-overview", help="Do not draw the overview pictures.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
