"""Which of a network's own answers are learnt: thresholds for each class, which follow how sure the network is."""

from __future__ import annotations

import torch
from torch import Tensor

FEW, SLOWLY = 20, 0.1
"""The certainty of a structure moves by a share of ``SLOWLY`` with every batch that shows at least ``FEW`` pixels."""


@torch.no_grad()
def class_thresholds(certainty: Tensor, answer: Tensor, *, share: float, limit: float) -> Tensor:
    """Return the minimum probability of a pseudo-label for each class, after learning from ``answer``.

    Pseudo-labels are pixels above ``limit``, and the surest ``share`` of each structure in any case, similar to
    class-balanced self-training (Zou et al., ECCV 2018).

    Shape:
        certainty: ``(C,)``, updated in place: the probability that a structure's surest share exceeds; 0 while it is
            not known, and always for the background. answer: ``(B, C, H, W)`` probabilities; result ``(C,)``.
    """
    likely, found = (one.flatten() for one in answer.max(1))
    counts = found.bincount(minlength=len(certainty)).tolist()  # the only time that a GPU has to wait
    for index, count in enumerate(counts):
        if index and count >= FEW:
            values = likely.masked_fill(found != index, torch.inf)
            reached = values.kthvalue(max(1, round((1 - share) * count))).values
            known = certainty[index]
            certainty[index] = torch.where(known > 0, known.lerp(reached, SLOWLY), reached)
    return torch.where(certainty > 0, certainty.clamp(max=limit), limit)
