"""A build distributed over processes or machines by Ray Data: each SHARD_SIZE items become a shard, an NPZ.

Every shard is a small separate build, so the shards in order contain the samples of a plain build. A shard is written
completely or not at all: after an interruption or the death of a worker, a build continues with the missing shards.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...common.errors import MissingLibraryError
from ...common.files import atomic_path
from ...perception.pipeline import PerceptionPipeline
from ..dataset.npz import export, import_npz, load
from ..dataset.store import Store
from ..encoders.base import KnownPrompts, fingerprint
from ..sources.items import SourceItem
from .build import BuildSummary, Progress, build
from .item_reader import BuildOptions

SHARD_SIZE = 64  # items

RAY_MISSING = (
    'Ray is not installed; --engine ray needs it: pip install "ray[data]" pyarrow (the extra `scale` of this pack), '
    "or remove --engine"
)

PACKAGE = "perception_clip"
PACK_NOT_INSTALLED = (
    "Ray's processes can only import installed packages: run `pip install --no-deps .` in this pack's folder (on every "
    "machine of a cluster), or remove --engine"
)


@dataclass(frozen=True)
class Job:
    """Everything a worker needs; Ray sends it to each worker."""

    items: Sequence[SourceItem]
    options: BuildOptions
    encoded: KnownPrompts  # all prompts of the items, and the probe sentence
    make_pipeline: Callable[[], PerceptionPipeline]
    folder: Path  # of the shards; all machines must access it, and the items, under the same names
    landmarker: str  # identities of the models of `make_pipeline`
    emotion_model: str
    order: str  # of its faces
    batch: int
    shard_size: int = SHARD_SIZE  # items

    def shard_items(self, number: int) -> Sequence[SourceItem]:
        return self.items[number * self.shard_size : (number + 1) * self.shard_size]

    def shard(self, number: int) -> Path:
        """Return the path of a shard; its name depends on all inputs except the bytes of the files."""
        prompts = [self.options.prompts(item) for item in self.shard_items(number)]
        options = (self.options.every, self.options.only_changes, self.options.finding, self.order)
        inputs = repr((self.shard_items(number), prompts, *options))
        models = f"{self.encoded.identity} {self.landmarker} {self.emotion_model}"
        digest = hashlib.sha256(f"{inputs} {self.batch} {models}".encode()).hexdigest()
        return self.folder / f"{number:06d}-{digest[:12]}.npz"


class ShardBuilder:
    """A Ray worker: it keeps the models and builds shards with them."""

    def __init__(self, job: Any) -> None:
        """Load the models for `job`, a reference to a Job in Ray's store."""
        import ray

        self._job: Job = ray.get(job)
        self._pipeline = self._job.make_pipeline()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Build the shards with these numbers, and return their summaries as JSON."""
        summaries = [build_shard(self._job, int(number), self._pipeline) for number in batch["shard"]]
        return {"shard": batch["shard"], "summary": [json.dumps(asdict(summary)) for summary in summaries]}


def build_shard(job: Job, number: int, pipeline: PerceptionPipeline) -> BuildSummary:
    """Build a shard if it does not exist or if its files have changed, and return its summary."""
    shard = job.shard(number)
    note = shard.with_suffix(".json")
    content = _content(job.shard_items(number))
    if note.exists():
        result = json.loads(note.read_text(encoding="utf-8"))
        if result["content"] == content:
            return BuildSummary(**result["summary"])
    summary = BuildSummary()
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "shard.db") as store:
        build(
            job.shard_items(number),
            store,
            pipeline,
            job.encoded,
            job.options,
            batch=job.batch,
            workers=1,  # Ray has a worker for every core
            summary=summary,
        )
        if summary.samples:
            export(store, shard)
    with atomic_path(note) as temporary:  # last, because it marks the shard as complete
        temporary.write_text(json.dumps({"content": content, "summary": asdict(summary)}), encoding="utf-8")
    return summary


def _content(items: Sequence[SourceItem]) -> str:
    """Return the SHA-256, in hexadecimal, of the contents of these items; unreadable ones count as a NUL byte."""
    digest = hashlib.sha256()
    for item in items:
        try:
            digest.update(item.media.digest())
        except OSError:
            digest.update(b"\0")
    return digest.hexdigest()


def build_shards(
    job: Job, store: Store, *, workers: int, address: str | None, progress: Progress, summary: BuildSummary
) -> None:
    """Build all missing shards of a job, and append all shards in order to `store`.

    Ray is started on this machine with `workers` processes, or joined at `address`. Workers that die are replaced, and
    their unfinished work is repeated. Raises MissingLibraryError if Ray is not installed, StoreError if the store's
    samples were created with other models.
    """
    # Before the work, because samples that do not fit the store would be useless.
    store.set_provenance(
        job.encoded.identity, fingerprint(job.encoded), job.landmarker, job.emotion_model, space=job.encoded.space
    )
    numbers = range(-(-len(job.items) // job.shard_size))
    done: dict[int, BuildSummary] = {}
    with _ray(workers, address) as ray:
        shared = ray.put(job)  # kept until the end, because a replacement worker requests it again
        dataset = ray.data.from_items([{"shard": number} for number in numbers], override_num_blocks=len(numbers))
        results = dataset.map_batches(
            ShardBuilder,
            fn_constructor_args=(shared,),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
        )
        so_far = BuildSummary()
        for row in results.iter_rows():
            part = BuildSummary(**json.loads(row["summary"]))
            done[int(row["shard"])] = part
            so_far.add(part)
            progress(min(len(done) * job.shard_size, len(job.items)), so_far)
    seen: set[str] = set()
    for number in numbers:
        part = done[number]
        if part.samples:
            _merge_shard(job.shard(number), store, part, seen)
        summary.add(part)


def _merge_shard(shard: Path, store: Store, part: BuildSummary, seen: set[str]) -> None:
    """Append a shard, and correct its summary: some of its pictures may be in the store or in an earlier shard.

    `seen` are the origins in the earlier shards; this shard's origins are added.
    """
    pictures: dict[tuple[str, str], bool] = {}  # source and origin → whether it has a new sample
    for samples in load(shard).samples():
        for source, origin, prompt in zip(samples.sources, samples.origins, samples.prompts, strict=True):
            known = not pictures.get((source, origin), False) and store.has(origin, prompt)
            pictures[source, origin] = not known
    known_origins = [origin for (_, origin), new in pictures.items() if not new]
    copies = sum(origin in seen for origin in known_origins)
    part.new -= len(known_origins)
    part.copies += copies
    part.known += len(known_origins) - copies
    part.samples = import_npz(shard, store)
    seen.update(origin for _, origin in pictures)


@contextmanager
def _ray(workers: int, address: str | None) -> Iterator[Any]:
    """Start Ray and yield it. Its workers import this pack by name, so it must be installed on every machine."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingLibraryError(RAY_MISSING) from error
    if not any(finder.find_spec(PACKAGE, None) for finder in sys.meta_path):
        raise MissingLibraryError(PACK_NOT_INSTALLED)
    ray.init(
        address=address,
        num_cpus=None if address else workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield ray
    finally:
        ray.shutdown()
