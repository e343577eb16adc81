"""What some rows may see by FlexAttention's own mask, which is a function of two positions."""

from __future__ import annotations

from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_mask
from torch.nn.functional import pad

__all__ = ["BlockMask", "visible"]


def visible(mask: BlockMask, rows: Tensor | None, *, queries: int, keys: int) -> Tensor:
    """Evaluate a block mask for the rows of interest alone.

    Args:
        mask: of ``queries`` queries; keys beyond those it was made for are not seen.
        rows: int64 ``[batch, rows]``, or ``None`` for the last alone.
        queries: queries of the pass.
        keys: keys of the pass.

    Returns:
        bool ``[batch or 1, heads or 1, rows, keys]``.
    """
    own = mask.mask_mod
    batch, heads, _, known = mask.shape
    known = min(known, keys)
    device = mask.kv_indices.device

    def of_row(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        row = q + (queries - 1) if rows is None else rows[b, q]
        return own(b, h, row, k)

    if rows is not None:
        batch = rows.shape[0]
    count = 1 if rows is None else rows.shape[1]
    seen = create_mask(of_row, batch, heads, count, known, device=str(device))
    return pad(seen, (0, keys - known)) if known < keys else seen
