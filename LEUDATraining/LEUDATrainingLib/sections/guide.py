"""The steps of the window: one is open at a time, and each title says in one line how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from LEUDATrainingLib.dataset.step_states import StepState


class Guide:
    """Opens and closes the steps, and writes their titles.

    Args:
        sections: the ``ctkCollapsibleButton`` of each step, by its name, in their order; their texts are the titles.
        on_opened: called with the name of a step that was opened. on_closed: the same, for one that was closed.
    """

    def __init__(
        self, sections: Mapping[str, Any], on_opened: Callable[[str], None], on_closed: Callable[[str], None]
    ) -> None:
        self._sections = dict(sections)
        self._titles = {name: section.text for name, section in self._sections.items()}
        self._on_opened, self._on_closed = on_opened, on_closed
        self._switching = False
        for name, section in self._sections.items():
            section.connect("contentsCollapsed(bool)", self._follower(name))

    @property
    def opened(self) -> str:
        """The name of the open step; empty if the user has closed it."""
        return next((name for name, section in self._sections.items() if not section.collapsed), "")

    def open(self, name: str) -> None:
        """Open a step and close the others."""
        self._sections[name].collapsed = False

    def show(self, states: Mapping[str, StepState]) -> None:
        """Write how far each step is behind its title."""
        for name, state in states.items():
            text = f"{self._titles[name]}: {state.text}" + ("  ✓" if state.complete else "")
            if self._sections[name].text != text:
                self._sections[name].text = text

    def _follower(self, name: str) -> Callable[[bool], None]:
        return lambda collapsed: self._on_collapsed(name, collapsed)

    def _on_collapsed(self, name: str, collapsed: bool) -> None:
        if collapsed:
            self._on_closed(name)
            return
        if not self._switching:
            self._switching = True
            try:
                for other, section in self._sections.items():
                    if other != name and not section.collapsed:
                        section.collapsed = True
            finally:
                self._switching = False
        self._on_opened(name)
