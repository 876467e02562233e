"""Every input of every node, given what no honest graph gives it: the server answers, says why, and goes on."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .server import Graph, Host, entry
from .test_train_projection import collect

pytestmark = pytest.mark.slow

PREFIX = "PerceptionClip_"
NAN, INFINITE = float("nan"), float("inf")
TRAVERSAL, LONG = "../../../../tmp/perception_clip_fuzz", "x" * 10_000
NAMES = ["", TRAVERSAL, "/tmp/perception_clip_fuzz", "..\\x", "con", "a\0b", LONG, "😀", "\u202egnp.exe", "a\nb", "~/x"]
OTHER_KINDS = [None, {"a": [1]}, {"__value__": [1, None]}]
VALUES: dict[str, list[Any]] = {
    "INT": [*OTHER_KINDS, "many", NAN, INFINITE, 10**40],
    "FLOAT": [*OTHER_KINDS, "much", NAN, INFINITE, -1e308],
    "STRING": [*OTHER_KINDS, 7, NAN, *NAMES],
    "BOOLEAN": [*OTHER_KINDS, "perhaps", NAN],
    "COMBO": [*OTHER_KINDS, 3, True, NAN, *NAMES],
}
LITERALS = [*OTHER_KINDS, "text", 3, True, NAN]  # in place of a link
PICTURES = [
    dict(zip(("count", "size", "channels", "value"), values, strict=True))
    for values in [
        *(
            (0, 64, 3, "0.5"),
            (1, 0, 3, "0.5"),
            (3, 1, 3, "0.5"),
            (1, 64, 0, "0.5"),
            (1, 64, 1, "0.5"),
            (1, 64, 5, "0.5"),
        ),
        *((1, 64, 4, "0.5"), (2, 64, 3, "nan"), (1, 64, 3, "inf"), (1, 64, 3, "-1e30"), (40, 8, 3, "2")),
    ]
]
CHEAP = {"strengths": "1", "epochs": 1, "size": "small", "samples": 100, "frames": 4, "name": "fuzzed"}
# What is no name of a folder may be one of a model on the Hugging Face hub, and would be looked for there.
ON_THE_HUB = ("emotion_model", re.compile(r"[\w.-]+"))
ENCODED = tuple(
    f"{PREFIX}{name}" for name in ("EmotionPrompts", "DatasetWriter", "StrengthSweep", "TextEncode")
)  # by CLIP: it takes long
TRAINING = ("PerceptionClip_StarterProjection", "PerceptionClip_TrainProjection")  # and for each new name
CALLED = {"init": "checkpoint"}  # in messages
# Python's own words, which tell a user nothing.
GIBBERISH = re.compile(
    r"NoneType|'\w+' object|object of type|unsupported operand|not iterable|unhashable|to unpack|cannot unpack|"
    r"invalid data type|weak reference|"
    r"positional argument|unexpected keyword|must be real|expected str|could not convert|cannot convert|index out of|"
    r"invalid literal|bytes-like|codec can't|Traceback|embedded null|File name too long|Errno|__\w+__"
)


@dataclass(frozen=True)
class Case:
    """One thing that is wrong with a prompt."""

    node: str
    what: str
    graph: Graph

    def __str__(self) -> str:
        return f"{self.node.removeprefix(PREFIX)}: {self.what}"


@dataclass(frozen=True)
class Outcome:
    case: Case
    refused: str = ""  # by /prompt
    message: str = ""  # of the execution's error
    raised: str = ""  # its type
    succeeded: bool = False


def base_graph(photo: str, weights: str) -> Graph:
    """One thing of each type that links carry."""
    perceive = {"image": ["photo", 0], "detector": "fast"}
    return {
        "photo": entry("LoadImage", image=photo),
        "model": entry("CheckpointLoaderSimple", ckpt_name=weights),
        "faces": entry(f"{PREFIX}FacePerception", **perceive),
        "words": entry("Probe_Conditioning", width=768, blocks=1),
        "film": entry("CreateVideo", images=["photo", 0], fps=12.0),
        "latent": entry("EmptyLatentImage", width=64, height=64, batch_size=1),
        "points": entry(f"{PREFIX}ToFaceLandmarks", perception=["faces", 0]),
        "crops": entry(
            f"{PREFIX}CropFaces", image=["photo", 0], perception=["faces", 0], crop_size=64, margin=0.4, upright=True
        ),
    }


LINKS = {
    "IMAGE": ["photo", 0],
    "CLIP": ["model", 1],
    "PERCEPTION": ["faces", 0],
    "CONDITIONING": ["words", 0],
    "VIDEO": ["film", 0],
    "LATENT": ["latent", 0],
    "FACE_LANDMARKS": ["points", 0],
    "FACE_CROPS": ["crops", 1],
}
CHOSEN = {(f"{PREFIX}DrawPerception", "image")}  # one of two optional inputs, of which the node needs one
WRONG_LINKS = [["words", 0], ["words", 99], ["nowhere", 0], ["node", 0]]  # the last is a circle


def inputs_of(info: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """A node's inputs: name → type, options. Drop-downs are COMBO."""
    both = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    named = {name: (entry[0], entry[1] if len(entry) > 1 else {}) for name, entry in both.items()}
    return {name: ("COMBO" if isinstance(kind, list) else kind, options) for name, (kind, options) in named.items()}


def needed(graph: Graph, names: list[str]) -> Graph:
    """The nodes of these names, and those before them."""
    kept: Graph = {}
    while names:
        name = names.pop()
        kept[name] = graph[name]
        names += [
            v[0] for v in graph[name]["inputs"].values() if isinstance(v, list) and v and v[0] in graph.keys() - kept
        ]
    return kept


def sound(base: Graph, node: str, info: dict[str, Any], given: dict[str, Any]) -> Graph:
    """A prompt with this node in it that runs, and quickly."""
    inputs: dict[str, Any] = {}
    for name, (kind, options) in inputs_of(info).items():
        if kind in LINKS:
            wanted = name in info["input"].get("required", {}) or (node, name) in CHOSEN
            value = LINKS[kind] if wanted else None
        else:
            value = None if options.get("forceInput") else (CHEAP | given).get(name, options.get("default", "a face"))
        inputs |= {} if value is None else {name: value}
    itself = entry(node, **inputs)
    sink = entry("PreviewAny", source=["node", 0])
    return needed(base | {"node": itself, "sink": sink}, ["node", "sink"])


def cases(base: Graph, node: str, info: dict[str, Any], graph: Graph) -> Iterator[Case]:
    """The prompt with one thing wrong at a time."""

    def changed(name: str, value: Any, extra: Graph | None = None) -> Graph:
        made = copy.deepcopy(base | graph | (extra or {}))
        made["node"]["inputs"][name] = value
        return needed(made, ["node", "sink"])

    yield Case(node, "an unknown input", changed("surprise", "\u202eboo"))
    for name, (kind, _) in inputs_of(info).items():
        if name in graph["node"]["inputs"] and name in info["input"].get("required", {}):
            without = copy.deepcopy(graph)
            del without["node"]["inputs"][name]
            yield Case(node, f"without {name}", needed(without, ["node", "sink"]))
        for value in VALUES.get(kind, LITERALS):
            if name == ON_THE_HUB[0] and isinstance(value, str) and ON_THE_HUB[1].fullmatch(value):
                continue
            if kind == "STRING" and value not in texts_for(node, name):
                continue
            yield Case(node, f"{name} = {value!r:.40}", changed(name, value))
        for link in WRONG_LINKS if name == next(iter(inputs_of(info))) else WRONG_LINKS[:1]:
            yield Case(node, f"{name} linked to {link}", changed(name, link))
        if kind == "IMAGE":
            for values in PICTURES:
                extra = {"pictures": entry("Probe_Pictures", **values)}
                yield Case(node, f"{name} of {values}", changed(name, ["pictures", 0], extra))


def texts_for(node: str, name: str) -> list[Any]:
    """The texts that an input is given: where one takes long, those that tell most."""
    if node in TRAINING:
        return NAMES
    return [None, "", "a\0b"] if node in ENCODED and name != "dataset" else VALUES["STRING"]


def outcome(host: Host, case: Case, answer: Any) -> Outcome:
    if not isinstance(answer, dict) or "prompt_id" not in answer:
        return Outcome(case, refused=json.dumps(answer))
    if answer["node_errors"]:  # refused in part: other nodes run
        return Outcome(case, refused=json.dumps(answer["node_errors"]))
    result = host.wait(answer["prompt_id"])
    kinds = [data["exception_type"] for event, data in result.entry["status"]["messages"] if event == "execution_error"]
    return Outcome(case, message=result.message, raised="".join(kinds), succeeded=result.succeeded)


def files(host: Host) -> set[Path]:
    """All files in the base directory, but those that nodes are there to write, and the host's own."""
    own = [host.datasets.parent, host.models, host.base / "temp", host.log, host.base / "comfyui.db"]
    return {
        path
        for path in host.base.rglob("*")
        if "__pycache__" not in path.parts and not any(path == one or one in path.parents for one in own)
    }


@dataclass(frozen=True)
class Fuzzed:
    outcomes: list[Outcome]
    inputs: set[tuple[str, str]]
    new_files: set[Path]


@pytest.fixture(scope="module")
def fuzzed(host: Host, astronaut: np.ndarray, checkpoint: str) -> Fuzzed:
    """All prompts queued, one after the other, and what came of each."""
    if not host.has_weights:
        pytest.skip("no checkpoint with a CLIP to link")
    photo = host.put_picture("fuzzed.png", astronaut[0:256, 96:352])
    dataset = collect(host, "fuzzed", 70)
    base = base_graph(photo, "random_sd15.safetensors")
    save = entry(f"{PREFIX}SavePerception", perception=["faces", 0], name="fuzzed", overwrite=True)
    assert host.run(base | {"save": save}).succeeded
    given = {"dataset": dataset, "checkpoint": checkpoint}
    nodes = {name: info for name, info in host.get("/object_info").items() if name.startswith(PREFIX)}
    before, elsewhere = files(host), set(Path("/tmp").glob("perception_clip_fuzz*"))
    outcomes, inputs = [], set()
    for node, info in nodes.items():
        own = given | ({"dataset": "fuzzed_anew"} if node.endswith("DatasetWriter") else {})
        graph = sound(base, node, info, own)
        inputs |= {(node, name) for name in inputs_of(info)}
        first = host.run(graph)
        assert first.succeeded, (node, first.message)
        queued = [(case, host.post("/prompt", {"prompt": case.graph})) for case in cases(base, node, info, graph)]
        outcomes += [outcome(host, case, answer) for case, answer in queued]
    return Fuzzed(
        outcomes, inputs, (files(host) - before) | set(Path("/tmp").glob("perception_clip_fuzz*")) - elsewhere
    )


def test_every_input_was_tried(fuzzed: Fuzzed) -> None:
    tried = {(one.case.node, re.split(" = | linked| of", one.case.what)[0]) for one in fuzzed.outcomes}
    assert fuzzed.inputs <= tried and len({node for node, _ in fuzzed.inputs}) >= 16
    assert any(one.refused for one in fuzzed.outcomes) and any(one.message for one in fuzzed.outcomes)


def test_what_is_refused_is_refused_with_words(fuzzed: Fuzzed) -> None:
    wordless = [
        f"{one.case}: {one.refused:.300}" for one in fuzzed.outcomes if one.refused and '"message"' not in one.refused
    ]
    assert not wordless, "\n".join(wordless)


def test_errors_are_sentences(fuzzed: Fuzzed) -> None:
    wrong = [
        f"{one.case}: {one.raised}: {one.message:.300}"
        for one in fuzzed.outcomes
        if not one.refused and not one.succeeded and (GIBBERISH.search(one.message) or len(one.message.split()) < 5)
    ]
    assert not wrong, "\n".join(wrong)


def test_messages_name_what_is_wrong(fuzzed: Fuzzed) -> None:
    """By its name, or its kind at least, or by its value."""
    nameless = []
    for one in fuzzed.outcomes:
        name, _, value = one.case.what.partition(" = ")
        words = CALLED.get(name, name.split("_")[0]), value
        if value and not one.succeeded and not any(word in one.refused + one.message for word in words):
            nameless.append(f"{one.case}: {one.refused or one.message:.300}")
    assert not nameless, "\n".join(nameless)


def test_nothing_is_written_elsewhere(fuzzed: Fuzzed) -> None:
    assert not fuzzed.new_files


def test_the_server_goes_on(fuzzed: Fuzzed, host: Host, photos: dict[str, str]) -> None:
    assert host.process.poll() is None
    graph = {
        "photo": entry("LoadImage", image=photos["astronaut"]),
        "node": entry(f"{PREFIX}FacePerception", image=["photo", 0]),
    }
    assert host.run(graph).text("node").startswith("1 face in 1 picture")
