"""New prompts for the samples of a dataset."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from .encoders import TextEncoder, fingerprint
from .prompts import Templates
from .rows import Rows
from .samples import Binding, Samples
from .store import Store
from .transfer import copy_samples, reencode, with_prompts, with_vectors

OLD, NEW = "old", "new"  # columns of a map


class RelabelError(ValueError):
    """A dataset that cannot be relabelled as asked; the message says why."""


class Relabelling:
    """Gives samples their new prompts; by label, else from templates, else by old prompt, else the old one.

    Args:
        prompts: old prompt → new prompt.
        labels: label → prompt, for all samples with it.
        templates: make `count` prompts from each label, as `build` does; samples without a label keep theirs.
    """

    def __init__(
        self,
        prompts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        templates: Templates | None = None,
        count: int = 1,
    ) -> None:
        self._prompts, self._labels = dict(prompts or {}), dict(labels or {})
        self._templates, self._count = templates, count
        self._used: set[str] = set()
        self.changed = 0  # samples that got other prompts
        self.unlabelled = 0  # samples that have no label for the templates

    def __call__(self, samples: Samples) -> list[tuple[str, ...]]:
        """N samples → the new prompts of each."""
        rows = zip(samples.prompts, samples.labels, samples.sources, strict=True)
        found = [self._of(prompt, label, source) for prompt, label, source in rows]
        self.changed += sum(new != (old,) for new, old in zip(found, samples.prompts, strict=True))
        return found

    @property
    def unused(self) -> list[str]:
        """Old prompts and labels of which no sample was seen."""
        return [name for name in (*self._prompts, *self._labels) if name not in self._used]

    def _of(self, prompt: str, label: str, source: str) -> tuple[str, ...]:
        if label in self._labels:
            self._used.add(label)
            return (self._labels[label],)
        if self._templates is not None:
            if label:
                return self._templates.prompts(label, {}, source, self._count)
            self.unlabelled += 1
        if prompt in self._prompts:
            self._used.add(prompt)
            return (self._prompts[prompt],)
        return (prompt,)


def relabel(source: Rows, target: Store, relabelling: Relabelling, encoder: TextEncoder, *, anew: bool = False) -> int:
    """Append the samples of `source` with new prompts, and return how many were new to `target`.

    New prompts are encoded by `encoder`, which must be what encoded the old ones; or all are encoded `anew` by any.
    Samples with the same face that get the same prompt become one. Raises RelabelError for another encoder.
    """
    if anew:
        return reencode(source, target, encoder, change=lambda samples: with_prompts(samples, relabelling(samples))[0])
    check_encoder(source, encoder)

    def change(samples: Samples) -> Samples:
        changed, other = with_prompts(samples, relabelling(samples))
        return with_vectors(changed, target, encoder, where=other)

    return copy_samples(source, target, change=change)


def read_map(path: Path) -> dict[str, str]:
    """A CSV with the columns old and new → old prompt → new prompt. Raises RelabelError, naming the line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            missing = {OLD, NEW} - set(reader.fieldnames or ())
            if missing:
                raise RelabelError(f"{path}: its first line must name the columns {OLD},{NEW}")
            found: dict[str, str] = {}
            for row in reader:
                old, new = row[OLD], row[NEW]
                where = f"{path}, line {reader.line_num}"
                if not new or not new.strip():
                    raise RelabelError(f"{where}: there is no new prompt for {old!r}; give one, or leave the line out")
                if found.setdefault(old, new) != new:
                    raise RelabelError(f"{where}: {old!r} has two new prompts, {found[old]!r} and {new!r}; keep one")
    except (csv.Error, UnicodeDecodeError) as error:
        raise RelabelError(
            f"{path}: no CSV in UTF-8 ({error}); save it as one, with the columns {OLD},{NEW}"
        ) from error
    if not found:
        raise RelabelError(f"{path}: it maps nothing; give lines of the form old prompt,new prompt")
    return found


def pair_up(labels: Sequence[str], prompts: Sequence[str]) -> dict[str, str]:
    """Labels and their prompts, one each. Raises RelabelError for unequal numbers, or a label with two prompts."""
    if len(labels) != len(prompts):
        raise RelabelError(f"give one --to-prompt for each --from-label: there are {len(prompts)} for {len(labels)}")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise RelabelError(f"--from-label {twice[0]!r} is given twice")
    return dict(zip(labels, prompts, strict=True))


def check_encoder(source: Rows, encoder: TextEncoder) -> None:
    """Raise RelabelError unless `encoder` made the vectors of `source`."""
    binding = source.binding
    if binding is None:
        return
    given = Binding(
        encoder.identity, fingerprint(encoder).numpy(), binding.landmarker, binding.emotion_model, encoder.space
    )
    differences = binding.differences(given)
    if differences:
        raise RelabelError(
            f"the dataset's prompts were encoded with the {' and the '.join(differences)}: pass what encoded them, or "
            "--re-encode to encode all prompts anew"
        )
