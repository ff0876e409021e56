"""The module ``SampleData``: sources that modules register, and how a click on one of them fetches it.

Nothing is downloaded here: a source without a ``customDownloader`` needs a file: address.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer

LISTS = ("uris", "fileNames", "nodeNames", "loadFileTypes")


@dataclass
class SampleDataSource:
    """One data set. What is given as one value instead of a list is a list of one."""

    sampleName: str | None = None
    uris: Any = None
    fileNames: Any = None
    nodeNames: Any = None
    customDownloader: Callable[[SampleDataSource], Any] | None = None
    thumbnailFileName: str | None = None
    loadFileTypes: Any = None

    def __post_init__(self) -> None:
        count = len(self.uris) if isinstance(self.uris, (list, tuple)) else 1
        for name in LISTS:
            value = getattr(self, name)
            setattr(
                self,
                name,
                list(value) if isinstance(value, (list, tuple)) else [value] * (count if value is None else 1),
            )
            if len(getattr(self, name)) != count:
                raise ValueError(f"{name} of the sample '{self.sampleName}' has not {count} values, as uris has")


class SampleDataLogic:
    """Registering and fetching of sample data."""

    def __init__(self, logMessage: Callable[..., None] | None = None):
        self.logMessage = logMessage

    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", sampleName: str | None = None, **about: Any) -> None:
        sources = SampleDataLogic.sampleDataSourcesByCategory().setdefault(category, [])
        source = SampleDataSource(sampleName, **about)
        if source not in sources:
            sources.append(source)

    @staticmethod
    def sampleDataSourcesByCategory(category: str | None = None) -> Any:
        if not hasattr(slicer.modules, "sampleDataSources"):
            slicer.modules.sampleDataSources = {}
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])

    def sourceForSampleName(self, sampleName: str) -> SampleDataSource | None:
        every = [source for sources in self.sampleDataSourcesByCategory().values() for source in sources]
        return next((source for source in every if source.sampleName == sampleName), None)

    def downloadSamples(self, sampleName: str) -> list[Any]:
        """Load the files of a sample, none of one that is not known. ``customDownloader`` is for `press` alone."""
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source else []

    def downloadSample(self, sampleName: str) -> Any:
        return self.downloadSamples(sampleName)[0]

    def downloadFromSource(self, source: SampleDataSource) -> list[Any]:
        return [self._load(*parts) for parts in zip(source.uris, source.nodeNames, source.loadFileTypes, strict=True)]

    def _load(self, uri: str, name: str | None, kind: str | None) -> Any:
        parts = urlparse(uri)
        if parts.scheme != "file":
            raise RuntimeError(f"the test host downloads nothing: {uri}")
        path = Path(url2pathname(parts.path))
        return slicer.util.loadNodeFromFile(path, kind, {"name": name} if name else {})


def press(sampleName: str) -> None:
    """Do what a click on the sample's button in the module Sample Data does.

    Raises:
        LookupError: there is no such button.
    """
    logic = SampleDataLogic()
    source = logic.sourceForSampleName(sampleName)
    if source is None:
        raise LookupError(f"there is no sample '{sampleName}'")
    (source.customDownloader or logic.downloadFromSource)(source)


def module() -> ModuleType:
    """Return what ``import SampleData`` finds."""
    made = ModuleType("SampleData")
    made.SampleDataLogic, made.SampleDataSource = SampleDataLogic, SampleDataSource
    made.downloadSample = lambda name: SampleDataLogic().downloadSample(name)
    made.downloadSamples = lambda name: SampleDataLogic().downloadSamples(name)
    return made
