"""Half precision, quantised weights, weights that are elsewhere: read without a changed bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sightline.detectors.evidence import IMAGE
from sightline.monitor.attention.intervention import HeadGuided
from sightline.monitor.attention.tap import AttentionTap
from sightline.monitor.models.anatomy import Anatomy
from torch import Tensor, nn

from ..families import Family, build

STEPS = 5


def _generate(family: Family, **options: Any) -> Any:
    run = {"max_new_tokens": STEPS, "do_sample": False, "return_dict_in_generate": True}
    return family.model.generate(**family.inputs, **run | {"output_logits": True} | options)


def _watch(family: Family, **options: Any) -> tuple[Any, list[Tensor]]:
    steps: list[Tensor] = []
    mask = family.inputs["attention_mask"]
    anatomy = Anatomy.of(family.model)
    with AttentionTap(anatomy, family.image, prompt_mask=mask, **options) as tap:

        def take(ids: Tensor, scores: Tensor) -> Tensor:
            steps.append(tap.take().masses)
            return scores

        return _generate(family, logits_processor=[take]), steps


def _identical(family: Family) -> list[Tensor]:
    """Watched and plain are the same bits; what was read."""
    plain = _generate(family)
    watched, steps = _watch(family)
    assert torch.equal(plain.sequences, watched.sequences)
    assert all(torch.equal(a, b) for a, b in zip(plain.logits, watched.logits, strict=True))
    assert len(steps) == STEPS
    return steps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llava", "gemma3"])
def test_var_in_every_precision(name: str, dtype: torch.dtype) -> None:
    """Within 1e-5 of eager attention in float32, within a fiftieth of it in half precision."""
    family = build(name)
    family.model.to(dtype)
    family.inputs["pixel_values"] = family.inputs["pixel_values"].to(dtype)
    family.model.set_attn_implementation("eager")
    steps = _identical(family)
    maps = _generate(family, output_attentions=True).attentions
    prompt = family.image.shape[1]
    for index, (step, layers) in enumerate(zip(steps, maps, strict=True)):
        image = torch.zeros(2, prompt + index)
        image[:, :prompt] = family.image
        rows = [weights[:, :, -1].float() for weights in layers]
        var = [(row * image[:, None, -row.shape[-1] :]).sum(-1) for row in rows]
        precise = dtype == torch.float32
        torch.testing.assert_close(
            step[..., IMAGE],
            torch.stack(var, dim=1),
            rtol=0 if precise else 2e-2,
            atol=1e-5 if precise else 2e-3,
        )


def _quanto(model: Any) -> None:
    quanto = pytest.importorskip("optimum.quanto", reason="needs optimum-quanto")
    quanto.quantize(model.model.language_model, weights=quanto.qint8)
    quanto.freeze(model)


def _torchao(model: Any) -> None:
    torchao = pytest.importorskip("torchao.quantization", reason="needs torchao")
    torchao.quantize_(model.model.language_model, torchao.Int8WeightOnlyConfig())


def _bitsandbytes(model: Any) -> None:
    bnb = pytest.importorskip("bitsandbytes", reason="needs bitsandbytes")
    for layer in model.model.language_model.layers:
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            own: nn.Linear = getattr(layer.self_attn, name)
            packed = bnb.nn.Linear4bit(
                own.in_features, own.out_features, bias=False, quant_type="nf4"
            )
            packed.weight = bnb.nn.Params4bit(own.weight.data, quant_type="nf4")
            setattr(layer.self_attn, name, packed.to("cpu"))


@pytest.mark.parametrize("quantise", [_quanto, _torchao, _bitsandbytes])
def test_quantised_weights(quantise: Callable[[Any], None]) -> None:
    """Weights of 8 or 4 bits change what the model attends to, and nothing about reading it."""
    family = build("llava")
    quantise(family.model)
    for step in _identical(family):
        torch.testing.assert_close(step.sum(-1), torch.ones(2, 4, 4))


@pytest.mark.parametrize("where", ["cpu", "disk"])
def test_weights_that_are_elsewhere(where: str, tmp_path: Path) -> None:
    """accelerate brings a layer's weights when it runs and takes them away: read all the same."""
    accelerate = pytest.importorskip("accelerate", reason="needs accelerate")
    family = build("llava")
    expected = _identical(family)
    if where == "cpu":
        accelerate.cpu_offload(family.model, execution_device=torch.device("cpu"))
    else:
        accelerate.disk_offload(family.model, str(tmp_path), torch.device("cpu"))
    assert next(family.model.model.language_model.layers[0].parameters()).is_meta
    for step, usual in zip(_identical(family), expected, strict=True):
        torch.testing.assert_close(step, usual, rtol=0, atol=1e-6)


class TestSeveralDevices:
    """Layers on two devices, the second one the meta device, which computes shapes alone."""

    @staticmethod
    def _spread(family: Family) -> None:
        """The last two layers are elsewhere, as ``device_map`` places them."""
        decoder = family.model.get_decoder()

        def move(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.to("meta")
            if isinstance(value, tuple):
                return tuple(map(move, value))
            return value

        def bring(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            cache = kwargs.get("past_key_values")
            kwargs = {
                key: value if value is cache else move(value) for key, value in kwargs.items()
            }
            return move(args), kwargs

        for layer in decoder.layers[2:]:
            layer.to("meta")
            layer.register_forward_pre_hook(bring, with_kwargs=True)
        decoder.norm.to("meta")
        family.model.lm_head.to("meta")

    @torch.no_grad()
    def test_each_layer_is_read_where_it_is(self) -> None:
        """No tensor of one device meets one of the other; Eq. 4's alpha is there as well."""
        family = build("llava")
        self._spread(family)
        mask = family.inputs["attention_mask"]
        anatomy = Anatomy.of(family.model)
        guide = HeadGuided(torch.tensor([0.0, 0.5]), [1, 2, 3])
        for rows in (None, 3):
            guide.alpha = torch.tensor([0.0, 0.5]) if rows is None else 0.0
            with AttentionTap(
                anatomy,
                family.image,
                prompt_mask=mask,
                layers=[2, 3],  # nothing can be brought back from the meta device
                patches=1,
                intervention=guide,
                rows=rows,
            ) as tap:
                family.model(**family.inputs)
                step = tap.take()
            assert step.intervened == (rows is None)
            assert step.masses.device.type == "meta"
            assert step.patches is not None
            assert step.patches.device.type == "meta"
