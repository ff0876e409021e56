"""What the module LEUDATraining is made of; nothing here is imported before the module is opened.

``LEUDASegmentationLib`` is shared by both modules and makes ``leuda_core`` importable from a source checkout.
"""

import LEUDASegmentationLib  # noqa: F401
