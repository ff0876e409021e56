"""The pages for users name what is there: links, pictures, and the texts of the windows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repository import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "Extension" / "README.md", *(ROOT / "docs").glob("*.md")])
LONGEST_README = 150


def without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", without_code(page))
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README


def test_the_tutorial_says_what_the_windows_say() -> None:
    """Bold words of the tutorial are texts of the modules, or names of Slicer's own."""
    files = [path for module in ("LEUDASegmentation", "LEUDATraining") for path in (ROOT / module).rglob("*")]
    texts = "\n".join(path.read_text(encoding="utf-8") for path in files if path.suffix in (".py", ".ui"))
    bold = set(re.findall(r"\*\*([^*]+)\*\*", without_code(ROOT / "docs" / "TUTORIAL.md")))
    assert len(bold) > 10
    unknown = sorted(text for text in bold if " ".join(text.split()) not in texts and text != "PyTorch")
    assert not unknown, f"the windows do not say {unknown}"
