"""Every notebook runs from its first cell to its last, and is kept without its outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra 'notebooks'")
nbclient = pytest.importorskip("nbclient", reason="needs the extra 'notebooks'")
pytest.importorskip("ipykernel", reason="needs the extra 'notebooks'")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "calibrating", "evidence", "first_leak", "own_detector", "sample_networks", "sensor_placement",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_clean_and_short(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert len(code) <= 15
    assert path.stat().st_size < 20_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:(jupyter|zmq|tornado|nbclient|ipykernel).*")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_it_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = [output["text"] for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not said
    printed = "".join(output["text"] for output in outputs if output.output_type == "stream")
    if path.stem == "first_leak":
        assert "of 2 leaks found" in printed
        assert "0 of 2" not in printed
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    assert not any(tmp_path.iterdir())  # what it writes goes to a folder of its own
