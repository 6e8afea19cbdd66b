"""Draws results as an SVG: a bar for each of those compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 720  # of the picture; all lengths in pixels
LABEL: Final = 150  # left of the bars
BAR: Final = 16  # a bar's height
STEP: Final = 22  # from one bar to the next
TITLE: Final = 34  # above a group of bars
STYLE: Final = "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}"


def bars(
    groups: Mapping[str, Mapping[str, float]], caption: str, *, ours: Collection[str] = ("proxy",)
) -> str:
    """An SVG with a group of horizontal bars per measurement; a line marks 1.0.

    The bars of `ours` stand out.
    """
    longest = max(value for rows in groups.values() for value in rows.values())
    scale = (WIDTH - LABEL - 60) / max(longest, 1.0)
    parts: list[str] = []
    y = 0
    for title, rows in groups.items():
        y += TITLE
        parts.append(f'<text class="title" x="8" y="{y - 8}">{escape(title)}</text>')
        top = y
        for name, value in rows.items():
            fill = "#0b64dd" if name in ours else "#98a2b3"
            length = value * scale
            parts.append(f'<text x="8" y="{y + 12}">{escape(name)}</text>')
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{fill}"/>'
            )
            parts.append(f'<text x="{LABEL + length + 6:.1f}" y="{y + 12}">{value:.2f}</text>')
            y += STEP
        line = LABEL + scale
        parts.append(
            f'<path d="M{line:.1f} {top - 4}V{y}" stroke="#333" stroke-dasharray="3" fill="none"/>'
        )
    y += 26
    parts.append(f'<text x="8" y="{y - 8}">{escape(caption)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}">'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", background, *parts, "</svg>"]) + "\n"
