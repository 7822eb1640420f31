"""Draws shares over requests with what is allowed and what is not yet excluded: SVG as text, for light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from rollout.judge.shares import RISK, Interval, allowed, share_interval, version_risk
from rollout.status.verification import Point

_WIDTH = 760
_MARGIN = 56
_CHART_WIDTH, _CHART_HEIGHT = _WIDTH - 2 * _MARGIN, 200
_PANEL_HEIGHT = _CHART_HEIGHT + 92
_LEGEND_HEIGHT = 34
# Points of a share to either side of the weight; wide enough for the tolerance to be seen as what it is.
_POINTS_SHOWN = 10
_MOST_TICKS = 6
_MOST_LOOKS = 400

_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 14px; font-weight: 600 }
.quiet { fill: #59636e }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.allowed { fill: #1a7f37; fill-opacity: 0.18 }
.weight { stroke: #1a7f37; stroke-width: 1.5; stroke-dasharray: 6 4 }
.interval { fill: #0969da; fill-opacity: 0.18 }
.share { fill: none; stroke: #0969da; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .quiet { fill: #9198a1 }
  .paper { fill: #0d1117 }
  .grid { stroke: #3d444d }
  .allowed { fill: #3fb950 }
  .weight { stroke: #3fb950 }
  .interval { fill: #4493f8; fill-opacity: 0.25 }
  .share { stroke: #4493f8 }
}
"""


@dataclass(frozen=True)
class Panel:
    """A region: its configured weights, whole percents that sum to 100, and its looks in order."""

    region: str
    weights: Mapping[str, int]
    trail: Sequence[Point]


@dataclass(frozen=True)
class _Chart:
    """One version's share in one region, and where its values are in the picture."""

    version: str
    weight: int
    risk: float
    counts: Sequence[tuple[int, int]]

    @property
    def most(self) -> int:
        return self.counts[-1][0]

    @property
    def last(self) -> float:
        requests, count = self.counts[-1]
        return count / requests

    @property
    def range(self) -> tuple[float, float]:
        """The percents at the lower and the upper end: around the weight, and as far as the last share is from it."""
        around = max(_POINTS_SHOWN, abs(100 * self.last - self.weight) + 2)
        return max(0.0, self.weight - around), min(100.0, self.weight + around)

    def across(self, requests: float) -> float:
        return _CHART_WIDTH * requests / self.most

    def down(self, share: float) -> float:
        low, high = self.range
        return _CHART_HEIGHT * (high - 100 * share) / (high - low)

    def interval(self, requests: int, count: int) -> Interval:
        return share_interval(count, requests, self.weight, self.risk)


def svg(panels: Sequence[Panel]) -> str:
    """A picture with one panel a region, as the text of an SVG file.

    Of two versions it draws the one with less weight, since the other's share is what is left; of more, each with weight. A
    region without a request has no panel.

    Args:
        panels: The regions, from top to bottom.

    Raises:
        ValueError: a weight is outside 0..100, or a count is more than its requests.
    """
    charts = [(panel.region, chart) for panel in panels for chart in _charts(panel)]
    height = len(charts) * _PANEL_HEIGHT + _LEGEND_HEIGHT
    regions = ", ".join(panel.region for panel in panels)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
            f"<title>{escape(f'Shares over requests: {regions}')}</title>",
            f"<style>{_STYLE}</style>",
            '<rect class="paper" width="100%" height="100%"/>',
            *(_panel(region, chart, index * _PANEL_HEIGHT) for index, (region, chart) in enumerate(charts)),
            _legend(height - _LEGEND_HEIGHT),
            "</svg>\n",
        ]
    )


def _charts(panel: Panel) -> list[_Chart]:
    looks = _thinned([point for point in panel.trail if point.requests])
    if not looks:
        return []
    routed = sorted((version for version in panel.weights if panel.weights[version]), key=lambda v: panel.weights[v])
    drawn = routed[:1] if len(routed) == 2 else routed
    return [
        _Chart(
            version,
            panel.weights[version],
            version_risk(panel.weights),
            [(look.requests, look.counts.get(version, 0)) for look in looks],
        )
        for version in drawn
    ]


def _thinned(looks: Sequence[Point]) -> Sequence[Point]:
    """A few hundred of the looks, evenly spaced, and the last one."""
    every = 1
    while len(looks) >= _MOST_LOOKS * every:
        every *= 2
    return [*looks[:-1:every], *looks[-1:]]


def _panel(region: str, chart: _Chart, top: int) -> str:
    end = chart.interval(*chart.counts[-1])
    title = escape(f"{region}: {chart.version} at weight {chart.weight}")
    result = f"{100 * chart.last:.2f} % of {chart.most:,}, between {100 * end.low:.2f} % and {100 * end.high:.2f} %"
    return "\n".join(
        [
            f'<g transform="translate({_MARGIN} {top + 52})">',
            f'<text class="title" y="-28">{title}</text>',
            f'<text class="quiet" y="-10">{result}</text>',
            _axes(chart),
            # an inner svg cuts off what is beyond the chart
            f'<svg width="{_CHART_WIDTH}" height="{_CHART_HEIGHT}">',
            _band(chart),
            _line(chart),
            "</svg>",
            "</g>",
        ]
    )


def _axes(chart: _Chart) -> str:
    low, high = chart.range
    parts = []
    for percent in _ticks(low, high):
        y = chart.down(percent / 100)
        parts.append(f'<line class="grid" x2="{_CHART_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="quiet" x="-8" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    for requests in _ticks(0, chart.most):
        x, y = chart.across(requests), _CHART_HEIGHT + 18
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{y}" text-anchor="middle">{requests:,}</text>')
    return "\n".join(parts)


def _ticks(low: float, high: float) -> range:
    """A few whole numbers from `low` to `high`, at distances of 1, 2 or 5 times a power of ten."""
    distances = (unit * 10**power for power in range(9) for unit in (1, 2, 5))
    step = next(distance for distance in distances if (high - low) / distance <= _MOST_TICKS)
    return range(-(-int(low) // step) * step, int(high) + 1, step)


def _band(chart: _Chart) -> str:
    edges = allowed(chart.weight)
    top, bottom, weight = chart.down(edges.high), chart.down(edges.low), chart.down(chart.weight / 100)
    return (
        f'<rect class="allowed" y="{top:.1f}" width="{_CHART_WIDTH}" height="{bottom - top:.1f}"/>\n'
        f'<line class="weight" x2="{_CHART_WIDTH}" y1="{weight:.1f}" y2="{weight:.1f}"/>'
    )


def _line(chart: _Chart) -> str:
    # before the first request nothing is excluded
    intervals = [(requests, chart.interval(requests, count)) for requests, count in [(0, 0), *chart.counts]]
    # there and back: the upper bounds, then the lower ones
    around = [(requests, interval.high) for requests, interval in intervals]
    around += [(requests, interval.low) for requests, interval in reversed(intervals)]
    shares = [(requests, count / requests) for requests, count in chart.counts]
    return (
        f'<polygon class="interval" points="{_path(chart, around)}"/>\n'
        f'<polyline class="share" points="{_path(chart, shares)}"/>'
    )


def _path(chart: _Chart, values: Sequence[tuple[int, float]]) -> str:
    return " ".join(f"{chart.across(requests):.1f},{chart.down(share):.1f}" for requests, share in values)


def _legend(top: int) -> str:
    parts = (
        ('<rect class="allowed" width="22" height="12"/>', "allowed"),
        ('<line class="weight" x2="22" y1="6" y2="6"/>', "weight"),
        ('<polyline class="share" points="0,6 22,6"/>', "share of the requests so far"),
        ('<rect class="interval" width="22" height="12"/>', f"not excluded, at {100 * (1 - RISK):g} % at all times"),
    )
    places = (0, 96, 186, 386)
    entries = (
        f'<g transform="translate({_MARGIN + place} {top})">{sign}<text class="quiet" x="30" y="10">{text}</text></g>'
        for place, (sign, text) in zip(places, parts, strict=True)
    )
    return "\n".join(entries)
