"""The methods by name. A new method needs one file and one entry here.

``ADAPTATION`` is not one of them: it begins with a model instead of a dataset alone.
"""

from leuda_core.config import RunConfig
from leuda_core.errors import InputError
from leuda_core.methods.adaptation import Adaptation
from leuda_core.methods.adda import Adda
from leuda_core.methods.base import Method
from leuda_core.methods.controls.adabn import AdaBn
from leuda_core.methods.controls.histogram_matching import HistogramMatching
from leuda_core.methods.controls.source_only import ContrastRandomization, SourceOnly
from leuda_core.methods.controls.target_supervised import TargetSupervised
from leuda_core.methods.cyclegan import CycleGan
from leuda_core.methods.early_features import EarlyFeatures
from leuda_core.methods.glua import Glua
from leuda_core.methods.le_uda import LeUda
from leuda_core.methods.mean_teacher import MeanTeacher
from leuda_core.methods.meta_hallucinator import MetaHallucinator
from leuda_core.methods.mt_uda import MtUda
from leuda_core.methods.registration.istn import Istn
from leuda_core.methods.registration.voxelmorph import VoxelMorph
from leuda_core.methods.self_training import SelfTraining
from leuda_core.methods.sifa import Sifa
from leuda_core.methods.tcsm import Tcsm

METHODS: dict[str, type[Method]] = {
    "self_training": SelfTraining,
    "le_uda": LeUda,
    "mt_uda": MtUda,
    "meta_hallucinator": MetaHallucinator,
    "glua": Glua,
    "early_features": EarlyFeatures,
    "mean_teacher": MeanTeacher,
    "tcsm": Tcsm,
    "cyclegan": CycleGan,
    "sifa": Sifa,
    "istn": Istn,
    "voxelmorph": VoxelMorph,
    "adda": Adda,
    "source_only": SourceOnly,
    "target_supervised": TargetSupervised,
    "contrast_randomization": ContrastRandomization,
    "histogram_matching": HistogramMatching,
    "adabn": AdaBn,
}

ADAPTATION = "adaptation"


def method_of(config: RunConfig) -> type[Method]:
    """Return the class of a run's method.

    Raises:
        InputError: there is no method of this name.
    """
    return Adaptation if config.start else find_method(config.method)


def find_method(name: str) -> type[Method]:
    """Return a method's class by its name.

    Raises:
        InputError: there is no method of this name.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}", f"choose one of {', '.join(METHODS)}")
    return METHODS[name]
