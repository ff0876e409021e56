"""Requests of the worker's channel, without a process."""

from __future__ import annotations

from typing import Any

from leuda_core.worker.channel import Request


def test_an_id_is_free_before_its_answer_can_be_read() -> None:
    open_when_told: list[bool] = []

    def told(event: str, **fields: Any) -> None:
        open_when_told.append(request.is_open)

    request = Request(1, "devices", {}, told)
    request.progress("load model", 0, 2)
    request.done({})
    request.cancel()  # a second answer is not sent
    assert open_when_told == [True, False]
