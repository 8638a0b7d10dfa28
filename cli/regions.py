"""Annotated regions of a store or data set as text."""

from collections.abc import Iterator

from segprep.runs.check import CheckReport
from segprep.store.schema import StoreInfo


def ignored_share(info: StoreInfo) -> float:
    """Share of the pixels that are ignored, from 0 to 1."""
    pixels = info.ignored_pixels + sum(entry.all.pixels for entry in info.classes)
    return info.ignored_pixels / max(1, pixels)


def share_text(info: StoreInfo) -> str:
    """Share of the pixels that are ignored, in percent."""
    return f"{ignored_share(info):.1%}"


def ignored_text(report: CheckReport) -> str:
    """Number of the ignored pixels of a data set, and their share if there are any."""
    share = f" ({report.ignored_share:.1%})" if report.ignored_pixels else ""
    return f"{report.ignored_pixels:,} ignored pixels{share}"


def regions_lines(info: StoreInfo) -> Iterator[str]:
    """One line if the masks of a store are annotated in regions: which ones, and the share of the pixels outside."""
    if info.regions is None or info.regions.roi is None:
        return
    kind = "in" if info.regions.code is None else "of class"
    other = "" if info.regions.without_roi == "error" else f"; masks without one {info.regions.without_roi}"
    yield f"annotated  regions {kind} {info.regions.roi}{other}; {share_text(info)} of the pixels ignored"
