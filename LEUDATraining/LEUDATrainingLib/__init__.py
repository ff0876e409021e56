"""The parts of the module LEUDATraining.

``LEUDASegmentationLib`` is shared by both modules and makes ``leuda_core`` importable from a source checkout.
"""

import LEUDASegmentationLib  # noqa: F401
