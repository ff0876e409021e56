"""The list of runs: everything comes from the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from child_scripts import posix
from leuda_core.errors import InputError
from leuda_core.runs.lock import RunLock
from run_folders import end_event, hold, make_run, set_age, training_events, write
from shown_widgets import child, shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs of Zoë"


@pytest.fixture
def run_list(slicer_app):
    from LEUDATrainingLib.runs.run_list import RunList

    with shown(RunList(), 300) as widget:
        yield widget


def rows(widget) -> list[tuple[str, ...]]:
    table = child(widget, "runTable")
    return [tuple(table.item(row, column).text() for column in range(4)) for row in range(table.rowCount)]


def finished(folder: Path, **options):
    run = make_run(folder, **options)
    write(run, [*training_events(100, 100), end_event("finished")])
    return run


# records


@pytest.mark.slow
def test_runs_newest_first_with_state_and_progress(slicer_app, folder: Path) -> None:
    from LEUDATrainingLib.runs.run_records import RunFinder

    set_age(finished(folder / "old" / "run"), 3)
    stopped = make_run(folder / "paused" / "run")
    write(stopped, [*training_events(100, 100, until=50), end_event("stopped")])
    set_age(stopped, 1)
    set_age(make_run(folder / "by hand"), 2)
    (folder / "no run").mkdir()
    (folder / "a file").write_text("x")
    records = RunFinder().find(folder)
    assert [(record.name, record.state) for record in records] == [
        ("paused", "stopped"),
        ("by hand", "created"),
        ("old", "finished"),
    ]
    assert records[0].status.progress == 0.25
    assert records[0].folder == folder / "paused" and records[1].folder == folder / "by hand"


@pytest.mark.slow
def test_a_run_is_read_again_only_when_it_changed(slicer_app, folder: Path) -> None:
    from LEUDATrainingLib.runs.run_records import RunFinder

    run = make_run(folder / "a" / "run")
    finder = RunFinder()
    first = finder.find(folder)[0]
    assert finder.find(folder)[0] is first
    write(run, training_events(100, 100, until=50))
    assert finder.find(folder)[0].state == "crashed"
    with RunLock(run):
        assert finder.find(folder)[0].state == "running"
    assert finder.find(folder)[0].state == "crashed"


@pytest.mark.slow
def test_of_a_long_run_only_the_ends_are_read(slicer_app, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from LEUDATrainingLib.runs import run_records

    run = make_run(folder / "long" / "run")
    write(run, training_events(10_000, 10_000, until=15_000))
    read: list[int] = []

    def read_events(path, offset=0, most_bytes=-1):
        events, end = events_of(path, offset, most_bytes)
        read.append(end - offset)
        return events, end

    events_of = run_records.read_events
    monkeypatch.setattr(run_records, "read_events", read_events)
    finder = run_records.RunFinder()
    with RunLock(run):
        found = finder.find(folder)[0].status
        assert (found.state, found.step, found.progress) == ("running", 15_000, 0.75)
    assert finder.find(folder)[0].state == "crashed"
    write(run, [end_event("stopped")])
    assert finder.find(folder)[0].state == "stopped"
    assert sum(read) < run.events.stat().st_size / 2


@pytest.mark.slow
def test_a_damaged_run_is_listed_with_the_reason(slicer_app, folder: Path) -> None:
    from LEUDATrainingLib.runs.run_records import RunFinder

    run = make_run(folder / "torn" / "run")
    run.config.write_text('{"method": "le_')
    record = RunFinder().find(folder)[0]
    assert record.state == "damaged" and "run.json cannot be read" in record.problem


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("run.json", lambda path: path.write_text("[" * 100_000)),
        ("lock", Path.mkdir),
        ("lock", lambda path: path.symlink_to(path)),
        ("lock.1", Path.mkdir),
        pytest.param("lock", lambda path: os.mkfifo(path), marks=posix),
    ],
)
def test_a_damaged_run_hides_no_other(slicer_app, folder: Path, name: str, damage) -> None:
    from LEUDATrainingLib.runs.run_facts import headline
    from LEUDATrainingLib.runs.run_records import RunFinder

    finished(folder / "whole" / "run")
    run = make_run(folder / "torn" / "run")
    damage(run.path / name)
    finder = RunFinder()
    for _ in range(2):
        states = {record.name: record.state for record in finder.find(folder)}
        assert states == {"whole": "finished", "torn": "damaged"}
    assert "torn" in headline(run)


@posix
@pytest.mark.timeout(20)
def test_a_pipe_in_a_run_does_not_block(slicer_app, folder: Path) -> None:
    from LEUDATrainingLib.runs.model_transfer import add_to_models
    from LEUDATrainingLib.runs.run_facts import headline, label_colors
    from LEUDATrainingLib.runs.run_log import LogTail

    run = make_run(folder / "run", dataset=str(folder / "dataset.json"))
    os.mkfifo(run.log)
    os.mkfifo(folder / "dataset.json")
    assert LogTail(run.log).new_lines() == [] and label_colors(run) == []
    run.config.unlink()
    os.mkfifo(run.config)
    assert "run" in headline(run)
    with pytest.raises(InputError, match="does not exist"):  # deleted while its run is shown
        add_to_models(run.bundle, "a model")


@pytest.mark.slow
def test_delete_takes_the_dataset_along_and_nothing_else(slicer_app, folder: Path) -> None:
    from LEUDATrainingLib.runs.run_records import RunFinder, delete_run

    finished(folder / "a" / "run")
    (folder / "a" / "dataset.json").write_text("{}")
    finished(folder / "b")
    delete_run(next(record for record in RunFinder().find(folder) if record.name == "a"))
    assert sorted(path.name for path in folder.iterdir()) == ["b"]


@pytest.mark.slow
def test_a_running_run_is_never_deleted(slicer_app, folder: Path) -> None:
    from LEUDATrainingLib.runs.run_records import delete_run, read_record

    run = finished(folder / "a" / "run")
    record = read_record(run)  # as it was listed, before somebody resumed it
    process = hold(run)
    try:
        with pytest.raises(InputError, match=f"process {process.pid}"):
            delete_run(record)
        assert run.config.exists()
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_link_to_volumes_elsewhere_is_not_followed_when_deleting(slicer_app, folder: Path, tmp_path: Path) -> None:
    from LEUDATrainingLib.runs.run_records import delete_run, read_record

    run = finished(folder / "a" / "run")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "volume.nrrd").write_text("x")
    (folder / "a" / "volumes").symlink_to(precious)
    delete_run(read_record(run))
    assert not (folder / "a").exists() and (precious / "volume.nrrd").exists()


# the table


@pytest.mark.slow
def test_an_empty_list_says_what_to_do(run_list, folder: Path) -> None:
    run_list.set_folder(folder)
    assert child(run_list, "noRunsLabel").isVisible() and "press Start" in child(run_list, "noRunsLabel").text
    assert not child(run_list, "runTable").isVisible() and run_list.current_run is None


@pytest.mark.slow
def test_rows_and_choice(run_list, folder: Path) -> None:
    set_age(finished(folder / "old" / "run", method="mean_teacher"), 3)
    stopped = make_run(folder / "paused" / "run")
    write(stopped, [*training_events(100, 100, until=50), end_event("stopped")])
    set_age(stopped, 1)
    told = []
    run_list.on_current_changed = lambda: told.append(run_list.current_run)
    run_list.set_folder(folder)
    assert [row[:3] for row in rows(run_list)] == [
        ("paused", "LE-UDA", "stopped 25%"),
        ("old", "Mean teacher", "finished"),
    ]
    assert told == [stopped.path], "the newest is chosen"
    child(run_list, "runTable").selectRow(1)
    assert run_list.current_run == folder / "old" / "run" and len(told) == 2
    run_list.refresh()
    assert run_list.current_run == folder / "old" / "run" and len(told) == 2


@pytest.mark.slow
def test_a_running_run_is_found_again(run_list, folder: Path) -> None:
    going = make_run(folder / "going" / "run")
    write(going, training_events(100, 100, until=150))
    set_age(going, 1)
    set_age(finished(folder / "new" / "run"), 0)
    with RunLock(going):
        run_list.set_folder(folder)
        assert run_list.current_run == going.path
        assert rows(run_list)[1][2] == "running 75%"
        assert not child(run_list, "deleteRunButton").enabled
        assert "Stop" in child(run_list, "deleteRunButton").toolTip
    run_list.refresh()
    assert child(run_list, "deleteRunButton").enabled


@pytest.mark.slow
def test_delete_asks_first(run_list, folder: Path, slicer_app) -> None:
    finished(folder / "a" / "run")
    run_list.set_folder(folder)
    slicer_app.answers.add(False)
    slicer_app.click(child(run_list, "deleteRunButton"))
    question = slicer_app.answers.asked[0].text
    assert "'a'" in question and "MB" in question and len(rows(run_list)) == 1
    slicer_app.answers.add(True)
    slicer_app.click(child(run_list, "deleteRunButton"))
    assert rows(run_list) == [] and run_list.current_run is None
    assert child(run_list, "noRunsLabel").isVisible()


@pytest.mark.slow
def test_show_folder_opens_what_belongs_to_the_run(
    run_list, folder: Path, slicer_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt

    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    finished(folder / "a" / "run")
    run_list.set_folder(folder)
    slicer_app.click(child(run_list, "showRunFolderButton"))
    assert opened == [str(folder / "a")]


@pytest.mark.slow
def test_a_run_that_was_deleted_elsewhere_disappears(run_list, folder: Path) -> None:
    import shutil

    finished(folder / "a" / "run")
    set_age(finished(folder / "b" / "run"), -1)
    run_list.set_folder(folder)
    assert run_list.current_run == folder / "a" / "run" or run_list.current_run == folder / "b" / "run"
    shutil.rmtree(run_list.current_run.parent)
    run_list.refresh()
    assert len(rows(run_list)) == 1 and run_list.current_run.parent.exists()


@pytest.mark.alone
def test_a_long_list_is_refreshed_without_a_stutter(run_list, folder: Path) -> None:
    import time

    for number in range(100):
        finished(folder / f"run {number:03}" / "run")
    run_list.set_folder(folder)
    begin = time.thread_time()
    run_list.refresh()
    assert len(rows(run_list)) == 100 and time.thread_time() - begin < 0.1
