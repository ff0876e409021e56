"""What ``bundle.json`` may not say: it is neither imported nor opened, and hides no other model of a store."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from bundle_edits import edit
from leuda_core.bundle import document as checks
from leuda_core.bundle.model import load_bundle
from leuda_core.bundle.schema import Document
from leuda_core.bundle.store import import_model, list_models, read_model
from leuda_core.config import config_schema
from leuda_core.errors import InputError
from leuda_core.methods import METHODS


@pytest.fixture
def bundle(untrained_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untrained_bundle, tmp_path / "b"))


def refused_everywhere(bundle: Path, store: Path, words: str) -> None:
    """Import, open and list; the store must stay as it is, and list its good model."""
    before = sorted(store.rglob("*"))
    messages = set()
    for work in (lambda: import_model(bundle, store), lambda: load_bundle(bundle), lambda: read_model(bundle)):
        with pytest.raises(InputError, match=words) as caught:
            work()
        assert caught.value.remedy and "\n" not in str(caught.value) and len(str(caught.value)) < 1000
        messages.add(caught.value.message)
    assert len(messages) == 1
    assert sorted(store.rglob("*")) == before
    shutil.copytree(bundle, store / "bad")
    bad, good = list_models(store)
    assert (bad.name, good.name, good.problem) == ("bad", "good", "") and bad.problem


RAW = {
    "an endless number": (b'{"dice/ring": 1e999}', "1e999"),
    "a number without end": (b'{"dice/ring": Infinity}', "Infinity"),
    "no number": (b'{"dice/ring": NaN}', "NaN"),
    "four hundred digits": (b'{"dice/ring": ' + b"9" * 400 + b"}", "400 characters"),
    "five thousand digits": (b'{"dice/ring": ' + b"9" * 5000 + b"}", "5000 characters"),
    "half a surrogate pair": (b'{"dice/\\ud800": 1}', "surrogate"),
    "half a surrogate pair, encoded": (b'{"dice/\xed\xa0\x80": 1}', "bundle.json"),
    "a key twice": (b'{"a": 1, "a": 2}', "'a' is given twice"),
    "nested": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "nested too deeply"),
    "huge": (b'{"' + b"a" * 2**20 + b'": 1}', "limit is 1048576"),
}


@pytest.mark.parametrize("fault", RAW)
def test_what_is_not_plain_json_is_refused(fault: str, bundle: Path, tmp_path: Path) -> None:
    value, words = RAW[fault]
    import_model(bundle, tmp_path / "store", "good")
    path = bundle / "bundle.json"
    changed = path.read_bytes().replace(b'"metrics": {}', b'"metrics": ' + value)
    assert changed != path.read_bytes()
    path.write_bytes(changed)
    refused_everywhere(bundle, tmp_path / "store", words)


WRONG: dict[str, tuple[str, object, str]] = {
    "metrics as a list": ("info.metrics", [], r"info\.metrics \[\]"),
    "a metric in words": ("info.metrics", {"a": "1"}, r"info\.metrics\['a'\] '1'"),
    "a metric that is true": ("info.metrics", {"a": True}, "True"),
    "no source": ("info.source", None, r"info\.source None"),
    "a number as a name": ("info.name", 3, r"info\.name 3"),
    "a list as a method": ("info.method", [], r"info\.method"),
    "a modality of null": ("info.target.modality", None, r"info\.target\.modality"),
    "an object as a date": ("info.created", {}, r"info\.created"),
    "a count below zero": ("info.source.cases", -1, r"info\.source\.cases -1"),
    "a huge count": ("info.seed", 2**70, r"info\.seed"),
    "labels as an object": ("task.labels", {}, r"task\.labels"),
    "a label value below one": ("task.labels", [{"value": 0, "name": "a"}, {"value": 1, "name": "b"}], "value 0"),
    "a broken label value": ("task.labels", [{"value": 1.5, "name": "a"}, {"value": 1, "name": "b"}], "value 1.5"),
    "a huge label value": ("task.labels", [{"value": 2**40, "name": "a"}, {"value": 1, "name": "b"}], "1099511627776"),
    "a label value twice": ("task.labels", [{"value": 1, "name": "a"}, {"value": 1, "name": "b"}], "not unique"),
    "too many labels": ("task.labels", [{"value": n + 1, "name": "a"} for n in range(255)], "255 labels"),
    "a colour of two": ("task.labels", [{"value": 1, "name": "a", "color": [0, 1]}], "2 color"),
    "a label name with an escape": ("task.labels", [{"value": 1, "name": "a\x1b[31m"}], "control characters"),
    "a label name with a line end": ("task.labels", [{"value": 1, "name": "a\nb"}], "control characters"),
    "no spacing": ("task.spacing_mm", 0, r"spacing_mm 0 "),
    "a spacing below zero": ("task.spacing_mm", -1.0, r"spacing_mm -1"),
    "a huge spacing": ("task.spacing_mm", 21.0, r"spacing_mm 21"),
    "a huge patch": ("task.patch_size", 1040, r"patch_size 1040"),
    "a patch in words": ("task.patch_size", "96", r"patch_size '96'"),
    "an unknown plane": ("task.plane", "oblique", "oblique"),
    "percentiles the wrong way round": ("task.normalization", {"lower_percentile": 99.9}, "percentiles 99.9"),
    "a huge network": ("predictor.base_channels", 129, "base_channels 129"),
    "a huge translator": ("predictor.translator_channels", 2**31, "translator_channels 2147483648"),
    "a deep translator": ("predictor.translator_blocks", 33, "translator_blocks 33"),
    "a number as a choice": ("task.normalization", {"ignores_padding": 1}, "ignores_padding 1 is not one of True"),
    "a window of one": ("task.normalization", {"window": [0]}, "1 window"),
    "a window the wrong way round": (
        "task.normalization",
        {"window": [275, -175]},
        "window 275 to -175 is not a range",
    ),
    "an empty window": ("task.source_normalization", {"window": [5, 5]}, "window 5 to 5 is not a range"),
    "a huge window": ("task.normalization", {"window": [0, 1e6]}, r"window\[1\] 1000000"),
    "a window in words": ("task.normalization", {"window": ["low", 1]}, r"window\[0\] 'low'"),
    "a source normalisation in words": ("task.source_normalization", "CT", "source_normalization 'CT'"),
    "an unknown norm": ("predictor.norm", "layer", "layer"),
    "colour channels": ("predictor.in_channels", 3, r"in_channels 3 is not 2 \* context \+ 1 = 1"),
    "neighbours that the network does not take": ("task.context", 2, r"in_channels 1 is not 2 \* context \+ 1 = 5"),
    "an even number of slices": ("predictor.in_channels", 2, "in_channels 2 is not one of 1, 3, 5, 7, 9"),
    "too many slices": ("predictor.in_channels", 11, "in_channels 11 is not one of 1, 3, 5, 7, 9"),
    "too many neighbours": ("task.context", 5, "context 5 is not within 0 to 4"),
    "a second look from further away": ("task.zoom", 0.5, "zoom 0.5 is not within 1 to 8"),
    "a second look at nothing": ("task.zoom", 9, "zoom 9 is not within 1 to 8"),
    "a second look in words": ("task.zoom", "twice", "zoom 'twice' is not a number"),
    "half a neighbour": ("task.context", 0.5, "context 0.5 is not a whole number"),
    "a distance below zero": ("task.context_mm", -1, "context_mm -1 is not within"),
    "a distance in words": ("task.context_mm", "7.7", "context_mm '7.7' is not a number"),
    "a size below zero": ("files.README.md", {"size": -1, "sha256": "0" * 64}, "size"),
    "a hash that is none": ("files.README.md", {"size": 1, "sha256": "x"}, "sha256"),
    "files as a list": ("files", [], "files"),
    "a true version": ("schema_version", True, "schema_version True"),
    "an unknown key": ("surprise", 1, "surprise"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_wrong_values_are_refused(fault: str, bundle: Path, tmp_path: Path) -> None:
    place, value, words = WRONG[fault]
    import_model(bundle, tmp_path / "store", "good")
    *parents, key = place.split(".", 1) if place.startswith("files.") else place.split(".")

    def change(document: dict) -> None:
        for parent in parents:
            document = document[parent]
        document[key] = value

    edit(bundle, change)
    refused_everywhere(bundle, tmp_path / "store", words)


def test_every_folder_that_is_no_model_leaves_the_others_listed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if something fails that nobody thought of."""
    store = tmp_path / "store"
    for name in ("a", "b"):
        import_model(bundle, store, name)
    monkeypatch.setattr("leuda_core.bundle.store._date", lambda path: 1 / (path.name != "a") and "today")
    broken, good = list_models(store)
    assert "ZeroDivisionError" in broken.problem and (good.name, good.problem, good.created) == ("b", "", "today")


def test_the_limits_include_what_the_settings_of_a_training_allow() -> None:
    limits = {"patch_size": (16, 1024), "base_channels": (1, 128), "spacing_mm": (0, 20), "context": (0, 4)}
    limits |= {"translator_channels": (0, 128), "translator_blocks": (0, 32)}
    for method in METHODS.values():
        for name, field in config_schema(method.Config)["properties"].items():
            if name in limits:
                low, high = limits[name]
                assert low <= field["minimum"] and field["maximum"] <= high, name


def test_the_checks_know_every_field_of_the_schema() -> None:
    """A new field of the document needs a check; what the checks accept, the schema does too."""
    schema = msgspec.json.schema(Document)["$defs"]
    fields = {name for part in ("Document", "BundleInfo", "DomainSummary", "FileRecord", "PredictorSpec", "Task",
              "Label", "Normalization") for name in schema[part]["properties"]}  # fmt: skip
    source = Path(checks.__file__).read_text(encoding="utf-8")
    assert not [name for name in fields if f'"{name}"' not in source]


def test_a_full_document_is_accepted(bundle: Path) -> None:
    def change(document: dict) -> None:
        document["info"].update(
            metrics={"dice/ring": 1, "hd95/ring": None, "x": -1.5e300}, created="2025-12-24", limits=["a\nb"],
            settings={"a": [1, {"b": None}], "ema_decay": 0.99}, citation="\u202e", software={"x": "1"},
        )  # fmt: skip
        document["task"]["labels"][0].update(color=[1, 0, 0.5], terminology="SCT^1^Ring", later="x")

    edit(bundle, change)
    assert read_model(bundle).metrics == {"dice/ring": 1.0, "hd95/ring": None, "x": -1.5e300}
    assert load_bundle(bundle).info.limits == ("a\nb",)
    assert json.loads((bundle / "bundle.json").read_bytes())
