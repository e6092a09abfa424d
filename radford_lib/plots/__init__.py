"""Figures of the book: functions take arrays and return a matplotlib ``Figure``.

Each figure is readable on a white and on a dark page: transparent, with mid-grey text and colours
that stand out from both. ``use_style()`` makes a notebook show them as SVG, photographs as PNG.
"""

from radford_lib.plots.curves import (
    accuracy_bars,
    distance_histogram,
    label_efficiency,
    learning_curve,
    loss_curve,
    loss_curves,
    unit_histogram,
    weight_spikes,
)
from radford_lib.plots.images import neighbour_panel, sample_grid, sample_rows
from radford_lib.plots.machine import mlstm_step_flow, roofline, waterfall
from radford_lib.plots.style import PALETTE, png_bytes, svg_text, use_style
from radford_lib.plots.text import heat_map, heat_map_html

__all__ = [
    "PALETTE",
    "accuracy_bars",
    "distance_histogram",
    "heat_map",
    "heat_map_html",
    "label_efficiency",
    "learning_curve",
    "loss_curve",
    "loss_curves",
    "mlstm_step_flow",
    "neighbour_panel",
    "png_bytes",
    "roofline",
    "sample_grid",
    "sample_rows",
    "svg_text",
    "unit_histogram",
    "use_style",
    "waterfall",
    "weight_spikes",
]
