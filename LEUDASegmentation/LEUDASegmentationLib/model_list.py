"""The list of models, as part of the module's logic."""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from leuda_core.bundle import store
from leuda_core.bundle.store import ModelEntry
from leuda_core.errors import InputError
from LEUDASegmentationLib.processes import environment
from LEUDASegmentationLib.run.trainings import last_preview


class ModelListLogic(ScriptedLoadableModuleLogic):
    """Lists, finds, imports and deletes models.

    Args:
        modelsFolder: the folder with the list of models; by default that of the user.
    """

    def __init__(self, modelsFolder: Path | None = None) -> None:
        super().__init__()
        self._models_folder = modelsFolder

    @property
    def modelsFolder(self) -> Path:
        """The folder of the list of models; it may not exist yet."""
        return self._models_folder or environment.models_folder()

    def models(self) -> list[ModelEntry]:
        """Return the models in the list; ``problem`` of a damaged model says what is wrong."""
        return store.list_models(self.modelsFolder)

    def modelEntry(self, model: str | Path | ModelEntry) -> ModelEntry:
        """Return the model with this name in the list, or in the bundle at this path.

        Raises:
            InputError: there is no such model, or it is damaged.
        """
        entry = model if isinstance(model, ModelEntry) else self._find(model)
        if entry.problem:
            raise InputError(
                _("the model “{name}” is damaged: {problem}").format(name=entry.name, problem=entry.problem),
                _("delete it and import it again"),
            )
        return entry

    def importModel(self, path: str | Path, name: str | None = None) -> ModelEntry:
        """Copy a model (bundle folder or zip file) into the list, after checking the hash of every file.

        Raises:
            InputError: it is not a model, or it is damaged.
        """
        return store.import_model(Path(path), self.modelsFolder, name)

    def deleteModel(self, name: str) -> None:
        """Delete a model in the list from the disk.

        Raises:
            InputError: there is no model with this name.
        """
        store.delete_model(self._find(name), self.modelsFolder)

    def modelPicture(self, model: ModelEntry) -> Path | None:
        """Return the last preview of the training of a model, if it was trained here and not deleted since."""
        return last_preview(model, environment.runs_folder())

    def _find(self, model: str | Path) -> ModelEntry:
        models = {entry.name: entry for entry in self.models()}
        if str(model) in models:
            return models[str(model)]
        if model and Path(model).exists():
            return store.read_model(model)
        names = ", ".join(models) or _("none yet")
        raise InputError(
            _("there is no model “{model}”").format(model=model),
            _("import it, or choose a model from the list: {names}").format(names=names),
        )
