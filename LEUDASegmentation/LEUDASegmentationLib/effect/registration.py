"""Adds the effect to the Segment Editor."""

from __future__ import annotations

import logging
from pathlib import Path

_SOURCE = Path(__file__).parents[2] / "SegmentEditorLEUDA" / "SegmentEditorEffect.py"

logger = logging.getLogger(__name__)


def register_effect() -> None:
    """Register the effect with Slicer, which then gives a copy of it to every Segment Editor."""
    try:
        import qSlicerSegmentationsEditorEffectsPythonQt as effects
    except ImportError:
        logger.warning("this Slicer has no Segment Editor; the effect LE-UDA is not added to it")
        return
    effect = effects.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(_SOURCE.as_posix())
    effect.self().register()
