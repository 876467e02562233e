#!/usr/bin/env python3
"""Write the example workflows, each from one description: the files that ComfyUI's front end opens (`workflows/`), and
as prompts for its API those graphs that the host tests begin with (`tests/host/graphs/`).

usage: python tools/build_workflows.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workflow_format import api_graph, front_end_graph
from workflow_pictures import EMOTION_PROMPTS, EXPRESSION_SWITCH, FACE_TO_EXPRESSION, XL_FACE_TO_EXPRESSION, from_a_file
from workflow_sequences import BLEND_TWO_FACES, EXPRESSION_VIDEO, WEBCAM
from workflow_training import COLLECT_DATASET, TRAIN_AND_TRY

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = (
    FACE_TO_EXPRESSION,
    EMOTION_PROMPTS,
    COLLECT_DATASET,
    TRAIN_AND_TRY,
    EXPRESSION_VIDEO,
    WEBCAM,
    BLEND_TWO_FACES,
    EXPRESSION_SWITCH,
    XL_FACE_TO_EXPRESSION,
)
TESTED = (from_a_file(FACE_TO_EXPRESSION, "best_model.safetensors"), COLLECT_DATASET)


def build() -> dict[Path, str]:
    """Every file's path, relative to the repository, and its text."""
    graphs: dict[Path, dict[str, Any]] = {
        Path("workflows", f"{workflow.name}.json"): front_end_graph(workflow) for workflow in WORKFLOWS
    }
    graphs |= {Path("tests/host/graphs", f"{workflow.name}.json"): api_graph(workflow) for workflow in TESTED}
    return {path: json.dumps(graph, indent=2, ensure_ascii=False) + "\n" for path, graph in graphs.items()}


if __name__ == "__main__":
    for path, text in build().items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)
