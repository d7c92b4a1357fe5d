"""The examples run as they are."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.mark.parametrize("notebook", sorted(p.name for p in EXAMPLES.glob("*.ipynb")))
def test_notebook_runs(notebook: str, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for file in EXAMPLES.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    book = nbformat.read(tmp_path / notebook, as_version=4)
    stored = [c for c in book.cells if c.cell_type == "code" and c.outputs]
    assert stored, f"{notebook} is stored without outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=240, kernel_name="python3", resources=resources).execute()


@pytest.mark.parametrize("notebook", sorted(p.name for p in EXAMPLES.glob("*.ipynb")))
def test_stored_outputs_are_seen_in_an_untrusted_notebook(notebook: str) -> None:
    text = (EXAMPLES / notebook).read_text(encoding="utf-8")
    assert len(text) < 250_000
    for cell in json.loads(text)["cells"]:
        for output in cell.get("outputs", ()):
            html = "".join(output.get("data", {}).get("text/html", ""))
            assert not html or "<img " in html
            assert not re.search("<(style|svg|script)", html)
            plain = "".join(output.get("data", {}).get("text/plain", ""))
            assert all(len(line) < 120 for line in plain.split("\n"))


def test_the_image_is_what_its_script_draws(tmp_path: Path) -> None:
    from PIL import Image, ImageChops

    script = tmp_path / "draw_signs.py"
    shutil.copy(EXAMPLES / "draw_signs.py", script)
    exec(compile(script.read_text(), str(script), "exec"), {"__name__": "__main__", "__file__": str(script)})
    drawn, kept = Image.open(tmp_path / "signs.png"), Image.open(EXAMPLES / "signs.png")
    assert ImageChops.difference(drawn, kept).convert("L").point(lambda v: 255 * (v > 48)).getbbox() is None
