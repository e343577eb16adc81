"""What policies need of a model to act: Eq. 4 in its layers, its text without the image, an end."""

from __future__ import annotations

from dataclasses import replace

from ...detectors.published import PUBLISHED, published
from ..attention.intervention import HeadGuided
from ..decoding.inputs import PromptBatch
from ..errors import OptionError
from ..models.subject import Subject
from .blind import BlindBranch
from .policy import Policy


class Means:
    """What one monitor's model offers to policies.

    Args:
        subject: the model.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._reads_text_alone = False

    def placed(self, policy: Policy) -> Policy:
        """A policy with the numbers of the layers that were published for the model.

        Returns:
            the policy itself, if it does not ask for them.

        Raises:
            OptionError: none were published for it.
        """
        if not any(one.layers == "published" for one in policy.tries):
            return policy
        name, depth = self._subject.name, self._subject.anatomy.num_layers
        found = published(name, depth)
        if found is None:
            known = ", ".join(f"{one.model} ({one.num_layers})" for one in PUBLISHED)
            raise OptionError(
                f"layers='published' are those of a model in the table of published settings: "
                f"{known}; {name}, with {depth} layers, is none of them. Give the first and the "
                f"last one, layers=(5, 18), or None for all."
            )
        tries = (
            replace(one, layers=(found.first, found.last)) if one.layers == "published" else one
            for one in policy.tries
        )
        return replace(policy, tries=tuple(tries))

    def guide(self, policy: Policy) -> HeadGuided | None:
        """Eq. 4 at strength 0, in the layers where a policy's tries want it; ``None`` if none does.

        Raises:
            OptionError: the model has no such layers.
        """
        if policy.act != "redecode":
            return None
        guided = [one for one in self.placed(policy).tries if one.alpha]
        if not guided:
            return None
        anatomy, layers = self._subject.anatomy, guided[0].layers
        assert layers != "published"
        wanted = anatomy.layers if layers is None else range(layers[0], layers[1] + 1)
        try:
            return HeadGuided(0.0, anatomy.known_layers(wanted))
        except ValueError as error:
            raise OptionError(f"The policy cannot act on this model: {error}") from error

    def blind(self, policy: Policy, prompts: PromptBatch) -> BlindBranch | None:
        """The model without the image, if a try of the policy asks for a contrast with it.

        Raises:
            OptionError: the model cannot do without.
        """
        if policy.act != "redecode" or not any(one.contrast for one in policy.tries):
            return None
        branch = BlindBranch(self._subject.model, prompts)
        if not self._reads_text_alone:
            branch.check()
            self._reads_text_alone = True  # a property of the model, found out once
        return branch

    def full_stop(self) -> int | None:
        """The token of a full stop right after a word, if there is one."""
        tokenizer = self._subject.tokenizer
        token = tokenizer.convert_tokens_to_ids(".")
        if not isinstance(token, int) or token == tokenizer.unk_token_id:
            return None
        return token
