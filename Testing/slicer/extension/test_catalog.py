"""What the Extensions Manager shows and what its reviewers ask for: the catalog entry, addresses, pictures."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from repository import ROOT

ENTRY = ROOT / "Extension" / "CrossModalitySegmentation.json"
ICONS = (
    "Extension/CrossModalitySegmentation.png",
    "LEUDASegmentation/Resources/Icons/LEUDASegmentation.png",
    "LEUDATraining/Resources/Icons/LEUDATraining.png",
)


@pytest.fixture(scope="module")
def entry() -> dict[str, object]:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cmake() -> dict[str, str]:
    """Return what the root CMakeLists.txt sets, by name, and the project's name as PROJECT."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    (project,) = re.findall(r"^project\((\w+)\)", text, re.MULTILINE)
    return {**dict(re.findall(r'set\((EXTENSION_\w+) "([^"]*)"\)', text)), "PROJECT": project}


def png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is not a PNG"
    return struct.unpack(">II", head[16:])


def test_the_entry_has_the_keys_of_the_schema(entry: dict[str, object]) -> None:
    assert {"$schema", "category", "scm_url"} <= set(entry)
    assert set(entry) <= {"$schema", "category", "scm_url", "build_dependencies", "scm_revision", "tier"}
    assert entry["tier"] in (1, 3, 5)
    assert entry["category"] == "Segmentation"
    assert b"\r" not in ENTRY.read_bytes()


def test_names(entry: dict[str, object], cmake: dict[str, str]) -> None:
    """The entry's file, the project and the repository bear one name; only the repository's begins with Slicer."""
    assert cmake["PROJECT"] == ENTRY.stem
    assert not ENTRY.stem.lower().startswith("slicer")
    assert urlsplit(str(entry["scm_url"])).scheme == "https"
    assert str(entry["scm_url"]).rsplit("/", 1)[1] == f"Slicer{ENTRY.stem}"


def test_the_entry_says_what_cmake_says(entry: dict[str, object], cmake: dict[str, str]) -> None:
    assert entry["build_dependencies"] == cmake["EXTENSION_DEPENDS"].split()
    assert cmake["EXTENSION_HOMEPAGE"] == entry["scm_url"]


def test_the_description_says_what_the_extension_works_on(cmake: dict[str, str]) -> None:
    text = cmake["EXTENSION_DESCRIPTION"]
    assert all(word in text for word in ("MR", "CT", "Nothing is uploaded", "research"))
    assert len(re.findall(r"[.!?](?: |$)", text)) <= 2, "the catalog shows one or two sentences"
    assert ";" not in text, "CMake cuts texts at semicolons"


def test_pictures_are_literal_links_to_files_of_the_repository(entry: dict[str, object], cmake: dict[str, str]) -> None:
    raw = str(entry["scm_url"]).replace("github.com", "raw.githubusercontent.com") + f"/{entry['scm_revision']}/"
    links = [cmake["EXTENSION_ICONURL"], *cmake["EXTENSION_SCREENSHOTURLS"].split()]
    assert len(links) > 1
    for link in links:
        assert link.startswith(raw)
        png_size(ROOT / link.removeprefix(raw))


@pytest.mark.parametrize("name", ICONS)
def test_icons_are_small_squares(name: str) -> None:
    assert png_size(ROOT / name) == (128, 128)
    assert (ROOT / name).stat().st_size < 20_000


def test_the_licence_lies_where_the_index_looks_for_it(cmake: dict[str, str]) -> None:
    assert cmake["EXTENSION_LICENSE_FILE"] == "${CMAKE_CURRENT_SOURCE_DIR}/LICENSE"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
