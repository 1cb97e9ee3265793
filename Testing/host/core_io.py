"""Stand-in for qSlicerCoreIOManager: reads and writes nodes and scenes through the real MRML logics and storage nodes.

`slicer.util.loadVolume`, `saveNode`, `loadScene`, … (the genuine functions) end here.
"""

from pathlib import Path

import slicer
import vtk
from PySide6 import QtCore
from PySide6.QtCore import Slot

from .pythonqt import wrap
from .stored_property import storedProperty

FILE_TYPES = {  # ending → Slicer's name of the file type; everything else is a volume
    ".seg.nrrd": "SegmentationFile",
    ".seg.nhdr": "SegmentationFile",
    ".mrk.json": "MarkupsFile",
    ".mrb": "SceneFile",
    ".mrml": "SceneFile",
    ".ctbl": "ColorTableFile",
    ".vtk": "ModelFile",
    ".vtp": "ModelFile",
    ".stl": "ModelFile",
    ".obj": "ModelFile",
    ".ply": "ModelFile",
    ".tfm": "TransformFile",
    ".h5": "TransformFile",
    ".csv": "TableFile",
    ".tsv": "TableFile",
    ".txt": "TextFile",
    ".xml": "TextFile",
    ".json": "TextFile",
}
WRITERS = {
    "vtkMRMLVolumeNode": "VolumeFile",
    "vtkMRMLSegmentationNode": "SegmentationFile",
    "vtkMRMLModelNode": "ModelFile",
    "vtkMRMLColorNode": "ColorTableFile",
    "vtkMRMLTableNode": "TableFile",
    "vtkMRMLTextNode": "TextFile",
    "vtkMRMLTransformNode": "TransformFile",
    "vtkMRMLMarkupsNode": "MarkupsFile",
}
VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}
VOLUME_FORMATS = ["NRRD (.nrrd)", "NRRD (.nhdr)", "NIfTI (.nii.gz)", "NIfTI (.nii)", "MetaImage (.mha)"]


class qSlicerScriptedFileReader(QtCore.QObject):
    """Around a module's class `<Name>FileReader`, whose answers must be of the types that C++ looks for."""

    loadedNodes = storedProperty("QStringList", "loadedNodes", [])

    def __init__(self, readerClass, parent=None):
        super().__init__(parent)
        self._messages = slicer.vtkMRMLMessageCollection()
        self._reader = readerClass(wrap(self))

    @Slot(result=object)
    def userMessages(self):
        return self._messages

    def ask(self, method, kind, *arguments):
        answer = getattr(self._reader, method)(*arguments)
        if type(answer) is not kind:
            raise TypeError(f"{type(self._reader).__name__}.{method} is to return {kind.__name__}, not {answer!r}")
        return answer

    def confidence(self, fileName):
        """0.5, and 0.01 for each character of the matching extension, where the class does not say otherwise."""
        if not self.ask("canLoadFile", bool, fileName):
            return 0.0
        if hasattr(self._reader, "canLoadFileConfidence"):
            return self.ask("canLoadFileConfidence", float, fileName)
        return 0.5 + 0.01 * len(Path(fileName).suffix)

    def load(self, properties, loadedNodes, messages):
        self._messages.ClearMessages()
        self.setProperty("loadedNodes", [])
        loaded = self.ask("load", bool, dict(properties))
        for id_ in self.property("loadedNodes"):
            if loadedNodes is not None:
                loadedNodes.AddItem(slicer.mrmlScene.GetNodeByID(id_))
        if messages is not None:
            messages.AddMessages(self._messages)
        return loaded


class qSlicerCoreIOManager(QtCore.QObject):
    newFileLoaded = QtCore.Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scripted = {}

    def registerReader(self, moduleName, readerClass):
        """Slicer does so with each scripted module that has the class `<Name>FileReader`."""
        self._scripted[moduleName] = qSlicerScriptedFileReader(readerClass, self)

    def unregisterReader(self, moduleName):
        if moduleName in self._scripted:
            self._scripted.pop(moduleName).deleteLater()

    @Slot(str, result=str)
    def fileType(self, fileName):
        """The type of the reader that is surest; Slicer's own ones are as sure as their extension is long."""
        name = str(fileName).lower()
        ending = next((ending for ending in FILE_TYPES if name.endswith(ending)), None)
        best, surest = FILE_TYPES.get(ending, "VolumeFile"), 0.5 + 0.01 * len(ending or "")
        for reader in self._scripted.values():
            if reader.confidence(str(fileName)) > surest:
                best, surest = reader.ask("fileType", str), reader.confidence(str(fileName))
        return best

    @Slot(str, object, object, object, result=bool)
    def loadNodes(self, fileType, properties, loadedNodes=None, messages=None):
        fileName = str(properties["fileName"])
        if not Path(fileName).exists():
            _complain(messages, f"Cannot read {fileName}: file not found")
            return False
        if fileType == "SceneFile":
            return self._loadScene(fileName, properties, messages)
        for scripted in self._scripted.values():
            if scripted.ask("fileType", str) == fileType:
                return scripted.load(properties, loadedNodes, messages)
        reader = getattr(self, f"_load{fileType}", None)
        if reader is None:
            raise NotImplementedError(f"The test host reads no {fileType}.")
        node = reader(fileName, properties, messages)
        if node is not None and loadedNodes is not None:
            loadedNodes.AddItem(node)
        if node is not None:
            self.newFileLoaded.emit(properties)
        return node is not None

    def _loadVolumeFile(self, fileName, properties, _messages):
        options = sum(bit for name, bit in VOLUME_OPTIONS.items() if properties.get(name))
        files = vtk.vtkStringArray()
        for file in properties.get("fileNames", []):
            files.InsertNextValue(str(file))
        name = properties.get("name") or _stem(fileName)
        node = slicer.modules.volumes.logic().AddArchetypeVolume(fileName, name, options, files)
        if node is None:
            return None
        if properties.get("colorNodeID"):
            node.GetDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
        if properties.get("show", True):
            selection = slicer.app.applicationLogic().GetSelectionNode()
            if node.IsA("vtkMRMLLabelMapVolumeNode"):
                selection.SetActiveLabelVolumeID(node.GetID())
            else:
                selection.SetActiveVolumeID(node.GetID())
            slicer.app.applicationLogic().PropagateVolumeSelection(1)
        return node

    def _loadSegmentationFile(self, fileName, properties, _messages):
        logic = slicer.modules.segmentations.logic()
        return logic.LoadSegmentationFromFile(fileName, True, properties.get("name") or "")

    def _loadModelFile(self, fileName, _properties, _messages):
        return slicer.modules.models.logic().AddModel(fileName)

    def _loadColorTableFile(self, fileName, _properties, _messages):
        return slicer.modules.colors.logic().LoadColorFile(fileName)

    def _loadTransformFile(self, fileName, _properties, _messages):
        return slicer.modules.transforms.logic().AddTransform(fileName, slicer.mrmlScene)

    def _loadTableFile(self, fileName, _properties, _messages):
        return slicer.modules.tables.logic().AddTable(fileName)

    def _loadTextFile(self, fileName, properties, _messages):
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", properties.get("name") or _stem(fileName))
        node.SetText(Path(fileName).read_text(encoding="utf-8"))
        return node

    def _loadMarkupsFile(self, fileName, properties, messages):
        name = properties.get("name") or _stem(fileName)
        return slicer.mrmlScene.GetNodeByID(slicer.modules.markups.logic().LoadMarkups(fileName, name, messages))

    def _loadScene(self, fileName, properties, messages):
        scene, clear = slicer.mrmlScene, properties.get("clear", True)
        if fileName.lower().endswith(".mrb"):
            return bool(scene.ReadFromMRB(fileName, clear, messages))
        scene.SetURL(fileName)
        return bool(scene.Connect(messages) if clear else scene.Import(messages))

    @Slot(object, result=str)
    def fileWriterFileType(self, node):
        return next((t for class_, t in WRITERS.items() if node.IsA(class_)), "NodeFile")

    @Slot(str, object, object, result=bool)
    def saveNodes(self, fileType, properties, messages=None):
        fileName = str(properties["fileName"])
        if fileType == "SceneFile":
            return self._saveScene(fileName, messages)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(fileName)
        return _write(node, node.GetStorageNode(), fileName, properties, messages)

    def _saveScene(self, fileName, messages):
        scene = slicer.mrmlScene
        scene.SetURL(fileName)
        if fileName.lower().endswith(".mrb"):
            return bool(scene.WriteToMRB(fileName, None, messages))
        if fileName.lower().endswith(".mrml"):
            scene.SetRootDirectory(str(Path(fileName).resolve().parent))
            return bool(scene.Commit(fileName, messages))
        Path(fileName).mkdir(parents=True, exist_ok=True)
        return bool(scene.SaveSceneToSlicerDataBundleDirectory(fileName, None, messages))

    @Slot(object, result=object)
    def fileWriterExtensions(self, node):
        if node.IsA("vtkMRMLVolumeNode"):  # slicer-core's storage node lists none
            return list(VOLUME_FORMATS)
        types = _newStorageNode(node).GetSupportedWriteFileTypes()
        return [types.GetValue(i) for i in range(types.GetNumberOfValues())]

    @Slot(str, object, result=str)
    def extractKnownExtension(self, fileName, node):
        fromFormat = slicer.vtkDataFileFormatHelper.GetFileExtensionFromFormatString
        known = [fromFormat(f) for f in self.fileWriterExtensions(node)]
        fitting = [e for e in known if str(fileName).lower().endswith(e.lower())]
        return max(fitting, key=len, default=Path(fileName).suffix)

    @Slot(object, object, object, bool, object, result=bool)
    def exportNodes(self, nodeIds, fileNames, properties, hardenTransforms=False, messages=None):
        if hardenTransforms:
            raise NotImplementedError("The test host exports nodes in their own coordinates only.")
        nodes = [slicer.mrmlScene.GetNodeByID(i) for i in nodeIds]
        pairs = zip(nodes, fileNames, strict=True)
        written = [_write(n, _newStorageNode(n), str(f), properties, messages) for n, f in pairs]
        return all(written)


def _newStorageNode(node):
    storage = node.CreateDefaultStorageNode()
    storage.UnRegister(None)  # returned with a reference of its own
    return storage


def _write(node, storage, fileName, properties, messages):
    if storage is None:
        _complain(messages, f"Cannot write {fileName}: no writer for {node.GetClassName()}")
        return False
    storage.SetFileName(fileName)
    storage.SetUseCompression(properties.get("useCompression", 1))
    return bool(storage.WriteData(node))


def _complain(messages, text):
    if messages is not None:
        messages.AddMessage(vtk.vtkCommand.ErrorEvent, text)


def _stem(fileName):
    name = Path(fileName).name
    for ending in (".nii.gz", ".seg.nrrd", ".mrk.json"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return Path(name).stem


CLASSES = (qSlicerCoreIOManager, qSlicerScriptedFileReader)
