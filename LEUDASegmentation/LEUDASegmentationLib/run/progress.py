"""The progress of a segmentation, for the progress bar, its text, and scripts."""

from __future__ import annotations

from dataclasses import dataclass

from slicer.i18n import tr as _

# Where each stage starts on the progress bar of a job; "segment" takes most of the time.
_STAGE_STARTS = {
    "copy": 0.0,
    "load model": 0.04,
    "read": 0.1,
    "locate": 0.12,
    "segment": 0.2,
    "components": 0.88,
    "write": 0.92,
    "result": 0.94,
    "surfaces": 0.96,
}


def stage_title(stage: str) -> str:
    """Return the text that is shown for a stage of a job."""
    titles = {
        "copy": _("Copying the volume"),
        "load model": _("Loading the model"),
        "read": _("Reading the volume"),
        "locate": _("Looking for the structures"),
        "segment": _("Segmenting"),
        "components": _("Keeping the largest components"),
        "write": _("Writing the labels"),
        "result": _("Creating the segments"),
        "surfaces": _("Creating 3-D surfaces"),
        "corrections": _("Writing the corrected slices"),
        "improve": _("Improving the model"),
    }
    return titles.get(stage, stage)


@dataclass(frozen=True)
class Progress:
    """The progress of a job or of a queue of jobs.

    Attributes:
        stage: one of ``copy``, ``load model``, ``read``, ``locate``, ``segment``, ``components``, ``write``,
            ``result``, ``surfaces``; of an improvement, ``corrections`` and ``improve``.
        fraction: of the whole work, in [0, 1]; never decreases.
        secondsLeft: for the current volume or the improvement; None while unknown.
        volume: index of the current volume, from 0. nVolumes: their number.
    """

    stage: str
    fraction: float
    secondsLeft: float | None = None
    volume: int = 0
    nVolumes: int = 1

    @property
    def text(self) -> str:
        """The text of the stage, with the number of the volume if there are several."""
        title = stage_title(self.stage)
        if self.nVolumes == 1:
            return title
        return _("Volume {number} of {count}: {stage}").format(number=self.volume + 1, count=self.nVolumes, stage=title)


def fraction_of_job(stage: str, part: float) -> float:
    """Return the fraction of a job that is done after ``part`` of a stage; 0 for an unknown stage."""
    start = _STAGE_STARTS.get(stage)
    if start is None:
        return 0.0
    end = min((begin for begin in _STAGE_STARTS.values() if begin > start), default=1.0)
    return start + min(1.0, max(0.0, part)) * (end - start)
