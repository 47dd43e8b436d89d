"""Curves as an SVG, both axes logarithmic; nothing but the standard library."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 420, 70, 190, 40, 40
COLORS = ("#0b6fb8", "#c4501b", "#2e8540", "#7a3b9a")


def svg(title, curves):
    """curves: (name, whether dashed, [(x, y), …]); a model's two curves follow each other and share a colour."""
    xs = sorted({x for _, _, points in curves for x, _ in points})
    ys = [y for _, _, points in curves for _, y in points]
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    if low == high:
        high *= 10

    def across(x):
        span = math.log(xs[-1] / xs[0]) or 1
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / xs[0]) / span

    def up(y):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / low) / math.log(high / low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for mark in marks(low, high):
        parts.append(f'<path d="M{LEFT} {up(mark):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up(mark) + 4:.1f}" text-anchor="end">{mark:,g}</text>')
    for x in xs:
        parts.append(f'<path d="M{across(x):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x}</text>')
    for number, (name, dashed, points) in enumerate(curves):
        color = COLORS[number // 2 % len(COLORS)]
        style = f'fill="none" stroke="{color}" stroke-width="2"' + (' stroke-dasharray="6 4"' if dashed else "")
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in points)
        parts.append(f'<path d="M{path}" {style}/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{color}"/>' for x, y in points]
        line = TOP + 20 * number + 10
        parts.append(f'<path d="M{WIDTH - RIGHT + 12} {line}h26" {style}/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 44}" y="{line + 4}">{escape(name)}</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def marks(low, high):
    mark = low
    while mark <= high * 1.0001:
        for factor in (1, 2, 5):
            if mark * factor <= high * 1.0001:
                yield mark * factor
        mark *= 10
