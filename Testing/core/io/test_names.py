"""Names of output files."""

from __future__ import annotations

from pathlib import Path

import pytest

from leuda_core.commands.volumes import plan_outputs
from leuda_core.io.dicom import folder
from leuda_core.io.names import output_names


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    """A folder with a volume's name that is a symbolic link to itself, and another file."""
    inside = tmp_path / "in"
    inside.mkdir()
    try:
        (inside / "a.nrrd").symlink_to(inside / "a.nrrd")
    except OSError:
        pytest.skip("no symbolic links")
    (inside / "b.nrrd").write_bytes(b"")
    return inside


def test_links_that_form_a_circle_do_not_end_a_batch(circle: Path, tmp_path: Path) -> None:
    names = ["a.nii.gz", "b.nii.gz"]
    assert [target.name for _, target in plan_outputs(circle, tmp_path / "out")] == names
    assert [path.name for path in output_names(folder.visible(circle), tmp_path / "out", "nii.gz")] == names
