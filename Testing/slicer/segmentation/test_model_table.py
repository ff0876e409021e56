"""The list of models of the segmentation panel, with real mouse events."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from host.driving import click
from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import InputError
from segmentation_panel import click_row, model_entry, row_texts


class Store:
    """A list of models in memory, with the logic's interface."""

    def __init__(self, *entries: ModelEntry, folder: Path = Path("/models")) -> None:
        self.entries, self.modelsFolder, self.imported = list(entries), folder, []
        self.pictures: dict[str, Path] = {}

    def models(self) -> list[ModelEntry]:
        return list(self.entries)

    def modelPicture(self, model: ModelEntry) -> Path | None:
        return self.pictures.get(model.name)

    def importModel(self, path: Path) -> ModelEntry:
        if path.suffix == ".txt":
            raise InputError(f"{path}: not a model", "choose the folder that holds bundle.json")
        self.entries.append(model_entry(path.stem))
        return self.entries[-1]

    def deleteModel(self, name: str) -> None:
        self.entries = [kept for kept in self.entries if kept.name != name]


@pytest.fixture
def model_table(shown):
    from LEUDASegmentationLib.panel.model_table import ModelTable

    def make(*entries: ModelEntry, folder: Path = Path("/models")):
        store = Store(*entries, folder=folder)
        seen = SimpleNamespace(store=store, selected=[], messages=[])
        seen.table = ModelTable(store, on_selected=seen.selected.append, on_message=seen.messages.append)
        shown(seen.table.widget)
        return seen

    return make


def test_an_empty_list_says_how_to_get_a_model(model_table) -> None:
    models = model_table().table
    assert models._empty.visible and "LE-UDA Training" in models._empty.text
    assert not models.table.visible
    assert not models.export_button.enabled and not models.delete_button.enabled
    assert models.import_button.enabled


def test_a_row_says_what_a_model_is(model_table) -> None:
    models = model_table(model_entry()).table
    assert row_texts(models.table, 0) == ["heart", "MR → CT", "2", "2026-03-04", "1.2 MB"]
    assert models.table.item(0, 2).toolTip() == "myocardium\nleft ventricle"


def test_a_model_is_chosen_with_the_mouse(model_table) -> None:
    seen = model_table(model_entry("a"), model_entry("b"))
    assert seen.table.selected is None
    click_row(seen.table.table, 1)
    assert [chosen.name for chosen in seen.selected] == ["b"]
    assert "myocardium, left ventricle" in seen.table._description.text
    assert "Dice 0.85" in seen.table._description.text


@pytest.mark.parametrize(
    ("method", "text"),
    [("self_training", "Method: Self-training."), ("of_tomorrow", "Method: of_tomorrow.")],
)
def test_a_method_is_shown_by_its_title(model_table, method: str, text: str) -> None:
    seen = model_table(model_entry("a", method=method, metrics={}))
    seen.table.select("a")
    assert text in seen.table._description.text


def test_refreshing_keeps_the_choice_and_tells_nobody(model_table) -> None:
    seen = model_table(model_entry("b"))
    seen.table.select("b")
    seen.store.entries.insert(0, model_entry("a"))
    seen.table.refresh()
    assert seen.table.selected_name == "b" and seen.selected == []


def test_a_damaged_model_says_what_is_wrong(model_table) -> None:
    seen = model_table(model_entry("broken", problem="model.safetensors is missing", labels=()))
    seen.table.select("broken")
    assert "model.safetensors is missing" in seen.table._description.text
    assert not seen.table.export_button.enabled and seen.table.delete_button.enabled


@pytest.fixture
def answers(slicer_app, monkeypatch):
    """What the user answers in dialogs; questions are kept in ``asked``."""
    import qt
    import slicer

    given = SimpleNamespace(path="", agrees=True, asked=[])

    def answer(*arguments, **_options):
        given.asked.append(arguments)
        return given.path

    def confirm(text, **_options):
        given.asked.append(text)
        return given.agrees

    for name in ("getExistingDirectory", "getOpenFileName", "getSaveFileName"):
        monkeypatch.setattr(qt.QFileDialog, name, answer)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    return given


def test_an_imported_model_is_chosen(model_table, answers) -> None:
    seen = model_table()
    answers.path = "/somewhere/liver.zip"
    seen.table.import_from_zip()
    assert seen.table.selected_name == "liver"
    assert [chosen.name for chosen in seen.selected] == ["liver"]
    assert seen.messages == ["“liver” was imported."]
    assert seen.table.table.visible


def test_a_file_that_is_no_model_is_refused_with_a_remedy(model_table, answers) -> None:
    seen = model_table(model_entry("a"))
    answers.path = "/somewhere/notes.txt"
    seen.table.import_from_folder()
    (message,) = seen.messages
    assert "bundle.json" in message.remedy
    assert seen.selected == []


def test_a_dialog_that_is_closed_changes_nothing(model_table, answers) -> None:
    seen = model_table(model_entry("a"))
    seen.table.import_from_folder()
    assert seen.messages == [] and len(answers.asked) == 1


def test_the_import_button_offers_folder_and_zip(model_table) -> None:
    menu = model_table().table.import_button.menu()
    assert [action.text for action in menu.actions()] == ["From a folder…", "From a zip file…"]


@pytest.mark.parametrize("agrees", [True, False])
def test_a_model_is_deleted_only_after_asking(model_table, answers, agrees: bool) -> None:
    seen = model_table(model_entry("a"), model_entry("b"))
    seen.table.select("a")
    answers.agrees = agrees
    click(seen.table.delete_button)
    assert "a" in answers.asked[0]
    assert [kept.name for kept in seen.store.entries] == (["b"] if agrees else ["a", "b"])
    assert seen.selected == ([None] if agrees else [])


@pytest.mark.parametrize("typed", ["/elsewhere/mine", "/elsewhere/mine.zip"])
def test_a_model_is_exported_as_a_zip_file(model_table, answers, monkeypatch, typed: str) -> None:
    from LEUDASegmentationLib.panel import model_table as parts

    exported = []
    monkeypatch.setattr(parts, "export_model", lambda *arguments: exported.append(arguments))
    seen = model_table(model_entry("a"))
    seen.table.select("a")
    answers.path = typed
    click(seen.table.export_button)
    assert exported == [(model_entry("a"), Path("/elsewhere/mine.zip"))]
    assert seen.messages == ["“a” was exported to /elsewhere/mine.zip."]


def test_the_folder_is_revealed(model_table, monkeypatch, tmp_path) -> None:
    import qt

    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    seen = model_table(folder=tmp_path / "models")
    click(seen.table.reveal_button)
    assert opened == [str(tmp_path / "models")]
    assert (tmp_path / "models").is_dir()  # a file manager shows no folder that is not there


@pytest.mark.parametrize(("size", "text"), [(0, "0.0 MB"), (9_940_000, "9.9 MB"), (31_500_000, "32 MB")])
def test_sizes_are_readable(slicer_app, size: int, text: str) -> None:
    from LEUDASegmentationLib.panel.model_description import size_text

    assert size_text(size) == text


def test_an_adapted_model_names_the_one_it_began_with(model_table) -> None:
    first = model_entry("heart", checksum="1" * 64)
    second = model_entry("heart, adapted", method="adaptation", checksum="2" * 64, adapted_from="1" * 64)
    seen = model_table(first, second)
    seen.table.select("heart, adapted")
    assert "Adapted from “heart” with corrected slices" in seen.table._description.text
    alone = model_table(second)
    alone.table.select("heart, adapted")
    assert "Adapted with corrected slices" in alone.table._description.text


def test_what_a_model_learnt_from_and_what_is_known_of_it(model_table) -> None:
    facts = dict(labelled_cases=3, labelled_slices=48, target_cases=6, steps=1500)
    seen = model_table(
        model_entry("new", metrics={}, warnings=("the structure “aorta” is no longer found.",), **facts),
        model_entry("old", metrics={}),
    )
    seen.table.select("new")
    lines = seen.table._description.text.splitlines()
    assert lines[2] == "Learnt from 48 labelled slices of 3 MR volumes and from 6 CT volumes."
    assert lines[3].startswith("Quality not measured")
    assert lines[3].endswith("The training warned: the structure “aorta” is no longer found.")
    seen.table.select("old")
    assert "Learnt from" not in seen.table._description.text


def test_the_picture_of_the_training_is_shown(model_table, tmp_path) -> None:
    import qt

    picture = qt.QPixmap(60, 40)
    picture.fill(qt.QColor(200, 0, 0))
    path = tmp_path / "step-000500.png"
    assert picture.save(str(path))
    seen = model_table(model_entry("trained here"), model_entry("imported"))
    seen.store.pictures["trained here"] = path
    seen.table.select("trained here")
    assert seen.table._picture.visible and not seen.table._picture.pixmap.isNull()
    seen.table.select("imported")
    assert not seen.table._picture.visible
