"""How far a segmentation is, for the bar, the text beside it, and batch scripts."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

# Where each stage begins on the bar of the whole job; most of the time goes into "segment".
_STAGE_STARTS = {
    "copy": 0.0,
    "load model": 0.04,
    "read": 0.1,
    "segment": 0.12,
    "components": 0.88,
    "write": 0.92,
    "result": 0.94,
    "surfaces": 0.96,
}


def stage_title(stage: str) -> str:
    """Return what a stage of a job is called for people."""
    titles = {
        "copy": _("Copying the volume"),
        "load model": _("Loading the model"),
        "read": _("Reading the volume"),
        "segment": _("Segmenting"),
        "components": _("Keeping the largest pieces"),
        "write": _("Writing the labels"),
        "result": _("Making the segments"),
        "surfaces": _("Making 3-D surfaces"),
    }
    return titles.get(stage, stage)


@dataclass(frozen=True)
class Progress:
    """How far a job, or a queue of jobs, is.

    Attributes:
        stage: one of ``copy``, ``load model``, ``read``, ``segment``, ``components``, ``write``, ``result``,
            ``surfaces``.
        fraction: of all the work, in [0, 1]; never falls.
        secondsLeft: for the volume at hand; None while nobody can tell.
        volume: index of the volume at hand, from 0. nVolumes: how many there are.
    """

    stage: str
    fraction: float
    secondsLeft: float | None = None
    volume: int = 0
    nVolumes: int = 1

    @property
    def text(self) -> str:
        """The stage for people, with the volume's number where there are several."""
        title = stage_title(self.stage)
        if self.nVolumes == 1:
            return title
        return _("Volume {number} of {count}: {stage}").format(number=self.volume + 1, count=self.nVolumes, stage=title)


def fraction_of_job(stage: str, part: float) -> float:
    """Return how much of a job is done when ``part`` of a stage is; a stage that is not known counts as none."""
    start = _STAGE_STARTS.get(stage)
    if start is None:
        return 0.0
    end = min((begin for begin in _STAGE_STARTS.values() if begin > start), default=1.0)
    return start + min(1.0, max(0.0, part)) * (end - start)
