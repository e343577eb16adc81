"""What a policy needs of a model to act: Eq. 4 in its layers, and a full stop."""

from __future__ import annotations

from typing import Any

from ..attention.intervention import HeadGuided
from ..errors import OptionError
from ..models.anatomy import Anatomy
from .policy import Policy


def guide_of(policy: Policy, anatomy: Anatomy) -> HeadGuided | None:
    """Eq. 4 at strength 0, in the layers where the policy's tries want it; ``None`` if none does.

    Raises:
        OptionError: the model has no such layers.
    """
    guided = [one for one in policy.tries if one.alpha] if policy.act == "redecode" else []
    if not guided:
        return None
    layers = guided[0].layers
    wanted = anatomy.layers if layers is None else range(layers[0], layers[1] + 1)
    try:
        return HeadGuided(0.0, anatomy.known_layers(wanted))
    except ValueError as error:
        raise OptionError(f"The policy cannot act on this model: {error}") from error


def full_stop(tokenizer: Any) -> int | None:
    """The token of a full stop right after a word, if there is one."""
    token = tokenizer.convert_tokens_to_ids(".")
    if not isinstance(token, int) or token == tokenizer.unk_token_id:
        return None
    return token
