"""Format an inspection as text, in lines of up to 100 columns."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping

from ...common.words import counted
from .inspection import Inspection
from .issues import times, with_near_duplicates

LINE_WIDTH = 100
NAMES, MOST_LABELS, MOST_OTHERS = 64, 30, 10  # maximum columns of a name; maximum lines of counts
LEAST = 22  # minimum columns of names, so that tables of short names align
FIELD = 17  # columns of the labels on the left
NO_SUBJECT = "none: a projection steers at the end of the text only; add them with `relabel --re-encode`"
FILLER = "\0"  # does not occur in the texts of a dataset


def describe(inspection: Inspection) -> str:
    """Return the whole inspection as text, ending with the summary."""
    lines = [f"{inspection.path}: {counted(inspection.samples, 'sample')}, {_bytes(inspection.file_bytes)}", ""]
    if inspection.samples:
        lines += [*_made_with(inspection), ""]
        for title, counts, most in (
            ("label", inspection.labels, MOST_LABELS),
            ("prompt", inspection.prompts, MOST_OTHERS),
            ("group", inspection.groups, MOST_OTHERS),
            ("split", inspection.splits, MOST_OTHERS),
        ):
            lines += [*_counts(title, counts, most, inspection.samples), ""]
        lines += [*_checks(inspection), ""]
    if inspection.issues:
        lines.append("issues:")
        lines += [line for issue in inspection.issues for line in _wrapped("  - ", issue.text)]
        lines.append("")
    return "\n".join([*lines, f"summary: {one_line_summary(inspection)}"])


def one_line_summary(inspection: Inspection) -> str:
    """Return the summary in one sentence."""
    stops = sum(issue.blocking for issue in inspection.issues)
    if stops:
        return f"not ready for training; fix the first {'issue' if stops == 1 else f'{stops} issues'}"
    if inspection.issues:
        return f"ready for training; check {counted(len(inspection.issues), 'issue')} first"
    return "ready for training; no problems found"


def shown(text: str, width: int = NAMES) -> str:
    """Return a text on one line of up to `width` columns: truncated, with spaces for unprintable characters."""
    plain = "".join(mark if mark.isprintable() else " " for mark in " ".join(text.split()))
    if columns(plain) <= width:
        return plain
    while columns(plain) > width - 1:
        plain = plain[:-1]
    return plain.rstrip() + "…"


def columns(text: str) -> int:
    """Return the number of terminal columns that a text occupies."""
    wide = sum(unicodedata.east_asian_width(mark) in "WF" for mark in text)
    return len(text) + wide - sum(bool(unicodedata.combining(mark)) for mark in text)


def _made_with(inspection: Inspection) -> list[str]:
    pictures, score = "sizes unknown", "unknown"
    if inspection.smallest_picture and inspection.largest_picture:
        sizes = dict.fromkeys((inspection.smallest_picture, inspection.largest_picture))
        pictures = " to ".join(f"{width}×{height}" for height, width in sizes) + " pixels"
    if inspection.known_scores:
        score = f"median {inspection.median_score:.2f}, lowest {inspection.lowest_score:.2f}"
        missing = inspection.samples - inspection.known_scores
        score += f", unknown for {missing:,}" if missing else ""
    return _fields(
        {
            "text encoder": inspection.encoder + ("" if inspection.has_fingerprint else " (without fingerprint)"),
            "text space": inspection.space,
            "subject vectors": "yes" if inspection.has_subject else NO_SUBJECT,
            "landmarker": inspection.landmarker,
            "emotion model": inspection.emotion_model,
            "versions": ", ".join(f"{name} {version}" for name, version in inspection.versions.items()),
            "pictures": pictures,
            "detector's score": score,
        }
    )


def _counts(title: str, counts: Mapping[str, int], most: int, samples: int) -> list[str]:
    if not counts:
        return [f"{title + 's':{FIELD}}none"]
    rows = [(shown(name), count) for name, count in list(counts.items())[:most]]
    rest = samples - sum(counts.values())
    if len(counts) > most:
        rows.append((f"… and {len(counts) - most:,} more", sum(list(counts.values())[most:])))
    if rest:
        rows.append((f"(no {title})", rest))
    head = f"{title + 's'}: {len(counts):,}"
    width = max(LEAST, *(columns(name) for name, _ in rows))  # as narrow as possible, since nodes are narrow
    lines = [f"{head:{width + 2}}{'samples':>9}{'share':>8}"]
    for name, count in rows:
        lines.append(f"  {name}{' ' * (width - columns(name))}{count:>9,}{_share(count, samples):>8}")
    return lines


def _checks(inspection: Inspection) -> list[str]:
    fields = {}
    if inspection.balance is not None:
        (most, many), (least, few) = inspection.balance
        ratio = "the same number of" if many == few else f"{times(many / few)} as many"
        fields["balance"] = (
            f"{shown(most, 40)} has {ratio} samples as {shown(least, 40)} "
            f"({_share(many, inspection.samples)} and {_share(few, inspection.samples)})"
        )
    duplicates = [counted(inspection.perceptions, "perception")]
    if inspection.repeated:
        repeating = counted(inspection.repeated, "sample repeats", "samples repeat")
        duplicates.append(f"{repeating} one of them with another prompt")
    near = counted(inspection.near_duplicates, "is a near-duplicate", "are near-duplicates")
    fields["duplicates"] = "; ".join([*duplicates, f"{near} of another"])
    fields["leakage"] = "none: no near-duplicates in different groups or splits"
    if inspection.straddling:
        fields["leakage"] = f"{with_near_duplicates(inspection.straddling)} in another group or split"
    fields["outliers"] = (
        f"{inspection.outliers:,} of {counted(inspection.samples, 'face')} with a deviation more than "
        f"{inspection.outlier_limit:g} times the typical one"
    )
    for name, outlier_score in inspection.outlier_examples[:3]:
        fields["outliers"] += f"; {outlier_score:g}: {shown(name, 60) or 'no source'}"
    return _fields(fields)


def _fields(fields: Mapping[str, str]) -> list[str]:
    return [line for name, value in fields.items() for line in _wrapped(f"{name:{FIELD}}", shown(value, 400))]


def _wrapped(head: str, text: str) -> list[str]:
    # textwrap counts characters: a filler after each wide one makes it count as two.
    filled = "".join(mark + FILLER if columns(mark) == 2 else mark for mark in text)
    lines = textwrap.wrap(
        filled, LINE_WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=True
    )
    return [line.replace(FILLER, "") for line in lines] or [head.rstrip()]


def _share(count: int, of: int) -> str:
    share = 100 * count / of
    return f"{share:.0f} %" if share >= 1 or not share else "< 1 %"


def _bytes(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size} {unit}"
        size = size / 1000  # type: ignore[assignment]
    return f"{size:.3g} GB"
