"""CPU time that `build` takes for 3,000 rows of two pictures, compared with the same prompts as two lists.

    python benchmarks/rows.py

Each row has a prompt of its own; once all rows of a picture have the same label, once nearly every row has another. The
placeholder encoder is used.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from matplotlib import cbook
from PIL import Image
from skimage import data

from perception_clip.training.cli import main as training

ROWS = 3000
ROUNDS = 2
PICTURES = ("a.png", "b.png")


def tables(root: Path) -> list[Path]:
    """Write the pictures and the three tables, and return the tables."""
    Image.fromarray(data.astronaut()).save(root / PICTURES[0])
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        Image.open(file).convert("RGB").save(root / PICTURES[1])
    rows = [(PICTURES[row % 2], f"prompt {row // 2}") for row in range(ROWS)]
    lists = [{"path": name, "prompt": [prompt for path, prompt in rows if path == name]} for name in PICTURES]
    (root / "lists.jsonl").write_text("\n".join(map(json.dumps, lists)))
    (root / "one_label.csv").write_text("path,prompt\n" + "\n".join(map(",".join, rows)))
    labeled = [(path, prompt, f"look {_word(row // 2)}") for row, (path, prompt) in enumerate(rows)]
    (root / "many_labels.csv").write_text("path,prompt,label\n" + "\n".join(map(",".join, labeled)))
    return [root / name for name in ("lists.jsonl", "one_label.csv", "many_labels.csv")]


def _word(number: int) -> str:
    return "".join(chr(ord("a") + number // 26**place % 26) for place in range(3))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {}
        for turn in range(ROUNDS + 1):
            for table in tables(Path(folder)):
                start = time.process_time()
                out = f"{table.with_suffix('')}_{turn}.db"
                assert training(["build", str(table), "--out", out, "--text-encoder", "random"]) == 0
                if turn:  # the first loads libraries
                    seconds.setdefault(table.name, []).append(time.process_time() - start)
    for name, found in seconds.items():
        ratio = min(found) / min(seconds["lists.jsonl"])
        print(f"{name:18} {min(found):6.2f} CPU s, {ratio:.2f} × the lists")


if __name__ == "__main__":
    main()
