"""A diagram as SVG, complete in itself: no script, no font, no style from elsewhere."""

from collections.abc import Iterator
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from saga.diagrams.layout import CHARACTER, LINE, Placed, Route, lay_out
from saga.diagrams.model import STYLES, Diagram

_HEAD = """<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
 orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#546e7a"/></marker></defs>"""
_BEND = 26.0


def write_svg(diagram: Diagram) -> str:
    """The document."""
    layout = lay_out(diagram)
    size = f'width="{layout.width:.0f}" height="{layout.height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {layout.width:.0f} {layout.height:.0f}"'
        ' font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
        f"<title>{escape(diagram.title)}</title>",
        _HEAD,
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *(line for route in layout.routes for line in _arrow(route)),
        *(line for placed in layout.boxes for line in _box(placed)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _arrow(route: Route) -> Iterator[str]:
    dashes = ' stroke-dasharray="5 4"' if route.arrow.back else ""
    ends = f"data-from={quoteattr(route.arrow.source)} data-to={quoteattr(route.arrow.target)}"
    yield (
        f'<path class="arrow" {ends} d="{_curve(route)}" fill="none" stroke="#546e7a" stroke-width="1.3"'
        f'{dashes} marker-end="url(#head)"/>'
    )
    if route.arrow.label:
        legs = list(pairwise(route.points))
        (x, y), (to_x, to_y) = next((leg for leg in legs if leg[0][0] != leg[1][0]), legs[0])
        yield (
            f'<text x="{(x + to_x) / 2:.1f}" y="{(y + to_y) / 2:.1f}" text-anchor="middle" font-size="10"'
            f' fill="#455a64" stroke="#ffffff" stroke-width="3" paint-order="stroke">{escape(route.arrow.label)}</text>'
        )


def _curve(route: Route) -> str:
    (x, y), *rest = route.points
    path = [f"M{x:.1f} {y:.1f}"]
    for to_x, to_y in rest:
        # Below one layer the curve hangs; else it leaves and comes upright.
        bend = _BEND if to_y == y and to_x != x else (to_y - y) / 2
        back = to_y + bend if to_y == y else to_y - bend
        path.append(f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {back:.1f} {to_x:.1f} {to_y:.1f}")
        x, y = to_x, to_y
    return "".join(path)


def _box(placed: Placed) -> Iterator[str]:
    style = STYLES[placed.box.look]
    yield (
        f'<rect class="box" x="{placed.x:.1f}" y="{placed.y:.1f}" width="{placed.width:.1f}"'
        f' height="{placed.height:.1f}" rx="6" fill="{style.fill}" stroke="{style.stroke}" stroke-width="1.5"/>'
    )
    x = placed.x + placed.width / 2
    y = placed.y + (placed.height - len(placed.box.lines) * LINE) / 2 + LINE * 0.75
    for number, line in enumerate(placed.box.lines):
        weight = ' font-weight="bold"' if number == 0 else ""
        length = f' textLength="{len(line) * CHARACTER:.1f}" lengthAdjust="spacingAndGlyphs"' if line else ""
        yield (
            f'<text x="{x:.1f}" y="{y + number * LINE:.1f}" text-anchor="middle"{weight}{length}>{escape(line)}</text>'
        )
