"""The content of ``bundle.json``. Unknown keys, wrong types and values out of range are rejected on reading."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from leuda_core.networks.predictor import PredictorSpec
from leuda_core.types import Task

Count = Annotated[int, Meta(ge=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
BLANK = "0" * 64
"""Placeholder for the checksum while it is computed."""


class DomainSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The amount of training data from one domain."""

    name: str
    modality: str
    cases: Count = 0
    labelled_cases: Count = 0
    labelled_slices: Count = 0


class BundleInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model comes from, for users: shown in the model card and next to the model in lists.

    ``metrics`` maps a name such as ``dice/myocardium`` to its value on held-out cases (``None``: undefined).
    ``software`` is filled in by ``save_bundle`` if empty. ``created`` is a date as text, or empty.
    """

    name: str
    method: str
    source: DomainSummary
    target: DomainSummary
    citation: str = ""
    settings: dict[str, Any] = {}
    steps: Count = 0
    seed: Count = 0
    metrics: dict[str, float | None] = {}
    limits: tuple[str, ...] = ()
    software: dict[str, str] = {}
    created: str = ""


class FileRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size in bytes and hash of one file."""

    size: Count
    sha256: Sha256


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``bundle.json``. ``checksum`` is the hash of all other values of the document, to detect damage."""

    schema_version: Literal[1] = 1
    task: Task
    predictor: PredictorSpec
    info: BundleInfo
    files: dict[str, FileRecord]
    checksum: Sha256 = BLANK


def content_hash(fields: Mapping[str, Any]) -> str:
    """Return the hash of a document as stored, with a blank checksum.

    Not the hash of the document as this version would write it: older bundles must stay readable after new fields.
    """
    return hashlib.sha256(msgspec.json.encode({**fields, "checksum": BLANK})).hexdigest()


def decode(data: bytes) -> Document:
    """Parse and check ``bundle.json``.

    Raises:
        ValueError: names the problem and the value.
    """
    version = _version(data)
    if version != 1:
        raise ValueError(f"schema_version {version!r} is unknown; this version reads 1")
    try:
        document = msgspec.json.decode(data, type=Document)
        stored = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ValueError(str(error)) from error
    if document.checksum != content_hash(stored):
        raise ValueError(f"the content does not match its checksum {document.checksum[:12]}...")
    _check_task(document.task)
    _check_predictor(document.predictor, document.task)
    return document


def _version(data: bytes) -> object:
    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        return msgspec.json.decode(fields.get("schema_version", msgspec.Raw(b"null")))
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ValueError(str(error)) from error


def _check_task(task: Task) -> None:
    values = [label.value for label in task.labels]
    low, high = task.normalization.lower_percentile, task.normalization.upper_percentile
    _require(1 <= len(values) <= 254, f"{len(values)} labels; 1 to 254 are allowed")
    _require(len(set(values)) == len(values), f"label values {values} are not unique")
    _require(all(1 <= value <= 65535 for value in values), f"label values {values} are not all within 1 to 65535")
    colors = [channel for label in task.labels for channel in label.color]
    _require(all(0 <= channel <= 1 for channel in colors), "a label colour is not within 0 to 1")
    _require(0 <= low < high <= 100, f"percentiles {low} and {high} are not a range within 0 to 100")
    _require(0 < task.spacing_mm <= 20, f"spacing_mm {task.spacing_mm} is not within 0 to 20")
    _require(16 <= task.patch_size <= 4096, f"patch_size {task.patch_size} is not within 16 to 4096")


def _check_predictor(spec: PredictorSpec, task: Task) -> None:
    _require(spec.n_classes == task.n_classes, f"n_classes {spec.n_classes} is not labels + 1 = {task.n_classes}")
    _require(1 <= spec.base_channels <= 128, f"predictor.base_channels {spec.base_channels} is not within 1 to 128")
    _require(
        0 <= spec.translator_channels <= 128, f"translator_channels {spec.translator_channels} is not within 0 to 128"
    )
    _require(0 <= spec.translator_blocks <= 32, f"translator_blocks {spec.translator_blocks} is not within 0 to 32")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
