"""The small world's object lexicon, as the monitor reads it.

``python -m sightline.calibration.scenes.lexicon`` writes it from the catalogue.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ...monitor.language.lexicon import Lexicon
from .catalogue import SCENES, TYPES

PATH: Final = Path(__file__).parents[2] / "monitor" / "data" / "lexicon" / "small.json"
"""Where it travels, in a checkout."""


def lexicon() -> dict[str, Any]:
    """The lexicon in the format that :mod:`sightline.monitor.language.lexicon` documents."""
    return {
        "format": "sightline-lexicon-1",
        "name": "small",
        "source": "The object types of sightline's small world (calibration/scenes/catalogue.py).",
        "objects": {
            kind.name: list(dict.fromkeys(form for names in kind.names for form in names))
            for kind in TYPES.values()
        },
        "lemmas": {
            plural.lower(): singular.lower()
            for kind in TYPES.values()
            for singular, plural in kind.names
            if plural != singular
        },
        "exceptions": [],
        "ambiguous": [],
        # The places are where a scene is, not what is in it.
        "invisible": sorted(
            {*Lexicon.load("coco").invisible, *(name.split()[-1] for name in SCENES)}
        ),
    }


def main() -> None:
    """Write the lexicon to :data:`PATH`."""
    PATH.write_text(json.dumps(lexicon(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
