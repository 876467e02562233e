"""New prompts for the samples of a dataset."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ...common.errors import PerceptionClipError
from ...projection.spaces import EMBEDDING, added_targets
from ..encoders.base import KnownPrompts, TextEncoder, fingerprint
from ..prompts.labels import label_key
from ..prompts.templates import Templates
from .copying import SampleSource, copy_samples, reencode, with_prompts, with_vectors
from .samples import Provenance, Samples
from .store import Store

OLD, NEW = "old", "new"  # columns of a map


class RelabelError(PerceptionClipError, ValueError):
    """Raised for a dataset that cannot be relabeled as requested; the message gives the reason."""


class Relabeling:
    """Assigns new prompts to samples: by label, else from templates, else by old prompt, else the old one.

    Args:
        prompts: old prompt → new prompt.
        labels: label, in any spelling → prompt, for all samples with this label.
        templates: generate `count` prompts from each label, as `build` does; samples without a label keep theirs.
        count: the number of prompts per label.
    """

    def __init__(
        self,
        prompts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        templates: Templates | None = None,
        count: int = 1,
    ) -> None:
        self._prompts = dict(prompts or {})
        self._labels = {label_key(name): (name, prompt) for name, prompt in (labels or {}).items()}
        self._templates, self._count = templates, count
        self._used: set[str] = set()
        self.changed = 0  # samples with changed prompts
        self.unlabeled = 0  # samples without a label for the templates

    def __call__(self, samples: Samples) -> list[tuple[str, ...]]:
        """Return the same as `prompts`, and count the changes."""
        prompts = self.prompts(samples)
        self.changed += sum(new != (old,) for new, old in zip(prompts, samples.prompts, strict=True))
        if self._templates is not None:
            self.unlabeled += samples.labels.count("")
        return prompts

    def prompts(self, samples: Samples) -> list[tuple[str, ...]]:
        """Return the new prompts of each of N samples."""
        rows = zip(samples.prompts, samples.labels, samples.sources, strict=True)
        return [self._of(prompt, label, source) for prompt, label, source in rows]

    @property
    def unused(self) -> list[str]:
        """The old prompts and labels that no sample has."""
        return [
            name for name in (*self._prompts, *(name for name, _ in self._labels.values())) if name not in self._used
        ]

    def _of(self, prompt: str, label: str, source: str) -> tuple[str, ...]:
        if chosen := self._labels.get(label_key(label)):
            self._used.add(chosen[0])
            return (chosen[1],)
        if self._templates is not None and label:
            return self._templates.prompts(label, {}, source, self._count)
        if prompt in self._prompts:
            self._used.add(prompt)
            return (self._prompts[prompt],)
        return (prompt,)


def relabel(source: SampleSource, target: Store, relabeling: Relabeling, encoder: TextEncoder | None = None) -> int:
    """Append the samples of `source` with new prompts, and return how many were new to `target`.

    New prompts that `source` has with other faces keep their vectors; the others are encoded by `encoder`, which must
    be the encoder of the old ones. If `source` has no subject vectors, neither do the new prompts. Samples with the
    same face and the same new prompt become one. Raises RelabelError, before anything is appended, for another encoder,
    or if an encoder is needed and missing.
    """
    provenance = source.provenance
    if provenance is None:
        return 0
    if encoder is not None:
        check_encoder(source, encoder)
    known = _known(source, provenance, relabeling, encoder)

    def change(samples: Samples) -> Samples:
        changed, other = with_prompts(samples, relabeling(samples))
        return with_vectors(changed, target, known, where=other)

    return copy_samples(source, target, change=change)


def relabel_anew(source: SampleSource, target: Store, relabeling: Relabeling, encoder: TextEncoder) -> int:
    """Relabel like `relabel`, but encode all prompts, new and old, with `encoder`, which may be any."""
    return reencode(source, target, encoder, change=lambda samples: with_prompts(samples, relabeling(samples))[0])


def _known(
    source: SampleSource, provenance: Provenance, relabeling: Relabeling, encoder: TextEncoder | None
) -> KnownPrompts:
    """Return the new prompts with their vectors, from `source` or encoded now.

    Raises RelabelError if an encoder is needed and missing.
    """
    new: dict[str, None] = {}
    for samples in source.samples():
        for old, prompts in zip(samples.prompts, relabeling.prompts(samples), strict=True):
            new.update(dict.fromkeys(prompt for prompt in prompts if prompt != old))
    known: dict[str, dict[str, Tensor]] = {}
    for samples in source.samples() if new else ():
        for row, prompt in enumerate(samples.prompts):
            if prompt in new and prompt not in known:
                known[prompt] = {name: torch.tensor(values[row]) for name, values in samples.targets().items()}
    missing = [prompt for prompt in new if prompt not in known]
    if missing and encoder is None:
        raise RelabelError(
            f"the dataset has no vector for {len(missing)} of the new prompts, such as {missing[0]!r}: pass "
            f"--text-encoder with the encoder of the old ones, {provenance.encoder!r}, or --re-encode with any other"
        )
    if missing and encoder is not None:
        encoded = {"embeddings": encoder.encode(missing), **encoder.added_targets(missing)}
        for row, prompt in enumerate(missing):
            known[prompt] = {name: values[row] for name, values in encoded.items()}
    widths = {"embeddings": EMBEDDING, **added_targets(provenance.space, source.has_subject)}
    targets = {
        name: torch.stack([known[prompt][name] for prompt in new]) if new else torch.empty(0, width)
        for name, width in widths.items()
    }
    return KnownPrompts(provenance.encoder, provenance.space, list(new), targets.pop("embeddings"), targets)


def read_map(path: Path) -> dict[str, str]:
    """Return the new prompts by old prompt from a CSV with the columns old and new.

    Raises RelabelError, naming the line, for an invalid file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = {OLD, NEW} - set(reader.fieldnames or ())
            if missing:
                raise RelabelError(f"{path}: the first line must name the columns {OLD},{NEW}")
            new_of: dict[str, str] = {}
            for row in reader:
                old, new = row[OLD], row[NEW]
                where = f"{path}, line {reader.line_num}"
                if not old or not old.strip():
                    raise RelabelError(f"{where}: there is no old prompt for {new!r}; add one or remove the line")
                if not new or not new.strip():
                    raise RelabelError(f"{where}: there is no new prompt for {old!r}; add one or remove the line")
                if new_of.setdefault(old, new) != new:
                    raise RelabelError(f"{where}: {old!r} has two new prompts, {new_of[old]!r} and {new!r}; keep one")
    except (csv.Error, UnicodeDecodeError) as error:
        raise RelabelError(
            f"{path}: the file is not a CSV in UTF-8 ({error}); save it as one with the columns {OLD},{NEW}"
        ) from error
    except OSError as error:
        raise RelabelError(
            f"{path}: the file cannot be read ({error.strerror}); pass a CSV with the columns {OLD},{NEW}"
        ) from error
    if not new_of:
        raise RelabelError(f"{path}: the file maps no prompts; add lines of the form old prompt,new prompt")
    return new_of


def pair_up(labels: Sequence[str], prompts: Sequence[str]) -> dict[str, str]:
    """Return the prompts by label. Raises RelabelError for unequal numbers, or a label that is there twice."""
    if len(labels) != len(prompts):
        raise RelabelError(f"pass one --to-prompt for each --from-label: there are {len(prompts)} for {len(labels)}")
    keys = [label_key(label) for label in labels]
    for number, key in enumerate(keys):
        if key in keys[:number]:
            raise RelabelError(
                f"--from-label {labels[number]!r} is the same label as {labels[keys.index(key)]!r}; remove one"
            )
    return dict(zip(labels, prompts, strict=True))


def check_encoder(source: SampleSource, encoder: TextEncoder) -> None:
    """Raise RelabelError unless `encoder` is the encoder of the vectors of `source`."""
    provenance = source.provenance
    if provenance is None:
        return
    with_encoder = Provenance(
        encoder.identity, fingerprint(encoder).numpy(), provenance.landmarker, provenance.emotion_model, encoder.space
    )
    differences = provenance.differences(with_encoder)
    if differences:
        raise RelabelError(
            f"the dataset's prompts were encoded with the {' and the '.join(differences)}: pass their encoder, or "
            "--re-encode to re-encode all prompts"
        )
