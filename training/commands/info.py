"""`info`: summarize a dataset and report its problems."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from ..dataset.opening import open_dataset, versions_of
from ..inspection.checks import inspect_survey
from ..inspection.survey import survey
from ..inspection.text import describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="my.db or training_data.npz")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, with all counts")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="also write plots to this folder; needs matplotlib (extra `train`)"
    )


def run(options: argparse.Namespace) -> int:
    if options.report is not None:
        from ..reports.dataset_report import require_matplotlib, write_report

        require_matplotlib()
    with open_dataset(options.file) as rows, tqdm(total=len(rows), desc="reading", unit="sample", leave=False) as bar:
        seen, versions = survey(rows, bar.update), versions_of(rows)
    inspection = inspect_survey(seen, options.file, versions)
    print(json.dumps(inspection.as_dict(), indent=2, ensure_ascii=False) if options.json else describe(inspection))
    if options.report is not None:
        index = write_report(inspection, seen, options.report)
        if not options.json:
            print(f"plots: {index}")
    return 0
