"""The user's choices in the segmentation panel, in a node of the scene, so that they are saved and loaded with it."""

from typing import TYPE_CHECKING, Annotated, Any

import slicer
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class SegmentationParameterNode:
    """The parameters of the module.

    inputVolume - the volume to segment, if it is a single one.
    severalVolumes - segment ``volumes`` instead, one after another.
    model - name in the list of models.
    outputSegmentation - what is shown under Result, and where the segments of a single volume are written; none
        creates a new segmentation.
    skippedSegments - names of labels that are not written; a new model therefore writes all of its labels.
    roi - nothing is written outside this box; none for the whole volume.
    device - as the worker names it, or "auto".
    keepCorrections - slices that were drawn on since the last Apply stay; askedAboutCorrections - the user chose this.
    smoothing - of the 3-D surfaces, 0 (none) to 1.

    The live preview is not stored: opening a scene should not start a computation.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    severalVolumes: bool = False
    volumes: list[vtkMRMLScalarVolumeNode]
    model: str = ""
    outputSegmentation: vtkMRMLSegmentationNode
    skippedSegments: list[str]
    roi: vtkMRMLMarkupsROINode
    device: str = "auto"
    largestComponent: bool = False
    keepCorrections: bool = True
    askedAboutCorrections: bool = False
    probabilities: bool = False
    showIn3D: bool = False
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5

    if TYPE_CHECKING:  # the decorator gives the class its constructor

        def __init__(self, parameterNode: Any) -> None: ...


def is_alive(node) -> bool:
    """Return whether a node is still in the scene; a reference may outlast its node."""
    return node is not None and slicer.mrmlScene is not None and bool(slicer.mrmlScene.IsNodePresent(node))


def chosen_volumes(parameters) -> list:
    """Return the volumes that Apply would segment, without deleted ones."""
    chosen = parameters.volumes if parameters.severalVolumes else [parameters.inputVolume]
    return [volume for volume in chosen if is_alive(volume)]


def wanted_segments(parameters, entry) -> list[str] | None:
    """Return the names of the labels to write; ``None`` for all of them."""
    names = [label.name for label in entry.labels]
    wanted = [name for name in names if name not in parameters.skippedSegments]
    return None if len(wanted) == len(names) else wanted


def missing_inputs(parameters, entry) -> list[str]:
    """Return what prevents Apply from running, in the order of the panel, one sentence each.

    Args:
        parameters: the parameter node, or ``None`` while a scene is being closed.
        entry: the chosen entry of the model list, or ``None``.
    """
    if parameters is None:
        return [_("The scene is being closed.")]
    missing = []
    if not chosen_volumes(parameters):
        several = parameters.severalVolumes
        missing.append(_("Check at least one volume.") if several else _("Choose an input volume."))
    if entry is None:
        missing.append(_("Choose a model."))
    elif entry.problem:
        missing.append(_("Choose another model: {name} is damaged.").format(name=entry.name))
    elif wanted_segments(parameters, entry) == []:
        missing.append(_("Check at least one segment under Options."))
    return missing
