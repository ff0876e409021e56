"""The state of the module, in the scene: saved with it, restored with it, one for each scene.

Lists are JSON text, because each entry has a key under which the parameter node also references its volume and its
segmentation (roles ``KEY.volume``, ``KEY.segmentation``): the scene keeps such references right when it renames nodes
on loading, and drops them when a node is deleted.
"""

from __future__ import annotations

import json
from typing import Any

from slicer.parameterNodeWrapper import parameterNodeWrapper

from LEUDATrainingLib.method_catalog import RECOMMENDED, RECOMMENDED_STEPS


@parameterNodeWrapper
class LEUDATrainingParameterNode:
    """What a training is made of. ``structures``, ``sourceCases``, ``targetCases``, ``testCases`` and ``settings`` are
    JSON; read and write them through :mod:`structures`, :mod:`cases` and :func:`read_json`.
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
    steps: int = RECOMMENDED_STEPS
    seed: int = 0
    device: str = "auto"
    settings: str = "{}"


def named(node: Any) -> LEUDATrainingParameterNode:
    """Return a parameter node of the scene with its values as attributes."""
    wrapper: Any = LEUDATrainingParameterNode  # the decorator makes a class that takes a node
    return wrapper(node)


def read_json(text: str, empty: Any) -> Any:
    """Return what ``text`` holds, or ``empty`` when a scene from elsewhere holds something else."""
    try:
        value = json.loads(text)
    except ValueError:
        return empty
    return value if isinstance(value, type(empty)) else empty
