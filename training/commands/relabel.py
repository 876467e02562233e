"""`relabel`: change the prompts of a dataset → another dataset."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ...common.errors import InputError
from ...common.words import counted
from ..dataset.opening import OUT_HELP, open_dataset, open_output
from ..dataset.relabelling import Relabelling, pair_up, read_map, relabel, relabel_anew
from ..encoders.loading import load_encoder
from ..prompts.templates import Templates
from .options import add_device_argument, add_encoder_arguments, positive

SHIPPED = "shipped"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="my.db or training_data.npz; it is not modified")
    parser.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    parser.add_argument("--map", type=Path, metavar="CSV", help="a CSV with the columns old and new: prompts")
    parser.add_argument(
        "--from-label", action="append", default=[], metavar="LABEL", help="all samples with this label …"
    )
    parser.add_argument(
        "--to-prompt", action="append", default=[], metavar="TEXT", help="… get this prompt; both can be repeated"
    )
    parser.add_argument(
        "--templates",
        nargs="?",
        const=SHIPPED,
        metavar="FILE",
        help="generate prompts from the labels, with your templates or, without FILE, with the pack's",
    )
    parser.add_argument(
        "--prompts-per-sample",
        type=positive,
        default=1,
        metavar="N",
        help="number of prompts generated from a label; each becomes a sample (default: %(default)s)",
    )
    add_encoder_arguments(parser)
    parser.add_argument(
        "--re-encode", action="store_true", help="re-encode all prompts, with the dataset's text encoder or another one"
    )
    add_device_argument(parser)
    parser.set_defaults(space=None)  # the dataset's
    parser.epilog = (
        "Prompts that are new to the dataset need --text-encoder with the encoder of the dataset's other prompts; it "
        "has no default. With --re-encode, any encoder of the space works, and the default is the space's."
    )


def run(options: argparse.Namespace) -> int:
    given = (options.map, options.from_label, options.to_prompt, options.templates)
    if not any(given) and not options.re_encode:
        raise InputError("nothing to change; add --map, --from-label and --to-prompt, --templates or --re-encode")
    if options.prompts_per_sample > 1 and not options.templates:
        raise InputError("--prompts-per-sample only works with --templates; add --templates")
    templates = None
    if options.templates:
        templates = Templates.load(None if options.templates == SHIPPED else Path(options.templates))
    relabelling = Relabelling(
        prompts=read_map(options.map) if options.map else None,
        labels=pair_up(options.from_label, options.to_prompt),
        templates=templates,
        count=options.prompts_per_sample,
    )
    with open_output(options.out, [options.file]) as target, open_dataset(options.file) as source:
        if source.provenance is None:
            raise InputError(f"{options.file}: the dataset has no samples")
        load = partial(
            load_encoder,
            device=options.device,
            tokenizer=options.tokenizer,
            space=options.space or source.provenance.space,
        )
        if options.re_encode:
            new = relabel_anew(source, target, relabelling, load(options.text_encoder))
        else:
            encoder = None if options.text_encoder is None else load(options.text_encoder)
            new = relabel(source, target, relabelling, encoder)
        total = len(source)
    if relabelling.unused:
        print(f"not used, because the dataset does not have them: {', '.join(map(repr, relabelling.unused))}")
    if relabelling.unlabelled:
        print(f"{counted(relabelling.unlabelled, 'sample')} without a label: no prompts were generated from templates")
    print(f"{relabelling.changed:,} of {counted(total, 'sample')} with changed prompts; {new:,} new in {options.out}")
    return 0
