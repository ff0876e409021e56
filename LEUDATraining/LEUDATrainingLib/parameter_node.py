"""The state of the module. It is part of the scene, and saved and restored with it.

Lists are JSON text, because each entry has a key under which the parameter node also references its volume and its
segmentation (roles ``KEY.volume``, ``KEY.segmentation``): the scene updates such references when nodes are renamed on
loading, and removes them when a node is deleted.
"""

from __future__ import annotations

import json
from typing import Any

from slicer.parameterNodeWrapper import parameterNodeWrapper

from leuda_core.durations import DEFAULT_BUDGET
from LEUDATrainingLib.method_catalog import RECOMMENDED


@parameterNodeWrapper
class LEUDATrainingParameterNode:
    """The input and the settings of a training.

    ``structures``, ``sourceCases``, ``targetCases``, ``testCases`` and ``settings`` are JSON; read and write them
    through :mod:`structures`, :mod:`cases` and :func:`read_json`. ``budget`` are the minutes for which sizes and steps
    are chosen; ``steps`` other than 0, as in scenes of earlier versions, count instead of it.
    """

    runName: str = ""
    sourceModality: str = ""
    targetModality: str = ""
    structures: str = "[]"
    sourceCases: str = "[]"
    targetCases: str = "[]"
    testCases: str = "{}"
    currentCase: str = ""
    method: str = RECOMMENDED
    steps: int = 0
    budget: float = DEFAULT_BUDGET
    seed: int = 0
    device: str = "auto"
    settings: str = "{}"


def named(node: Any) -> LEUDATrainingParameterNode:
    """Return a parameter node of the scene with its values as attributes."""
    wrapper: Any = LEUDATrainingParameterNode  # the decorated class takes a node, which mypy does not know
    return wrapper(node)


def read_json(text: str, empty: Any) -> Any:
    """Return the parsed ``text``, or ``empty`` if it is not valid JSON of the same type."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return empty
    return value if isinstance(value, type(empty)) else empty
