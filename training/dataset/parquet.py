"""Export of a dataset as a Parquet file: the columns and meta of training_data.npz, one row per sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import MissingLibraryError
from ...common.files import atomic_path
from .npz import members
from .npz_file import Member
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
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingLibraryError(
            'Parquet files need pyarrow: run `pip install pyarrow`, or `pip install "perception-clip[scale]"`'
        ) from error
    with store.snapshot() as snapshot:
        *columns, meta = members(snapshot, store, batch=ROWS)
        fields = [pyarrow.field(column.name, _kind(column), nullable=False) for column in columns]
        schema = pyarrow.schema(fields, metadata={META: str(meta.in_memory())})
        texts = [column.name for column in columns if column.dtype.kind == "U"]  # numbers hardly ever repeat
        with (
            atomic_path(Path(path)) as temporary,
            parquet.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=texts) as file,
        ):
            for pieces in zip(*(column.pieces for column in columns), strict=True):
                arrays = [_array(piece, kind) for piece, kind in zip(pieces, schema.types, strict=True)]
                file.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
        return len(snapshot)


def _kind(column: Member) -> pyarrow.DataType:
    import pyarrow

    kind = pyarrow.string() if column.dtype.kind == "U" else pyarrow.from_numpy_dtype(column.dtype)
    return kind if len(column.shape) == 1 else pyarrow.list_(kind, column.shape[1])


def _array(piece: NDArray[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    import pyarrow

    if piece.ndim == 1:
        return pyarrow.array(piece, kind)
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.ascontiguousarray(piece).reshape(-1)), type=kind)
