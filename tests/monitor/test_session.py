"""The monitor as its users meet it: generate, stream, reports, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sightline.detectors.svar import LayerRange, svar
from sightline.detectors.threshold import FILE, SvarThreshold
from sightline.monitor.errors import ModelError
from sightline.monitor.events import Token
from sightline.monitor.models.images import ImageInfo
from sightline.monitor.models.loading import Loaded
from sightline.monitor.report import Report
from sightline.monitor.session import Monitor
from transformers import (
    LlavaProcessor,
    LogitsProcessor,
)

Tiny = tuple[Any, LlavaProcessor]  # a model that generates has no type of its own
Scripted = Callable[..., LogitsProcessor]

DOG = " The image shows a dog on a bench near two traffic lights."
CAT = " In the scene a cat sleeps beside the laptop."


def objects(report: Report) -> list[str]:
    """The objects of a report, in order."""
    return [m.object for m in report.mentions if m.object is not None]


def test_a_caption_comes_with_its_nouns_and_their_svar(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """The text, every noun with its place in it, its first sub-token's SVAR, and no flag."""
    inputs = monitor.prepare(pictures[:1])
    info = ImageInfo("a.png", 24, 24, "PNG", "RGB", 1)
    result = monitor.generate(
        **inputs, images=[info], max_new_tokens=40, logits_processor=[script(DOG)]
    )
    (report,) = result.reports
    assert result.texts == (DOG,)
    assert report.text == DOG
    assert report.finish == "eos"
    assert not report.truncated
    assert objects(report) == ["dog", "bench", "traffic light"]
    lights = report.mentions[-1]
    assert (lights.word, lights.lemma) == ("traffic lights", "traffic light")
    assert report.text[lights.start : lights.end] == "traffic lights"
    assert report.tokens[lights.first_token].text.strip().startswith("t")
    for mention in report.mentions:
        assert mention.svar == report.tokens[mention.first_token].svar
        assert mention.svar is not None
        assert 0 < mention.svar < 3
        assert (mention.score, mention.flagged, mention.action) == (None, False, "keep")
    named = {m.word: m.visible for m in report.mentions}
    assert named["image"] is False
    assert named["dog"] is True
    assert report.calibration == "uncalibrated"
    assert report.image is not None
    assert report.image.path == "a.png"
    assert report.image_tokens == 4
    assert report.prompt == "USER: <image>\nPlease help me describe the image in detail. ASSISTANT:"
    assert report.model.name == "tiny"
    assert report.settings["max_new_tokens"] == 40
    assert report.timings.first_token is not None
    assert report.timings.total is not None
    assert 0 < report.timings.first_token <= report.timings.total


def test_evidence_is_that_of_the_predicting_row(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image]
) -> None:
    """SVAR, log-probability and entropy equal those of eager attention and of the raw logits."""
    model, _ = tiny
    inputs = monitor.prepare(pictures[:2])
    tokens: list[Token] = []
    result = monitor.generate(
        **inputs,
        max_new_tokens=6,
        eos_token_id=None,
        repetition_penalty=1.4,
        on_event=lambda event: tokens.append(event) if isinstance(event, Token) else None,
    )
    model.set_attn_implementation("eager")
    try:
        length = inputs["input_ids"].shape[1]
        mask = torch.ones_like(result.sequences)
        with torch.no_grad():
            out = model(
                input_ids=result.sequences,
                attention_mask=mask,
                pixel_values=inputs["pixel_values"],
                output_attentions=True,
            )
    finally:
        model.set_attn_implementation("sdpa")
    image = inputs["input_ids"] == model.config.image_token_id
    assert len(tokens) == 12
    for token in tokens:
        assert token.evidence is not None
        place = length + token.index - 1
        rows = torch.stack([a[token.row, :, place, :length] for a in out.attentions])
        var = rows[:, :, image[token.row]].sum(-1)[list(token.evidence.layers)]
        np.testing.assert_allclose(token.evidence.var, var.numpy(), atol=1e-5)
        logp = out.logits[token.row, place].float().log_softmax(-1)
        assert token.evidence.log_prob == pytest.approx(logp[token.id].item(), abs=1e-4)
        entropy = -(logp.exp() * logp).sum().item()
        assert token.evidence.entropy == pytest.approx(entropy, abs=1e-4)
        best = logp.topk(2).values
        assert token.evidence.margin == pytest.approx((best[0] - best[1]).item(), abs=1e-4)
        section = result.reports[token.row].tokens[token.index]
        over = monitor.layers
        assert section.svar == pytest.approx(
            float(svar(token.evidence.var, token.evidence.layers, over))
        )


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "temperature": 0.8, "top_p": 0.9}])
def test_watching_changes_no_token_and_no_score(
    tiny: Tiny, monitor: Monitor, pictures: list[Image.Image], options: dict[str, Any]
) -> None:
    """Greedy and sampled: sequences, scores and logits are bitwise those of plain generate."""
    model, _ = tiny
    inputs = monitor.prepare(pictures, ["What?", "Describe the image, please.", "Go on."])
    shared: dict[str, Any] = {
        **options,
        "max_new_tokens": 16,
        "return_dict_in_generate": True,
        "output_scores": True,
        "output_logits": True,
    }
    torch.manual_seed(7)
    plain = model.generate(**inputs, **shared)
    torch.manual_seed(7)
    watched = monitor.generate(**inputs, **shared).output
    torch.manual_seed(7)
    again = model.generate(**inputs, **shared)
    for other in (watched, again):
        assert torch.equal(plain.sequences, other.sequences)
        assert all(map(torch.equal, plain.scores, other.scores))
        assert all(map(torch.equal, plain.logits, other.logits))


def test_a_row_of_a_batch_is_reported_as_if_alone(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """Left padding and rows that end at different times change no mention and no offset."""
    prompts = ["What?", "Please help me describe the image in detail."]
    texts = (DOG, CAT)
    inputs = monitor.prepare(pictures[:2], prompts)
    together = monitor.generate(
        **inputs, max_new_tokens=60, logits_processor=[script(*texts)]
    ).reports
    for row, (picture, prompt, text) in enumerate(zip(pictures, prompts, texts, strict=False)):
        inputs = monitor.prepare([picture], prompt)
        (alone,) = monitor.generate(
            **inputs, max_new_tokens=60, logits_processor=[script(text)]
        ).reports
        batched = together[row]
        assert batched.text == alone.text == text
        assert batched.prompt == alone.prompt
        assert [t.id for t in batched.tokens] == [t.id for t in alone.tokens]
        for ours, theirs in zip(batched.mentions, alone.mentions, strict=True):
            assert ours.svar == pytest.approx(theirs.svar, abs=1e-5)
            assert ours.model_copy(update={"svar": None}) == theirs.model_copy(
                update={"svar": None}
            )


def test_pad_tokens_after_the_end_are_no_caption(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """The shorter row stops at its end token although generate goes on filling it."""
    inputs = monitor.prepare(pictures[:2])
    result = monitor.generate(**inputs, max_new_tokens=60, logits_processor=[script(DOG, " A dog")])
    long, short = result.reports
    assert short.text == " A dog"
    assert short.tokens[-1].id == 2
    assert len(short.tokens) < len(long.tokens)
    assert (long.finish, short.finish) == ("eos", "eos")


@pytest.mark.parametrize("limit", [1, 5])
def test_an_empty_caption_is_a_caption(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted, limit: int
) -> None:
    """A model that ends at once has said nothing, by itself."""
    inputs = monitor.prepare(pictures[:1])
    (report,) = monitor.generate(
        **inputs, max_new_tokens=limit, logits_processor=[script("")]
    ).reports
    assert (report.text, report.mentions, report.finish) == ("", (), "eos")
    assert [token.id for token in report.tokens] == [2]


def test_several_images_in_one_prompt(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """Their tokens count together, and the prompt in the report shows each once."""
    inputs = monitor.prepare([pictures[:2]], "Compare them.")
    (report,) = monitor.generate(**inputs, max_new_tokens=4).reports
    assert report.image_tokens == 8
    assert report.prompt.count("<image>") == 2


def test_several_captions_of_one_prompt(monitor: Monitor, pictures: list[Image.Image]) -> None:
    """num_return_sequences gives a report for each, in the order of the sequences."""
    inputs = monitor.prepare(pictures[:2], ["What?", "Describe it in detail."])
    torch.manual_seed(0)
    result = monitor.generate(
        **inputs, max_new_tokens=8, do_sample=True, num_return_sequences=2, eos_token_id=None
    )
    prompt = inputs["input_ids"].shape[1]
    ids = [[t.id for t in report.tokens] for report in result.reports]
    assert ids == result.sequences[:, prompt:].tolist()
    assert ["What?" in report.prompt for report in result.reports] == [True, True, False, False]


def test_the_length_limit_truncates(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """A caption cut by max_new_tokens says so; its last noun is still judged."""
    inputs = monitor.prepare(pictures[:1])
    tokens = monitor.tokenizer.encode(" A woman rides a bicycle past the bus")
    result = monitor.generate(
        **inputs, max_new_tokens=len(tokens), logits_processor=[script(tokens)]
    )
    (report,) = result.reports
    assert (report.finish, report.truncated) == ("length", True)
    assert objects(report) == ["person", "bicycle", "bus"]


def test_stop_strings_stop(monitor: Monitor, pictures: list[Image.Image], script: Scripted) -> None:
    """Rows stopped by a string end there; the filling that follows is not theirs."""
    inputs = monitor.prepare(pictures[:2])
    result = monitor.generate(
        **inputs,
        max_new_tokens=60,
        stop_strings=["bench"],
        logits_processor=[script(DOG, CAT)],
    )
    stopped, whole = result.reports
    assert stopped.text.endswith("a bench")
    assert (stopped.finish, stopped.truncated) == ("stopped", False)
    assert objects(stopped) == ["dog", "bench"]
    assert (whole.text, whole.finish) == (CAT, "eos")


def test_stop_strings_where_the_pad_token_is_the_end_token(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """Filling with end tokens is not taken for the row's own end."""
    inputs = monitor.prepare(pictures[:2])
    result = monitor.generate(
        **inputs,
        max_new_tokens=60,
        stop_strings=["bench"],
        pad_token_id=2,
        logits_processor=[script(DOG, CAT)],
    )
    assert [report.finish for report in result.reports] == ["stopped", "eos"]
    assert 2 not in [token.id for token in result.reports[0].tokens]


def test_any_of_several_end_tokens_ends(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """Each id of eos_token_id ends a caption."""
    other = monitor.tokenizer.encode("x")[0]
    inputs = monitor.prepare(pictures[:2])
    ids = monitor.tokenizer.encode(" A dog")
    result = monitor.generate(
        **inputs,
        max_new_tokens=20,
        eos_token_id=[2, other],
        logits_processor=[script([*ids, other], [*ids, *ids, 2])],
    )
    assert [report.finish for report in result.reports] == ["eos", "eos"]
    assert [report.tokens[-1].id for report in result.reports] == [other, 2]


def test_a_pad_token_that_the_model_writes_is_a_token(
    monitor: Monitor, pictures: list[Image.Image], script: Scripted
) -> None:
    """A pad token in mid-caption is kept, because other tokens follow it."""
    ids = monitor.tokenizer.encode(" A dog")
    inputs = monitor.prepare(pictures[:1])
    (report,) = monitor.generate(
        **inputs, max_new_tokens=20, logits_processor=[script([*ids, 0, *ids, 2])]
    ).reports
    assert [token.id for token in report.tokens] == [*ids, 0, *ids, 2]
    assert report.text == " A dog A dog"


def test_a_calibration_flags_and_is_named(
    tiny: Tiny, pictures: list[Image.Image], script: Scripted
) -> None:
    """With a threshold, scores appear, visible nouns below it are flagged, and others never."""
    everything = SvarThreshold(3.0, LayerRange(1, 3, "calibration"), name="strict")
    monitor = Monitor(*tiny, calibration=everything)
    inputs = monitor.prepare(pictures[:1])
    (report,) = monitor.generate(
        **inputs, max_new_tokens=40, logits_processor=[script(DOG)]
    ).reports
    assert report.calibration != "uncalibrated"
    assert report.calibration.name == "strict"
    assert report.layers.source == "calibration"
    for mention in report.mentions:
        assert mention.svar is not None
        assert mention.score == pytest.approx(1 - mention.svar / 3)
        assert mention.threshold == pytest.approx(0)
        assert mention.flagged is mention.visible
        assert mention.action == ("flag" if mention.flagged else "keep")


def test_a_model_may_come_with_its_calibration(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used by default, and gives way to another, to none and to other layers."""
    own = SvarThreshold(1.0, LayerRange(1, 3, "calibration"), name="own")
    other = SvarThreshold(0.5, LayerRange(2, 4, "calibration"), name="other")
    loaded = Loaded(*tiny, "small", own)
    monkeypatch.setattr("sightline.monitor.session.load", lambda *_, **__: loaded)
    assert Monitor.from_pretrained("x").calibration is own
    assert Monitor.from_pretrained("x").lexicon.name == "small"
    assert Monitor.from_pretrained("x", calibration=other).calibration is other
    assert Monitor.from_pretrained("x", calibration=None).calibration is None
    uncalibrated = Monitor.from_pretrained("x", layers="0-2")
    assert uncalibrated.calibration is None
    assert str(uncalibrated.layers) == "0-2"


def test_a_threshold_beside_a_checkpoint_is_used(tiny_folder: Path, tmp_path: Path) -> None:
    """A folder's own threshold comes with its model; a damaged one is an error, not silence."""
    for path in tiny_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert Monitor.from_pretrained(tmp_path).calibration is None
    SvarThreshold(1.0, LayerRange(1, 3, "user"), name="beside").save(tmp_path)
    monitor = Monitor.from_pretrained(tmp_path)
    assert monitor.calibration is not None
    assert (monitor.calibration.name, str(monitor.layers)) == ("beside", "1-3")
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ModelError, match="must be a threshold"):
        Monitor.from_pretrained(tmp_path)


def test_a_calibration_holds_for_its_layers_alone(tiny: Tiny) -> None:
    """Other layers than the calibration's are refused."""
    calibration = SvarThreshold(1.0, LayerRange(1, 3, "calibration"))
    with pytest.raises(ModelError, match="holds for layers 1-3 alone, asked for were 0-2"):
        Monitor(*tiny, calibration=calibration, layers="0-2")


def test_the_layer_range_can_be_chosen(tiny: Tiny, pictures: list[Image.Image]) -> None:
    """The user's range is used and recorded; one outside the model is refused."""
    monitor = Monitor(*tiny, layers="2-5")
    inputs = monitor.prepare(pictures[:1])
    (report,) = monitor.generate(**inputs, max_new_tokens=2).reports
    assert (report.layers.first, report.layers.last, report.layers.source) == (2, 5, "user")
    with pytest.raises(ValueError, match="layers 0-5"):
        Monitor(*tiny, layers="4-6")


def test_all_layers_can_be_watched(tiny: Tiny, pictures: list[Image.Image]) -> None:
    """watch_layers='all' gives evidence of every layer; each head's segments add up to 1."""
    monitor = Monitor(*tiny, watch_layers="all")
    seen: list[Token] = []
    monitor.generate(
        **monitor.prepare(pictures[:1]),
        max_new_tokens=3,
        on_event=lambda event: seen.append(event) if isinstance(event, Token) else None,
    )
    for token in seen:
        assert token.evidence is not None
        assert token.evidence.layers == tuple(range(6))
        assert token.evidence.masses.shape == (6, 4, 4)
        np.testing.assert_allclose(token.evidence.masses.sum(-1), 1, atol=1e-5)
