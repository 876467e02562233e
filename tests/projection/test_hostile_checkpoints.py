"""Checkpoints made to harm: refused with a message that names the file, in no time, with hardly any memory."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from perception_clip.perception.vector import PERCEPTION_DIM
from perception_clip.projection.checkpoint import Checkpoint, Metadata, load, save
from perception_clip.projection.checkpoint_file import METADATA_KEY, CheckpointError, read
from perception_clip.projection.network import Architecture
from perception_clip.projection.opening import open_projection

SECONDS, MEMORY = 1.0, 200e6  # at most, of the processor's time, and bytes
PROTOCOL, STOP, MARK, TUPLE, REDUCE, EMPTY_DICT, SETITEM = b"\x80\x02", b".", b"(", b"t", b"R", b"}", b"s"
ORDERED = b"ccollections\nOrderedDict\n)R"

Write = Callable[[Path], object]


# --- files, byte by byte -----------------------------------------------------------------------------------------


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def numbers(values: tuple[int, ...]) -> bytes:
    return MARK + b"".join(map(number, values)) + TUPLE


def tensor(shape: tuple[int, ...], strides: tuple[int, ...], count: int, offset: int = 0, key: str = "0") -> bytes:
    """A tensor's pickle: of that shape, on a storage that is said to have `count` numbers."""
    storage = (
        MARK + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(count) + TUPLE + b"Q"
    )
    place = number(offset) + numbers(shape) + numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + MARK + storage + place + b"\x89" + ORDERED + TUPLE + REDUCE


def named(name: str, value: bytes) -> bytes:
    """The pickle of a dictionary with one thing in it."""
    return PROTOCOL + EMPTY_DICT + text(name) + value + SETITEM + STOP


def pth(path: Path, content: bytes, **records: bytes) -> Path:
    """A .pth as torch writes it, with this pickle and these records; `data_0` is data/0."""
    writer = torch._C.PyTorchFileWriter(str(path))
    writer.write_record("data.pkl", content, len(content))
    for name, data in ({"byteorder": b"little", "data_0": bytes(12)} | records).items():
        writer.write_record(name.replace("_", "/"), data, len(data))
    writer.write_end_of_file()
    return path


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, twice: str = "") -> Path:
    """A zip with an end as torch writes it, and one of its members in the directory many times."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        if twice:
            archive.filelist += [archive.getinfo(twice)] * 1000
    content = path.read_bytes()
    head, end = content[:-22], content[-22:]
    count, size, offset = struct.unpack("<H2L", end[10:20])
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    path.write_bytes(head + wide + struct.pack("<4sLQL", b"PK\x06\x07", 0, len(head), 1) + end)
    return path


def claiming(*claims: Any, **others: Any) -> Write:
    """Writes a .pth of one tensor that claims this; see `tensor`."""
    return lambda path: pth(path, named("w", tensor(*claims, **others)))


def pickled(content: bytes, **records: bytes) -> Write:
    return lambda path: pth(path, content, **records)


def saved(content: object, **options: Any) -> Write:
    return lambda path: torch.save(content, path, **options)


def headed(header: bytes | dict[str, Any], data: bytes = bytes(12), size: int | None = None) -> Write:
    return lambda path: safetensors(path, header, data, size)


def safetensors(path: Path, header: bytes | dict[str, Any], data: bytes = b"", size: int | None = None) -> Path:
    """A file with this header, said to have `size` bytes."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if size is None else size) + raw + data)
    return path


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def sparse(path: Path, size: int, start: bytes = b"") -> Path:
    """A file that takes no room."""
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


# --- what they are refused for -----------------------------------------------------------------------------------

WEIGHT = tensor((3,), (1,), 3)
BYTES = b"c__builtin__\nbytearray\n"
KEY = b"(K\x01t" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(40))
PTH: dict[str, tuple[Write, str]] = {
    "a compressed record": (
        lambda path: zipped(
            path, {"a/data.pkl": named("w", tensor((5 * 10**7,), (1,), 5 * 10**7)), "a/data/0": bytes(2 * 10**8)}
        ),
        "parts of it are compressed",
    ),
    "a compressed pickle": (
        lambda path: zipped(path, {"a/data.pkl": named("w", text("x" * 10**8)), "a/byteorder": b"little"}),
        "parts of it are compressed",
    ),
    "one record many times": (
        lambda path: zipped(path, {"a/data.pkl": named("w", WEIGHT), "a/data/0": bytes(10**5)}, 0, "a/data/0"),
        "its parts claim 1001.* bytes",
    ),
    "a zip of another kind": (
        lambda path: zipfile.ZipFile(path, "w").writestr("../../x", b"x"),
        "damaged or contains objects",
    ),
    "something before the zip": (
        lambda path: path.write_bytes(b"PK\x03\x04" + pth(path, named("w", WEIGHT)).read_bytes()),
        "damaged or contains objects",
    ),
    "a large directory": (
        lambda path: zipped(path, {f"a/{number:0150}": b"" for number in range(22_000)}, 0),
        "the list of its parts has .* bytes",
    ),
    "a large pickle": (pickled(named("w", text("x" * 5 * 10**6))), "its pickle has 5000.* bytes"),
    "a long pickle": (pickled(PROTOCOL + b"}" * 4_000_000 + STOP), "too long or too deeply nested"),
    "a key that takes for ever to hash": (
        pickled(PROTOCOL + EMPTY_DICT + KEY + b"Ns."),
        "too long or too deeply nested",
    ),
    "strides of 0": (claiming((10**6, 10**6), (0, 0), 3), "claim 4000000000000 bytes"),
    "an overflowing shape": (claiming((2**32, 2**32), (0, 0), 3), "claim .* bytes|damaged"),
    "a shape beyond the storage": (claiming((10**5, 10**5), (10**5, 1), 3), "damaged|claim"),
    "a storage beyond its record": (claiming((10**9,), (1,), 10**9), "damaged|claim"),
    "an offset beyond the storage": (claiming((3,), (1,), 3, 10**15), "damaged|claim"),
    "a negative size": (claiming((-3,), (1,), 3), "damaged|claim"),
    "a negative storage": (claiming((3,), (1,), -3), "damaged|claim"),
    "a record that is not there": (claiming((3,), (1,), 3, key="../../x"), "damaged"),
    "big-endian numbers": (pickled(named("w", WEIGHT), byteorder=b"big"), "big-endian"),
    "gigabytes of bytes": (pickled(named("w", BYTES + number(10**11) + b"\x85R")), "could run code"),
    "a command": (pickled(named("w", b"cposix\nsystem\n" + text("touch x") + b"\x85R")), "could run code"),
    "a sparse tensor": (saved({"w": torch.zeros(10**3, 10**3).to_sparse()}), "could run code"),
    "a tensor without numbers": (saved({"w": torch.empty(10**6, 10**6, device="meta")}), "could run code"),
    "tensors without end": (saved({str(number): torch.zeros(1) for number in range(1500)}), "it contains 1500 tensors"),
    "a name without end": (saved({"x" * 10**6: torch.zeros(3)}), "has an invalid name"),
    "a name that hides": (saved({"\u202egnp.0": torch.zeros(3)}), "has an invalid name"),
    "no pickle": (pickled(b""), "damaged"),
    "a stack without end": (pickled(PROTOCOL + b"s" + STOP), "damaged"),
    "memory of nothing": (pickled(PROTOCOL + b"h\x07" + STOP), "damaged"),
    "a number": (pickled(PROTOCOL + b"K\x01" + STOP), "it contains no weights"),
    "methods that are none": (
        pickled(PROTOCOL + ORDERED + text("w") + WEIGHT + SETITEM + EMPTY_DICT + text("items") + b"K\x01sb."),
        "damaged",
    ),
    "the old format": (saved({}, _use_new_zipfile_serialization=False), "saved by torch 1.6 or newer"),
    "a bare pickle": (lambda path: path.write_bytes(pickle.dumps({"w": [1.0] * 9})), "damaged"),
    "a terabyte": (lambda path: sparse(path, 10**12), "it has 1000000000000 bytes"),
    "zeros": (lambda path: sparse(path, 10**8), "damaged"),
}
SAFE: dict[str, tuple[Write, str]] = {
    "a header beyond the file": (headed(b"{}", size=2**40), "its header has 1099511627776 bytes"),
    "a long header": (headed(b"{}" + b" " * 5 * 10**6, b""), "its header has 5000002 bytes"),
    "a deep header": (headed(b'{"a":' * 10**5, b""), "not a readable"),
    "deep lists in the header": (headed(b'{"a":' + b"[" * 10**6, b""), "not a readable"),
    "tensors beyond the file": (headed({"w": entry([10**9], 0, 4 * 10**9)}), "not a readable"),
    "an overflowing shape": (headed({"w": entry([2**62, 2**62], 0, 12)}), "not a readable"),
    "a shape of more than lies there": (headed({"w": entry([10**6, 10**6], 0, 12)}), "not a readable"),
    "tensors on one another": (headed({str(n): entry([3], 0, 12) for n in range(500)}), "not a readable"),
    "tensors without end": (
        headed({str(n): entry([0], 0, 0) for n in range(60_000)}, b""),
        "it contains 60000 tensors",
    ),
    "a name without end": (headed({"x" * 10**6: entry([3], 0, 12)}), "has an invalid name"),
    "numbers of another kind": (headed({"w": entry([12], 0, 12, "U8")}), "w has the unsupported type torch.uint8"),
    "no tensor": (headed(b"{}", b""), "it contains 0 tensors"),
    "text that is none": (headed(b'{"\xff\xfe": 1}', b""), "not a readable"),
    "a terabyte": (lambda path: sparse(path, 10**12, struct.pack("<Q", 2) + b"{}"), "it has 1000000000000 bytes"),
    "zeros": (lambda path: sparse(path, 10**8), "not a readable"),
}
BOTH: dict[str, tuple[Write, str]] = {
    "nothing": (Path.touch, "refused|not a readable"),
    "a folder": (Path.mkdir, "this is a folder; choose a checkpoint in it"),
    "a pipe": (lambda path: os.mkfifo(path), "this is not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "this is not a file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "there is no such checkpoint"),
    "a link to nowhere": (lambda path: path.symlink_to("../absent"), "there is no such checkpoint"),
    "a link to another file": (lambda path: path.symlink_to("/etc/hostname"), "refused|not a readable"),
}
CASES = [
    pytest.param(f"best_model{suffix}", *case, id=f"{name} ({suffix})")
    for suffix, cases in ((".pth", PTH | BOTH), (".safetensors", SAFE | BOTH))
    for name, case in cases.items()
]


def figure(name: str) -> int:
    """A figure of /proc/self/status, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def refusal(path: Path) -> str:
    """What is said of a file; and that it took hardly any time or memory to say so, and wrote nothing."""
    before = sorted(path.parent.rglob("*"))
    measurable = Path("/proc/self/clear_refs").exists()
    if measurable:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    taken, started = figure("VmHWM") if measurable else 0, time.process_time()
    with pytest.raises(CheckpointError) as error:
        open_projection(path)
    assert time.process_time() - started < SECONDS
    assert not measurable or figure("VmHWM") - taken < MEMORY
    assert sorted(path.parent.rglob("*")) == before
    said = str(error.value)
    assert said.startswith(f"{path}: ") and len(said) < 2000
    assert re.search("Use a checkpoint|choose a|retrain it|Train a checkpoint", said)
    return said


@pytest.mark.parametrize(("name", "write", "expected"), CASES)
def test_hostile_files_are_refused(tmp_path: Path, name: str, write: Write, expected: str) -> None:
    path = tmp_path / name
    write(path)
    assert re.search(expected, refusal(path))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_names_lead_nowhere(tmp_path: Path, suffix: str) -> None:
    """Names of tensors and of a zip's parts are words: nothing is written by them."""
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"theirs{suffix}"
    weights = {"../../x": torch.zeros(3), "/tmp/x": torch.zeros(3), "..\\x": torch.zeros(3)}
    torch.save(weights, path) if suffix == ".pth" else save_file(weights, path)
    assert "../../x: weight" in refusal(path) or "is not a linear layer" in refusal(path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "in", path]


def test_a_link_to_a_checkpoint_is_one(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Models are often linked from another disk."""
    save(checkpoint, tmp_path / "elsewhere")
    link = tmp_path / "linked.safetensors"
    link.symlink_to(tmp_path / "elsewhere" / "best_model.safetensors")
    assert load(link).metadata == checkpoint.metadata


def test_what_training_scripts_save_beside_the_weights_is_let_through(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(PERCEPTION_DIM, 64), torch.nn.ReLU(), torch.nn.Linear(64, 768))
    optimizer = torch.optim.AdamW([{"params": [parameter]} for parameter in network.parameters()])
    network(torch.ones(2, PERCEPTION_DIM)).sum().backward()
    optimizer.step()
    whole = {
        "model_state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "lr": [1e-3] * 99,
    }
    torch.save(whole, tmp_path / "theirs.pth")
    assert "1441 → 64 → 768" in open_projection(tmp_path / "theirs.pth").description  # type: ignore[union-attr]


# --- what a sound file says of itself ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Path:
    return save(checkpoint, tmp_path_factory.mktemp("sound"))


def described(sound: Path, text: str | None = None, built: dict[str, Any] | None = None, **changes: Any) -> Path:
    """The file with `text` as its description; or with changes in it, `built` those in its architecture."""
    content = read(sound)
    whole = dict(content.description or {})
    whole["architecture"] |= built or {}
    path = sound.with_name("changed.safetensors")
    text = json.dumps(whole | changes) if text is None else text
    save_file(content.tensors, path, metadata={METADATA_KEY: text})
    return path


@pytest.mark.parametrize(
    "text",
    ["[" * 10**6, '{"a":' * 10**5, "9" * 10**5, "{}", "null", "nonsense", '{"format_version": 1e999}', "\x00"],
    ids=lambda text: ascii(text[:9]),
)
def test_descriptions_that_are_none_are_refused(sound: Path, text: str) -> None:
    assert "damaged" in refusal(described(sound, text))


@pytest.mark.parametrize(
    "size", [{"width": 65536, "depth": 64}, {"components": 1434, "output": 65536}, {"width": 10**30}]
)
def test_architectures_of_another_size_allocate_nothing(sound: Path, size: dict[str, int]) -> None:
    assert "damaged or not a perception projection" in refusal(described(sound, built=size))


@pytest.mark.parametrize(
    "value", [None, True, -1, 1e300, "x", [], [1], {}, {"a": []}, "x" * 10**6], ids=lambda value: repr(value)[:9]
)
def test_values_of_another_kind_are_refused(sound: Path, value: object) -> None:
    """Never with another error than CheckpointError, whatever is said in place of what."""
    usual = {**asdict(Metadata()), "format_version": 0, "architecture": {}}
    for name, other in usual.items():
        try:
            load(described(sound, **{name: value}))
        except CheckpointError as error:
            assert "changed.safetensors" in str(error) and len(str(error)) < 2000
        else:
            assert type(value) is type(other), name
    for name in Architecture.__dataclass_fields__:
        with pytest.raises(CheckpointError, match="changed.safetensors"):
            load(described(sound, built={name: value}))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".pth", ".safetensors"]))
def test_a_changed_byte_is_refused_or_still_a_checkpoint(sound: Path, data: st.DataObject, suffix: str) -> None:
    content = bytearray(sound.with_suffix(suffix).read_bytes())
    front = data.draw(st.booleans())  # the header or the pickle; or anywhere, such as the zip's directory
    place = data.draw(st.integers(0, 2000 if front else len(content) - 1))
    content[-place if not front else place] = data.draw(st.integers(0, 255))
    path = sound.with_name(f"byte{suffix}")
    path.write_bytes(content)
    try:
        read(path)
        load(path)
    except CheckpointError as error:
        assert str(path) in str(error)
