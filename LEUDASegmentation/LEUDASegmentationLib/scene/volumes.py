"""Which nodes are images that can be segmented and trained on."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from leuda_core.errors import InputError
from LEUDASegmentationLib.scene.geometry import volume_shape


def check_volume(node: Any | None) -> None:
    """Check that a node is a scalar volume of the scene, with voxels and one component per voxel.

    Raises:
        InputError: it is not; says why.
    """
    choose = _("choose a scalar volume, such as an MR or CT image")
    if node is None:
        raise InputError(_("no input volume is chosen"), choose)
    name = node.GetName()
    if node.GetScene() is None:
        raise InputError(_("“{name}” is no longer in the scene").format(name=name), _("load it again"))
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(_("“{name}” is not a scalar volume").format(name=name), choose)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            _("“{name}” is a label map, not an image").format(name=name),
            _("choose the image; an image that was loaded as a label map can be converted in the Volumes module"),
        )
    image = node.GetImageData()
    if 0 in volume_shape(node) or image.GetPointData().GetScalars() is None:
        raise InputError(_("“{name}” contains no voxels").format(name=name), _("load the volume again"))
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            _("“{name}” has {count} components per voxel, such as colours or time points").format(
                name=name, count=components
            ),
            _("choose a volume with one component; the module Vector to Scalar Volume can create one"),
        )
