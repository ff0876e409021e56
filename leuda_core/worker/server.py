"""The worker's main thread: it answers one request after another, and no failure ends it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from leuda_core.errors import InputError, LeudaError, MemoryShortage, as_leuda_error
from leuda_core.worker.channel import Inbox, Request

if TYPE_CHECKING:
    from leuda_core.worker.engine import Engine

logger = logging.getLogger(__name__)

REQUESTS = ("devices", "load", "segment", "slice", "gauge", "find_volumes", "segment_file")


def serve(inbox: Inbox, *, idle_seconds: float) -> None:
    """Answer requests forever. After ``idle_seconds`` without a request, memory is freed until the next one."""
    server = Server()
    patience: float | None = idle_seconds
    while True:
        request = inbox.take(patience)
        if request is None:
            server.release()
            patience = None  # there is nothing more to free before the next request
        else:
            server.answer(request)
            patience = idle_seconds


class Server:
    """Creates the engine when it is first needed, and converts every exception to an answer."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def answer(self, request: Request) -> None:
        try:
            request.done(self._result(request))
        except BaseException as error:
            known = _known(error)
            if isinstance(known, MemoryShortage):
                self.release()  # the next request may need less
            request.fail(known)

    def release(self) -> None:
        if self._engine is not None:
            self._engine.release()

    def _result(self, request: Request) -> dict[str, Any]:
        if request.name not in REQUESTS:
            raise InputError(f"request {request.name!r} is unknown", f"send one of {', '.join(REQUESTS)} or cancel")
        if self._engine is None:
            request.progress("load model", 0, 2)
            self._engine = _new_engine()
        return getattr(self._engine, request.name)(request)


def _new_engine() -> Engine:
    start = time.perf_counter()
    from leuda_core.worker.engine import Engine

    logger.info("PyTorch and the other packages were imported in %.1f s", time.perf_counter() - start)
    return Engine()


def _known(error: BaseException) -> LeudaError:
    known = as_leuda_error(error, "report the problem and attach the log")
    if known.kind == "fault":
        logger.error("request failed", exc_info=error)
    return known
