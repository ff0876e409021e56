"""The methods by name. A further one is one file and one line here."""

from leuda_core.methods.base import Method
from leuda_core.methods.cyclegan import CycleGan
from leuda_core.methods.histogram_matching import HistogramMatching
from leuda_core.methods.le_uda import LeUda
from leuda_core.methods.mean_teacher import MeanTeacher
from leuda_core.methods.mt_uda import MtUda
from leuda_core.methods.source_only import ContrastRandomization, SourceOnly
from leuda_core.methods.target_supervised import TargetSupervised

METHODS: dict[str, type[Method]] = {
    "le_uda": LeUda,
    "mt_uda": MtUda,
    "mean_teacher": MeanTeacher,
    "cyclegan": CycleGan,
    "source_only": SourceOnly,
    "target_supervised": TargetSupervised,
    "contrast_randomization": ContrastRandomization,
    "histogram_matching": HistogramMatching,
}
