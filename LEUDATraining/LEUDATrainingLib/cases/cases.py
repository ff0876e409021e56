"""Source cases and target volumes of a training, stored in the scene.

The volume of a case is a node of the scene, or a file that is not loaded. Files stay where they are, and only the
training process reads them, so hundreds of files need no memory in Slicer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError
from leuda_core.io.names import EXTENSIONS, is_litter, volume_extension, volume_stem
from LEUDASegmentationLib.scene.volumes import check_volume
from LEUDATrainingLib.parameter_node import read_json

Role = Literal["source", "target"]
ROLES: tuple[Role, ...] = ("source", "target")

LABEL_ENDINGS = ("_label", "-label", "_labels", "-labels", "_seg", "-seg", "_segmentation", "_mask", ".seg")


@dataclass(frozen=True)
class Case:
    """One volume. ``image`` and ``label`` are files; empty if the volume is a node of the scene.

    ``labelled`` are the indices, along the slicing axis, of the slices that are labelled completely, background
    included; ``None`` means every slice that contains a label.
    """

    key: str
    name: str
    image: str = ""
    label: str = ""
    labelled: tuple[int, ...] | None = None


class CaseStore:
    """The source cases or the target volumes of a parameter node."""

    def __init__(self, parameter_node: Any, role: Role) -> None:
        self.role = role
        self._node = parameter_node
        self._attribute = f"{role}Cases"

    @property
    def node(self) -> Any:
        """The MRML node in which the cases are stored."""
        return self._node.parameterNode

    def __iter__(self) -> Iterator[Case]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def find(self, key: str) -> Case | None:
        """Return the case with a key, ``None`` if there is none."""
        return next((case for case in self if case.key == key), None)

    def volume(self, case: Case) -> Any | None:
        """Return the volume node of a case; ``None`` if it is a file or was deleted."""
        return self._reference(f"{case.key}.volume")

    def segmentation(self, case: Case) -> Any | None:
        """Return the segmentation node of a case; ``None`` if there is none."""
        return self._reference(f"{case.key}.segmentation")

    def is_missing(self, case: Case) -> bool:
        """Return whether the volume of a case is neither in the scene nor an existing file."""
        return self.volume(case) is None and not (case.image and Path(case.image).exists())

    def add_node(self, volume: Any, segmentation: Any = None) -> Case:
        """Add a volume of the scene.

        Raises:
            InputError: the volume is not a scalar volume, or is already in the list.
        """
        check_volume(volume)
        if any(self.volume(case) is volume for case in self):
            raise InputError(
                _("“{name}” is already in the list").format(name=volume.GetName()), _("choose another one")
            )
        case = Case(secrets.token_hex(4), self._free_name(volume.GetName()))
        with slicer.util.NodeModify(self.node):
            self._refer(case, "volume", volume)
            self._refer(case, "segmentation", segmentation)
            self._write([*self, case])
        return case

    def add_file(
        self, image: Path, label: Path | None = None, labelled: Sequence[int] | None = None, name: str = ""
    ) -> Case:
        """Add a volume as a file, without loading it; ``labelled`` as in :class:`Case`."""
        case = Case(
            key=secrets.token_hex(4),
            name=self._free_name(name or volume_stem(image)),
            image=str(image),
            label=str(label) if label else "",
            labelled=tuple(labelled) if labelled is not None else None,
        )
        self._write([*self, case])
        return case

    def remove(self, key: str) -> None:
        """Remove a case from the list; its nodes stay in the scene."""
        with slicer.util.NodeModify(self.node):
            for what in ("volume", "segmentation"):
                self.node.RemoveNodeReferenceIDs(f"{key}.{what}")
            self._write([case for case in self if case.key != key])

    def set_volume(self, key: str, volume: Any) -> None:
        """Use a node of the scene as the volume of a case, instead of its file or of a deleted node."""
        with slicer.util.NodeModify(self.node):
            self._refer(Case(key, ""), "volume", volume)
            self._change(key, image="", label="")

    def set_segmentation(self, key: str, segmentation: Any | None) -> None:
        """Set the segmentation node with the labels of a case."""
        self._refer(Case(key, ""), "segmentation", segmentation)
        self.node.Modified()

    def set_labelled(self, key: str, labelled: Sequence[int] | None) -> None:
        """Set which slices are labelled completely; ``None``: every slice that contains a label."""
        self._change(key, labelled=tuple(sorted(set(labelled))) if labelled is not None else None)

    def _change(self, key: str, **values: Any) -> None:
        self._write([replace(case, **values) if case.key == key else case for case in self])

    def _refer(self, case: Case, what: str, node: Any | None) -> None:
        self.node.SetNodeReferenceID(f"{case.key}.{what}", node.GetID() if node else None)

    def _reference(self, role: str) -> Any | None:
        """Return the node of a role, if it is in the scene: a reference may point to a deleted node."""
        node = self.node.GetNodeReference(role)
        return node if node is not None and slicer.mrmlScene.IsNodePresent(node) else None

    def _free_name(self, name: str) -> str:
        """Return a name that no case of either list has: training identifies cases by name."""
        taken = {case.name for role in ROLES for case in CaseStore(self._node, role)}
        free, number = name, 2
        while free in taken:
            free, number = f"{name} {number}", number + 1
        return free

    def _read(self) -> list[Case]:
        found = []
        for entry in read_json(getattr(self._node, self._attribute), []):
            try:
                labelled = entry.get("labelled")
                entry["labelled"] = tuple(int(index) for index in labelled) if labelled is not None else None
                case = Case(**entry)
                if all(isinstance(text, str) for text in (case.key, case.name, case.image, case.label)):
                    found.append(case)
            except (AttributeError, TypeError, ValueError, OverflowError):
                continue  # an invalid entry, for example of a scene that another program wrote
        return found

    def _write(self, cases: Sequence[Case]) -> None:
        setattr(self._node, self._attribute, json.dumps([asdict(case) for case in cases], ensure_ascii=False))


def missing_volume(case: Case) -> InputError:
    """Return the error for a case whose volume is missing."""
    what = _("the file {path} of case {name} is missing") if case.image else _("the volume of case {name} was deleted")
    return InputError(
        what.format(path=case.image, name=case.name), _("load the volume and choose it again, or remove the case")
    )


def volume_files(folder: Path) -> list[tuple[Path, Path | None]]:
    """Return (image, label or None) for every volume in a folder.

    The label of an image is in the same folder as ``NAME_label``, ``NAME_seg``, ``NAME.seg.nrrd`` …, or has the same
    name and is in the subfolder ``labels``.

    Raises:
        InputError: the folder contains no volume.
    """
    files = sorted(filter(_is_volume_file, Path(folder).iterdir()))
    labels = {path: image for path in files if (image := _labelled_by(path)) is not None}
    images = [path for path in files if path not in labels]
    if not images:
        raise InputError(
            _("{folder} contains no volume").format(folder=folder),
            _("choose a folder that contains files of these types: {extensions}").format(
                extensions=", ".join(EXTENSIONS)
            ),
        )
    by_name = {name: path for path, name in labels.items()}
    for path in sorted(Path(folder).glob("labels/*")):
        if _is_volume_file(path):
            by_name.setdefault(volume_stem(path), path)
    return [(image, by_name.get(volume_stem(image))) for image in images]


def _is_volume_file(path: Path) -> bool:
    return bool(volume_extension(path)) and not is_litter(path.name)


def _labelled_by(path: Path) -> str | None:
    """Return the name of the image to which a label file belongs; ``None`` if the file is an image."""
    name = volume_stem(path)
    ending = next((name[-len(one) :] for one in LABEL_ENDINGS if name.lower().endswith(one)), "")
    is_label = bool(ending) or path.name.lower().endswith(".seg.nrrd")
    return name.removesuffix(ending) if is_label else None
