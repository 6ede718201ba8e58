// One drawing of a chart: its lines by plotly.js, its bands under them.

import { paintBands } from "./chart_bands.js";
import { figureOf } from "./chart_figure.js";

const CONFIG = { displayModeBar: false, doubleClick: false, showTips: false, responsive: false };

/** Draw a chart as it is now into its element. */
export function drawChart(chart, window_) {
  const described = figureOf(chart, window_);
  globalThis.Plotly.react(chart.element, described.data, described.layout, CONFIG);
  paintBands(chart, described);
}
