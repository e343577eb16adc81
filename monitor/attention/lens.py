"""The logit lens: what the image tokens say of each word, and what attention adds to it.

Everything here is paid for only where it is asked for: without a lens no module is hooked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import ModelError, WatchError
from ..models.anatomy import Anatomy
from .segments import image_index

# Logits held at once while the image tokens are read: 16 MiB each on a CPU, 128 MiB on a GPU.
_LOGITS = {"cpu": 4 << 20, "cuda": 32 << 20}


@dataclass(frozen=True, slots=True, eq=False)
class LensStep:
    """One step through the lens; every tensor still on the device.

    Attributes:
        seen: float32 ``[rows, vocabulary]``, log-probability of each token under the logit lens,
            the maximum over image tokens and layers; ``None`` if the image was not read.
        added: float32 ``[rows, layers, hidden]``, what the attention of each watched layer adds to
            the input of the output head.
        weight: ``[vocabulary, hidden]``, the output head.
    """

    seen: Tensor | None
    added: Tensor
    weight: Tensor

    @torch.no_grad()
    def of(self, tokens: Tensor) -> Tensor:
        """What the lens says of the tokens picked, float32 ``[rows, 1 + layers]``.

        Internal confidence first (0..1, NaN if the image was not read), then the contribution of
        each watched layer to the token's logit.

        Args:
            tokens: int64 ``[rows]``.
        """
        tokens = tokens.to(self.weight.device)
        directions = nn.functional.embedding(tokens, self.weight).float()
        contributions = (self.added @ directions.unsqueeze(2)).squeeze(2)
        if self.seen is None:
            confidence = contributions.new_full((len(tokens), 1), torch.nan)
        else:
            confidence = self.seen.gather(1, tokens.unsqueeze(1)).exp()
        return torch.cat([confidence, contributions], dim=1)


class Lens:
    """Look at a model's hidden states through its output head, in this thread, while it runs.

    *Internal confidence* of a token y (Jiang et al., arXiv 2411.16724, Eq. 2) is the maximum, over
    all decoder layers l and image tokens i, of ``softmax(W_V norm(v_i^l))[y]``, where ``v_i^l`` is
    what layer l gives for image token i when the prompt is read, ``norm`` the decoder's final
    normalisation and ``W_V`` the output head. Eq. 2 is written without ``norm``; Llama-like models
    never show their head an unnormalised state, so the lens does not either. (For Eq. 2 to the
    letter: ``Anatomy.of(model, final_norm=torch.nn.Identity())``.)

    The maximum over image tokens and layers can be taken for the whole vocabulary at once: each
    layer's image states go through the head a few at a time and leave one number per token behind.
    No hidden state is kept, no ``[layers, image tokens, vocabulary]`` tensor ever exists, and a
    token costs a look-up. Reading the prompt costs one pass of the head per layer and image token.

    *Contribution* of layer l to the logit of token y (Fig. 2b) is direct logit attribution,

        ``c_l = W_V[y] . (g * (a_l - mean(a_l)) / s)``

    where ``a_l`` is what the layer's attention adds to the residual stream in the last row (a
    normalisation or a multiplier between the two included), ``g`` the final norm's gain and ``s``
    its scale *at the last hidden state*, ``sqrt(variance + eps)``. The mean is subtracted only
    where the norm subtracts it (LayerNorm); an RMS norm does not. Biases belong to no layer. So
    the contributions of everything that was added to the stream sum up to the logit.

    Example::

        with AttentionTap(anatomy, image) as tap, Lens(anatomy, image) as lens:
            model(**inputs)
            lens.take().of(tokens)

    Args:
        anatomy: where the model keeps its parts.
        image: bool ``[batch, prompt]``, True on image tokens. A forward pass may have a multiple
            of ``batch`` rows. The first pass must hold the whole prompt: image tokens that are in
            the cache already cannot be read, and leave the confidence unknown.
        layers: the layers whose contributions are wanted; all that can be watched by default.
            Confidence is over every decoder layer.

    Raises:
        ModelError: the model has no output head or final norm, or the head is no matrix.
        ValueError: a layer does not exist.
    """

    def __init__(
        self, anatomy: Anatomy, image: Tensor, *, layers: tuple[int, ...] | None = None
    ) -> None:
        self.layers = anatomy.known_layers(anatomy.layers if layers is None else layers)
        self._head, self._norm = lens_parts(anatomy)
        weight: Any = self._head.weight
        self._weight: Tensor = weight
        self._index = image_index(image)
        self._prompt = image.shape
        self._depth = len(anatomy.blocks)
        self._roles = _roles(anatomy, self.layers)
        self._probed: tuple[bool, Tensor] | None = None
        self._fresh = True
        self._seen: Tensor | None = None
        # Of the current pass: what each layer's attention added in the last row, and the last
        # layer's last row; the latest outputs of a layer and of its attention.
        self._added: dict[int, Tensor] = {}
        self._last: Tensor | None = None
        self._latest: Tensor | None = None
        self._attended: Tensor | None = None
        self._listening = True
        self._token: Token[Lens | None] | None = None
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Lens:
        other = _ACTIVE.get()
        if other is not None and other._hooks:
            raise WatchError(
                "Only one Lens may be open at a time in one thread; another is. Leave its `with` "
                "block first, or look from another thread."
            )
        self._fresh, self._seen = True, None
        self._forget_pass()
        self._token = _ACTIVE.set(self)
        self._hooks = [module.register_forward_hook(_after) for module in self._roles]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        with suppress(ValueError):  # left in another context, as a finalised generator is
            _ACTIVE.reset(self._token)
        self._seen = None
        self._forget_pass()

    @torch.no_grad()
    def take(self) -> LensStep:
        """What the latest forward pass showed; nothing waits for the device.

        Raises:
            WatchError: if no pass was completed since the last call.
        """
        if self._last is None or len(self._added) != len(self.layers):
            raise WatchError(
                "take() must follow a complete forward pass of the watched model in this thread; "
                f"{len(self._added)} of {len(self.layers)} watched layers ran since the last one. "
                f"A lens sees nothing of compiled passes: generate(disable_compile=True)."
            )
        device = self._weight.device
        parts = [self._added[layer].to(device, non_blocking=True) for layer in self.layers]
        added = self._share(torch.stack(parts, dim=1), self._last.to(device, non_blocking=True))
        self._fresh = False
        self._forget_pass()
        return LensStep(self._seen, added, self._weight)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let passes go by unread: those that are not a step of the watched sequences."""
        before, self._listening = self._listening, False
        try:
            yield
        finally:
            self._listening = before

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """A hooked module ran; called by its hook, which other threads' modules call as well."""
        role = self._roles.get(module) if self._hooks and self._listening else None
        if role is None:
            return
        kind, layer = role
        states: Tensor = output[0] if isinstance(output, tuple) else output
        if kind == "block":
            self._end_layer(layer, module, states)
        elif kind == "attention":
            self._attended = states
            self._added[layer] = states[:, -1].detach().clone()
        elif args and args[0] is self._attended:
            # A norm between attention and the residual stream: what it gives is what is added.
            self._added[layer] = states[:, -1].detach().clone()

    def _end_layer(self, layer: int, block: nn.Module, states: Tensor) -> None:
        if states is self._latest:
            return  # hooked by another thread's lens as well
        self._latest, self._attended = states, None
        multiplier: Any = getattr(block, "residual_multiplier", None)  # as Granite has it
        if multiplier is not None and layer in self._added:
            self._added[layer] = self._added[layer] * multiplier
        if self._fresh and states.shape[1] == self._prompt[1]:
            with torch.no_grad():
                self._read(states)
        if layer == self._depth - 1:
            self._last = states[:, -1].detach().clone()
            self._latest = None

    def _read(self, states: Tensor) -> None:
        """Take the maximum over the image tokens of one layer into the table."""
        rows = states.shape[0]
        if rows % self._prompt[0]:
            raise WatchError(
                f"A forward pass must have a multiple of the {self._prompt[0]} watched prompts as "
                f"its rows, had: {rows}. Open a lens for the batch that the model is given."
            )
        index, exists = self._index.positions, self._index.exists
        # Rows with fewer image tokens show their first one again: the maximum does not care.
        places = torch.where(exists, index, index[:, :1]).to(states.device)
        places = places.repeat_interleave(rows // self._prompt[0], dim=0).unsqueeze(2)
        image = states.gather(1, places.expand(-1, -1, states.shape[2]))
        for said in read_out(self._head, self._norm, image):
            best = said.amax(dim=1)
            self._seen = best if self._seen is None else torch.maximum(self._seen, best)

    def _share(self, parts: Tensor, whole: Tensor) -> Tensor:
        """``parts`` ``[rows, layers, hidden]`` under the final norm's scale at ``whole``.

        A norm is linear but for its scale, and its scale at a part that was stretched to the size
        of ``whole`` is the scale at ``whole``. So the model's own norm does the work, whatever its
        gain and its eps.
        """
        if self._probed is None:
            nothing = self._norm(torch.zeros_like(whole[:1]))
            centred = bool(torch.allclose(self._norm(torch.ones_like(whole[:1])), nothing))
            self._probed = centred, nothing.float()
        centred, offset = self._probed
        stretch = _size(whole.unsqueeze(1), centred) / _size(parts, centred).clamp_min(1e-30)
        stretched = (parts.float() * stretch).to(parts.dtype)
        normed: Tensor = self._norm(stretched)
        return (normed.float() - offset) / stretch

    def _forget_pass(self) -> None:
        self._added = {}
        self._last = self._latest = self._attended = None


_Role = tuple[Literal["attention", "beside", "block"], int]


def _roles(anatomy: Anatomy, layers: tuple[int, ...]) -> dict[nn.Module, _Role]:
    """What is hooked: every decoder layer, and in ``layers`` attention and what may follow it."""
    roles: dict[nn.Module, _Role] = {}
    attentions = dict(zip(anatomy.layers, anatomy.attentions, strict=True))
    for layer in layers:
        for child in anatomy.blocks[layer].children():
            if not any(part is attentions[layer] for part in child.modules()):
                roles[child] = ("beside", layer)
        roles[attentions[layer]] = ("attention", layer)
    for layer, block in enumerate(anatomy.blocks):
        roles[block] = ("block", layer)
    return roles


def lens_parts(anatomy: Anatomy) -> tuple[nn.Module, nn.Module]:
    """The output head and the final norm.

    Raises:
        ModelError: one of them is not known, or the head has no weight matrix.
    """
    name = type(anatomy.model).__name__
    for part, argument, what in (
        (anatomy.lm_head, "lm_head", "output head"),
        (anatomy.final_norm, "final_norm", "final normalisation"),
    ):
        if part is None:
            raise ModelError(
                f"The logit lens needs the model's {what}; {name} does not say where it is. Pass "
                f"the module as {argument}= to Anatomy.of, or do without the lens."
            )
    head, norm = anatomy.lm_head, anatomy.final_norm
    assert head is not None
    assert norm is not None
    weight = getattr(head, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        found = "none" if weight is None else f"{weight.dtype} {tuple(weight.shape)}"
        raise ModelError(
            f"The logit lens needs an output head with a weight [vocabulary, hidden] of floating-"
            f"point numbers; {type(head).__name__} of {name} has: {found}. Pass another module as "
            f"lm_head= to Anatomy.of, or do without the lens."
        )
    return head, norm


def has_lens(anatomy: Anatomy) -> bool:
    """Whether the model has what the lens needs; see :func:`lens_parts`."""
    try:
        lens_parts(anatomy)
    except ModelError:
        return False
    return True


def read_out(head: nn.Module, norm: nn.Module, states: Tensor) -> Iterator[Tensor]:
    """What hidden states say through the output head, a few states at a time.

    Args:
        head: see :func:`lens_parts`.
        norm: see :func:`lens_parts`.
        states: ``[rows, states, hidden]``, what a decoder layer gave.

    Yields:
        float32 ``[rows, some states, vocabulary]``, log-probabilities, on the head's device.
    """
    weight: Any = head.weight
    device: torch.device = weight.device
    states = states.to(device, non_blocking=True)
    room = _LOGITS.get(device.type, _LOGITS["cpu"]) // (states.shape[0] * weight.shape[0])
    for part in states.split(max(room, 1), dim=1):
        logits = head(norm(part)).float()
        yield logits - logits.logsumexp(dim=2, keepdim=True)


def _size(states: Tensor, centred: bool) -> Tensor:
    """Root mean square over the last axis, kept; about the mean if ``centred``."""
    states = states.float()
    if centred:
        states = states - states.mean(dim=-1, keepdim=True)
    return states.square().mean(dim=-1, keepdim=True).sqrt()


_ACTIVE: ContextVar[Lens | None] = ContextVar("sightline_lens", default=None)


def _after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
    """Forward hook. A plain function, so that a copied model copies no lens."""
    if torch.compiler.is_dynamo_compiling():
        return
    lens = _ACTIVE.get()
    if lens is not None:
        lens.after(module, args, output)
