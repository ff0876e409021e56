"""Phantom images in Slicer's Sample Data: generated on this computer on first use, nothing is downloaded."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from leuda_core.errors import InputError, LeudaError
from leuda_core.io.leftovers import temporary_folder
from LEUDASegmentationLib.processes.commands import LeudaCommand
from LEUDASegmentationLib.processes.environment import data_folder
from LEUDASegmentationLib.processes.installation import ensure_installed

logger = logging.getLogger(__name__)

CATEGORY = "LE-UDA"
PHANTOM_MR, PHANTOM_CT, FEW_LABELS = "LE-UDA phantom MR", "LE-UDA phantom CT", "LE-UDA few labels"
DATASET = "dataset.json"
_generating = False

_ICONS = Path(__file__).resolve().parents[1] / "Resources" / "Icons"
_MAKE_S = 600.0
_COHORT = {"source": 6, "labelled": 3, "target": 6, "test": 2}
"""Cases by role: few enough for a training of minutes and for a clear list of nodes."""


@dataclass(frozen=True)
class _Sample:
    """A button: one phantom image, or the whole dataset."""

    name: str
    file: str
    thumbnail: str


_SAMPLES = (
    _Sample(PHANTOM_MR, "test_source_01.nii.gz", "LEUDAPhantomMR.png"),
    _Sample(PHANTOM_CT, "test_target_01.nii.gz", "LEUDAPhantomCT.png"),
    _Sample(FEW_LABELS, DATASET, "LEUDAPhantomDataset.png"),
)


def register_sample_data() -> None:
    """Add the phantom to the Sample Data module; to be called when Slicer has started up.

    Sample Data calls a custom downloader only for its buttons; use ``load_sample`` in the console.
    """
    import SampleData

    for sample in _SAMPLES:
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=sample.name,
            uris=(samples_folder() / sample.file).as_uri(),
            fileNames=sample.file,
            nodeNames=sample.name,
            thumbnailFileName=str(_ICONS / sample.thumbnail),
            customDownloader=_on_requested,
        )


def samples_folder() -> Path:
    """Return the folder of the phantom; if it is deleted, the next request generates the phantom again."""
    return data_folder() / "samples" / "phantom"


def load_sample(name: str) -> list[Any]:
    """Load a sample into the scene and return its nodes, images first; the first request generates the data.

    Raises:
        LeudaError: packages are missing, or the data could not be generated.
    """
    sample = next(each for each in _SAMPLES if each.name == name)
    dataset = make_phantom()
    if sample.file == DATASET:
        return _load_cases(dataset)
    return [slicer.util.loadVolume(str(dataset.parent / sample.file), {"name": sample.name})]


def make_phantom() -> Path:
    """Generate the phantom dataset in another process, unless it exists; return its ``dataset.json``.

    Raises:
        InputError: it is being generated. LeudaError: it could not be generated. Cancelled: by the user.
    """
    dataset = samples_folder() / DATASET
    if not dataset.is_file():
        if not ensure_installed():
            raise LeudaError(
                _("the sample data cannot be generated: Python packages are missing"), _("install them and try again")
            )
        with _only_once():
            _generate(dataset.parent)
    return dataset


def _generate(folder: Path) -> None:
    """Generate the phantom in a temporary folder, which takes the place of an incomplete one when it is done."""
    words = [word for role, count in _COHORT.items() for word in (f"--{role}", count)]
    with temporary_folder(folder.parent) as temporary:
        made = temporary / folder.name
        with _waiting(LeudaCommand(["phantom", "--out", made, *words])) as command:
            command.wait(_MAKE_S)
        if not (folder / DATASET).is_file():  # another Slicer may have been faster
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)


@contextmanager
def _only_once() -> Iterator[None]:
    """Refuse to generate the phantom while it is being generated: Slicer processes events meanwhile."""
    global _generating
    if _generating:
        raise InputError(_("the sample data are being generated"), _("wait until this is done"))
    _generating = True
    try:
        yield
    finally:
        _generating = False


def _on_requested(source: Any) -> list[Any]:
    """Load the sample of a button, and show an error in a window."""
    try:
        nodes = load_sample(source.sampleName)
    except LeudaError as error:
        logger.error("%s: %s", source.sampleName, error)
        slicer.util.errorDisplay(f"{error.message}\n\n{error.remedy}".strip(), windowTitle=source.sampleName)
        return []
    slicer.util.showStatusMessage(_("{name} is loaded").format(name=source.sampleName), 3000)
    return nodes


@contextmanager
def _waiting(command: LeudaCommand) -> Iterator[LeudaCommand]:
    """Run a command while a window shows that it runs and offers to cancel it."""
    command.start()
    if slicer.util.mainWindow() is None:
        yield command
        return
    dialog = slicer.util.createProgressDialog(
        maximum=0,
        windowTitle=CATEGORY,
        labelText=_("Generating the phantom images on this computer…"),
        windowModality=qt.Qt.ApplicationModal,
    )
    dialog.connect("canceled()", command.cancel)
    try:
        yield command
    finally:
        dialog.disconnect("canceled()", command.cancel)
        dialog.close()
        dialog.deleteLater()


def _load_cases(dataset: Path) -> list[Any]:
    """Load the training cases, with segmentations for those that have labels; test cases are left out."""
    content = json.loads(dataset.read_text(encoding="utf-8"))
    volumes: list[Any] = []
    segmentations: list[Any] = []
    for domain in ("source", "target"):
        for number, case in enumerate(content[domain]["cases"], start=1):
            name = f"{content[domain]['modality']} {number}"
            image = slicer.util.loadVolume(str(dataset.parent / case["image"]), {"name": name, "show": not volumes})
            volumes.append(image)
            if "label" in case:
                path = dataset.parent / case["label"]
                segmentations.append(_load_segmentation(path, f"{name} segmentation", image, content["labels"]))
    for hidden in segmentations[1:]:  # the patients overlap: show only the first, like its volume
        hidden.CreateDefaultDisplayNodes()
        hidden.GetDisplayNode().SetVisibility(False)
    return volumes + segmentations


def _load_segmentation(path: Path, name: str, image: Any, labels: dict[str, Any]) -> Any:
    node = slicer.util.loadSegmentation(str(path), {"name": name})
    node.SetReferenceImageGeometryParameterFromVolumeNode(image)
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(index)
        label = labels[str(segment.GetLabelValue())]
        segment.SetName(label["name"])
        segment.SetColor([channel / 255 for channel in label["color"]])
        segment.SetTag(segment.GetTerminologyEntryTagName(), label["terminology"])
    return node
