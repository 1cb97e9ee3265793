"""What the module's tests look for in the scene; helpers that are no fixtures."""

MODEL = "bright-blob"
"""Name of the fast model, which `module_host` puts into the panel's list."""


def composite():
    """The layers of the first slice view."""
    import slicer

    return slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")


def sceneNodes():
    """Class and name of every node in the scene but the subject hierarchy, which comes when asked for."""
    import slicer

    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    named = ((node.GetClassName(), node.GetName() or "") for node in nodes)
    return sorted(one for one in named if one[0] != "vtkMRMLSubjectHierarchyNode")
