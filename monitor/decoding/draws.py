"""The random numbers of a sampled generation, one state of the generator per position.

``generate`` draws from the global generator of the device its ids are on. Here each position has
its own place in that stream: whatever else draws in between, and however often a position is
decoded, it draws the same numbers, unless it is told to draw others.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Draws:
    """Remembers and puts back the state of the global generator.

    Args:
        device: where the ids are.
        first: the first position that is drawn.
        active: whether anything is drawn at all; if not, nothing is touched.
    """

    def __init__(self, device: torch.device, *, first: int, active: bool) -> None:
        self._device = device
        self._first = first
        self._active = active
        self._states: list[Tensor] = []

    def enter(self, position: int) -> None:
        """Put the generator where it was when it came to ``position``, or learn where it is."""
        if not self._active:
            return
        index = position - self._first
        if index < len(self._states):
            self._set(self._states[index])
        else:
            self._states.append(self._get())

    def cut(self, position: int, *, seed: int | None = None) -> None:
        """Forget what lies past ``position``; with a seed, draw other numbers from there on."""
        if not self._active:
            return
        del self._states[position - self._first + 1 :]
        if seed is not None:
            generator = torch.Generator(self._device).manual_seed(seed)
            self._states[position - self._first :] = [generator.get_state()]

    def _get(self) -> Tensor:
        if self._device.type == "cpu":
            return torch.get_rng_state()
        module: Any = torch.get_device_module(self._device)
        state: Tensor = module.get_rng_state(self._device)
        return state

    def _set(self, state: Tensor) -> None:
        if self._device.type == "cpu":
            torch.set_rng_state(state)
        else:
            module: Any = torch.get_device_module(self._device)
            module.set_rng_state(state, self._device)
