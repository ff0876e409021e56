"""What the user chose in the segmentation panel, kept in a node of the scene so that it is saved and loaded with it."""

from typing import TYPE_CHECKING, Annotated, Any

import slicer
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


@parameterNodeWrapper
class SegmentationParameterNode:
    """The parameters of the module.

    inputVolume - the volume to segment, when it is one.
    severalVolumes - segment ``volumes`` instead, one after another.
    model - name in the list of models.
    outputSegmentation - where the segments go; none makes a new segmentation.
    result - the segmentation that is shown under Result.
    skippedSegments - names of the model's labels that are not written, so that a new model writes all of its labels.
    roi - box outside of which nothing is written; none for the whole volume.
    device - as the worker names it, or "auto".
    smoothing - of the 3-D surface, 0 (as the voxels are) to 1.

    The live preview is not among them: a scene that is opened should not begin to compute.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    severalVolumes: bool = False
    volumes: list[vtkMRMLScalarVolumeNode]
    model: str = ""
    outputSegmentation: vtkMRMLSegmentationNode
    result: vtkMRMLSegmentationNode
    skippedSegments: list[str]
    roi: vtkMRMLMarkupsROINode
    device: str = "auto"
    largestComponent: bool = False
    probabilities: bool = False
    showIn3D: bool = False
    smoothing: Annotated[float, WithinRange(0, 1)] = 0.5

    if TYPE_CHECKING:  # the decorator gives the class its constructor

        def __init__(self, parameterNode: Any) -> None: ...


def is_alive(node) -> bool:
    """Say whether a node is still in the scene; a reference may outlast what it names."""
    return node is not None and slicer.mrmlScene is not None and bool(slicer.mrmlScene.IsNodePresent(node))


def chosen_volumes(parameters) -> list:
    """Return the volumes that Apply would segment, without those that were deleted."""
    chosen = parameters.volumes if parameters.severalVolumes else [parameters.inputVolume]
    return [volume for volume in chosen if is_alive(volume)]


def wanted_segments(parameters, entry) -> list[str] | None:
    """Return the names of the labels to write; ``None`` when that is all of them."""
    names = [label.name for label in entry.labels]
    wanted = [name for name in names if name not in parameters.skippedSegments]
    return None if len(wanted) == len(names) else wanted


def missing_inputs(parameters, entry) -> list[str]:
    """Return what keeps Apply from running, in the order of the panel, one sentence each.

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
