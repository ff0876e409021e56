"""Numbers in files have a decimal point, also where the C library writes and reads a comma (a Qt program in German)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repository import ROOT

PROGRAM = """
import locale, sys
from pathlib import Path
import numpy as np
locale.setlocale(locale.LC_NUMERIC, sys.argv[2])
assert locale.localeconv()["decimal_point"] == ","
from leuda_core.io.names import EXTENSIONS
from leuda_core.io.volumes import read_grid, read_label_map, read_volume, write_label_map, write_volume
from leuda_core.types import Label, LabelMap, Volume
affine = np.array([[1.5, 0, 0, -10.5], [0, 1.5, 0.25, 3.75], [0, -0.25, 2.75, 7.125], [0, 0, 0, 1]])
data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 2
for extension in EXTENSIONS:
    path = Path(sys.argv[1]) / f"v{extension}"
    if ".seg" in extension:
        label = Label(1, "a", (0.5, 0.25, 0.125))
        write_label_map(LabelMap(data, affine, (label,)), path)
        assert read_label_map(path, None).labels == (label,), extension
    else:
        write_volume(Volume(data.astype(np.float32) + 0.5, affine), path)
        np.testing.assert_array_equal(read_volume(path).data, data + np.float32(0.5))
    np.testing.assert_allclose(read_grid(path).affine, affine, rtol=0, atol=1e-7, err_msg=extension)
foreign = Path(sys.argv[1]) / "foreign.nrrd"
foreign.write_text("NRRD0004\\ntype: uchar\\ndimension: 3\\nsizes: 2 3 4\\nspacings: 1.5 1.5 2.75\\nencoding: raw\\n")
with open(foreign, "ab") as stream:
    stream.write(b"\\n" + bytes(range(24)))
assert read_volume(foreign).spacing_mm == (1.5, 1.5, 2.75)
print("done")
"""


def comma_locale(folder: Path) -> tuple[str, dict[str, str]]:
    """Return a locale with a decimal comma and the environment in which it exists; it is built if it is missing."""
    for name in ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de-DE"):
        code = f"import locale; locale.setlocale(locale.LC_NUMERIC, {name!r})"
        if not subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode:
            return name, dict(os.environ)
    builder = shutil.which("localedef")
    if not builder:
        pytest.skip("no locale with a decimal comma is installed, and localedef is missing")
    built = subprocess.run(
        [builder, "-i", "de_DE", "-f", "UTF-8", str(folder / "de_DE.UTF-8")], capture_output=True, check=False
    )
    if not (folder / "de_DE.UTF-8").is_dir():
        pytest.skip(f"no locale with a decimal comma is installed or can be built: {built.stderr.decode()[:200]}")
    return "de_DE.UTF-8", {**os.environ, "LOCPATH": str(folder)}


@pytest.mark.slow
def test_volumes_written_and_read_under_a_decimal_comma(tmp_path: Path) -> None:
    name, environment = comma_locale(tmp_path)
    (tmp_path / "files").mkdir()
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "files"), name]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr
    assert b"(-1.5,0.0,0.0)" in (tmp_path / "files" / "v.nrrd").read_bytes()
