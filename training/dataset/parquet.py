"""Export of a dataset as a Parquet file: the columns and meta of training_data.npz, one row per sample."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import MissingLibraryError
from ...common.files import atomic_path
from ...perception.vector import PERCEPTION_DIM
from ...projection.spaces import EMBEDDING
from .npz import ALWAYS, description
from .npz_file import DatasetError
from .samples import TEXTS, Provenance, Samples
from .snapshot import Snapshot
from .store import Store

if TYPE_CHECKING:
    import pyarrow

META = b"perception_clip"  # the schema's metadata contains the meta under this key, as JSON
ROWS = 2048  # of a row group: 25 MB, 68 in the sdxl space


def export_parquet(store: Store, path: Path) -> int:
    """Write all samples of `store`, as of this moment, to a Parquet file in constant memory, and return their number.

    Vectors are fixed-size lists of float32. Raises DatasetError if there are no samples, MissingLibraryError without
    pyarrow.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise MissingLibraryError(
            'Parquet files need pyarrow: run `pip install pyarrow`, or `pip install "perception-clip[scale]"`'
        ) from error
    with store.snapshot() as snapshot:
        if snapshot.provenance is None:
            raise DatasetError(f"{store.path}: the dataset has no samples yet; build or record some first")
        schema = _schema(snapshot, snapshot.provenance)
        texts = [name for name in schema.names if name in TEXTS]  # numbers hardly ever repeat
        with (
            atomic_path(Path(path)) as temporary,
            parquet.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=texts) as file,
        ):
            for table in _tables(snapshot, schema):
                file.write_table(table)
        return len(snapshot)


def _schema(snapshot: Snapshot, provenance: Provenance) -> pyarrow.Schema:
    import pyarrow

    widths = {"perception_embeddings": PERCEPTION_DIM, "clip_embeddings": EMBEDDING, **snapshot.added_targets}
    columns = {name: pyarrow.list_(pyarrow.float32(), width) for name, width in widths.items()}
    if snapshot.has_image_sizes:
        columns["image_sizes"] = pyarrow.list_(pyarrow.int32(), 2)
    columns |= {name: pyarrow.string() for name in TEXTS if name in ALWAYS or snapshot.longest(name)}
    if snapshot.has_scores:
        columns["scores"] = pyarrow.float32()
    fields = [pyarrow.field(name, kind, nullable=False) for name, kind in columns.items()]
    return pyarrow.schema(fields, metadata={META: json.dumps(description(provenance))})


def _tables(snapshot: Snapshot, schema: pyarrow.Schema) -> Iterator[pyarrow.Table]:
    import pyarrow

    for samples in snapshot.samples(batch=ROWS):
        arrays = [_column(samples, field.name, field.type) for field in schema]
        yield pyarrow.Table.from_arrays(arrays, schema=schema)


def _column(samples: Samples, name: str, kind: pyarrow.DataType) -> pyarrow.Array:
    import pyarrow

    values = _values(samples, name)
    if isinstance(values, list):
        return pyarrow.array(values, kind)
    if values.ndim == 1:
        return pyarrow.array(values)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.ascontiguousarray(values).reshape(-1)), type=kind)


def _values(samples: Samples, name: str) -> NDArray[Any] | list[str]:
    names = {"perception_embeddings": "perceptions", "clip_embeddings": "embeddings"}
    values: NDArray[Any] | list[str] = (
        samples.added_targets[name] if name in samples.added_targets else getattr(samples, names.get(name, name))
    )
    return values
