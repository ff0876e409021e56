"""The content of ``bundle.json`` as types. Its values are checked by ``leuda_core.bundle.document``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from leuda_core.bundle.document import parse_document
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


class CaseDigest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training case, known by the SHA-256 of its files; no name, because bundles are passed on."""

    image: Sha256
    label: Sha256 | None = None
    labelled_slices: tuple[Count, ...] | None = None


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be the same, besides settings, seed and software, for a training with the same weights.

    ``threads`` are those of the CPU, which change the order of sums; 0 on a GPU. ``rules`` are those of the run, by
    which volumes become batches; 0 in bundles that do not name them.
    """

    source: tuple[CaseDigest, ...]
    target: tuple[CaseDigest, ...]
    device: str
    threads: Count = 0
    rules: Count = 0


class BundleInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model comes from, for users: shown in the model card and next to the model in lists.

    ``reasons`` say why settings and ``steps`` were chosen; those without a reason were given or are defaults.
    ``metrics`` maps a name such as ``dice/myocardium`` to its value on held-out cases (``None``: undefined).
    ``warnings`` are those of the training that held at its end. ``software`` is filled in by ``save_bundle`` if empty.
    ``created`` is a date as text, or empty. ``training`` is absent from bundles of earlier versions. ``adapted_from``
    is the checksum of the model that this one was adapted from, if any; ``source`` is then what that one learnt.
    """

    name: str
    method: str
    source: DomainSummary
    target: DomainSummary
    citation: str = ""
    settings: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    steps: Count = 0
    seed: Count = 0
    metrics: dict[str, float | None] = {}
    limits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    software: dict[str, str] = {}
    created: str = ""
    training: TrainingRecord | msgspec.UnsetType = msgspec.UNSET
    adapted_from: Sha256 | msgspec.UnsetType = msgspec.UNSET


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
    parse_document(data)
    try:
        document = msgspec.json.decode(data, type=Document)
        stored = msgspec.json.decode(data)
        found = content_hash(stored)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
        raise ValueError(str(error)) from error
    if document.checksum != found:
        raise ValueError(f"the content does not match its checksum {document.checksum[:12]}...")
    return document
