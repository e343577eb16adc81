"""From annotated images to a detector with a threshold that keeps a promise.

The images are the small world's; with your own, ``--images`` is a folder and ``--annotations`` a
file in COCO's instances format. Real calibrations take some thousands of images, not 300.
"""

import subprocess
import sys
from pathlib import Path

from PIL import Image
from sightline.monitor import Monitor

work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("calibration-example")
count = sys.argv[2] if len(sys.argv) > 2 else "300"


def run(*arguments: object) -> None:
    """A sightline command, as the shell would run it."""
    print("sightline", *arguments)
    call = "from sightline.monitor.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", call, *map(str, arguments)], check=True)


scenes, table, artifact = work / "scenes", work / "table", work / "artifact"
if not (scenes / "instances.json").exists():
    run("scenes", "render", "--split", "calibration", "--n", count, "--out", scenes)
run(
    "calibrate", "collect", "--images", scenes, "--annotations", scenes / "instances.json",
    "--batch-size", 16, "--out", table,
)  # fmt: skip
run("calibrate", "fit", table, "--detector", "svar", "--target", "recall=0.5", "--out", artifact)

monitor = Monitor.from_pretrained("small", calibration=artifact)
image = next(scenes.glob("*.png"))
report = monitor.generate(
    **monitor.prepare([Image.open(image).convert("RGB")]), max_new_tokens=128
).reports[0]
print(report.text)
print([mention.object for mention in report.mentions if mention.flagged])
