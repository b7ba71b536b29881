"""The kit for students gives no answer away, and the teacher's notes speak of lessons and exercises that exist."""

import re
import zipfile
from pathlib import Path

import nbformat
import pytest
from lessons import cells, load_script

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))
kit = load_script("notebooks/class_kit.py")


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_for_students_gives_no_answer_away(path):
    notebook = kit.for_class(nbformat.read(path, as_version=4))
    nbformat.validate(notebook)
    assert "solutions/" not in "".join(cell.source for cell in notebook.cells)
    shown = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ .*", cell.source, re.M)
            shown = headings[-1] == "## The result first" if headings else shown
        else:
            assert shown or not cell.outputs
    assert cells(notebook, "check") == cells(nbformat.read(path, as_version=4), "check")


def test_the_zip_holds_what_runs_and_nothing_of_the_teacher_s(tmp_path, monkeypatch):
    if not (ROOT / ".git").exists():
        pytest.skip("needs a clone: the kit holds what git keeps")
    listed = kit.files()
    assert {"Makefile", "pyproject.toml", "animlab/__init__.py", "notebooks/run.py"} < set(listed)
    assert not [name for name in listed if "solutions" in name or name.startswith(("tests", "TEACHING", "."))]
    few = ["README.md", "Makefile", "notebooks/00_play_with_labels.ipynb"]
    monkeypatch.setattr(kit, "files", lambda: few)
    kit.pack(tmp_path / "new" / "class.zip")
    with zipfile.ZipFile(tmp_path / "new" / "class.zip") as packed:
        names = packed.namelist()
        assert names == ["animlab/README.md", "animlab/PROJECT.md", "animlab/Makefile", f"animlab/{few[2]}"]
        assert "Hand in" in packed.read("animlab/README.md").decode()


def test_the_teacher_s_notes_name_every_lesson_and_no_exercise_that_is_not_there():
    notes = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
    linked = re.findall(r"^\| \[(\w+)\]\(notebooks/(\w+\.ipynb)\)", notes, re.M)
    assert [name for _, name in linked] == [path.name for path in LESSONS]
    files = dict(linked)
    wrong = re.findall(r"^\| (\w+), (\d) \|", notes, re.M)
    assert len(wrong) > 25
    for lesson, exercise in wrong:
        assert f"Exercise {exercise}" in (ROOT / "notebooks" / files[lesson]).read_text(encoding="utf-8")
