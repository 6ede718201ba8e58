// The soft bands of lows and highs around lines, painted on a canvas under plotly's drawing: it would make ten outlines of
// 1,200 points of them anew with each tick, a date at a time.

import { BAND, faded } from "./chart_traces.js";

/** Paint the bands of a chart that figureOf has just described; `ends` and `x` are moments as the axis has them, in ms. */
export function paintBands(chart, { theme, layout, x, ends }) {
  const canvas = chart.element.parentElement?.querySelector("[data-bands-of]");
  if (!canvas) return;
  const { plot, figure, points } = chart;
  const dense = globalThis.devicePixelRatio || 1;
  const [width, height] = [Math.round(plot.width * dense), Math.round(plot.height * dense)];
  // Setting its size also clears a canvas, and costs its memory anew.
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const ink = canvas.getContext("2d");
  ink.setTransform(dense, 0, 0, dense, 0, 0);
  ink.clearRect(0, 0, plot.width, plot.height);
  const shown = figure.traces.filter((trace) => trace.band && points.values[`${trace.metric}:low`]);
  if (!shown.length) return;
  const wide = plot.width - plot.left - plot.right;
  const tall = plot.height - plot.top - plot.bottom;
  ink.save();
  ink.beginPath();
  ink.rect(plot.left, plot.top, wide, tall);
  ink.clip();
  const across = x.map((at) => plot.left + ((at - ends[0]) / (ends[1] - ends[0])) * wide);
  for (const trace of shown) {
    const [bottom, top] = (trace.right ? layout.yaxis2 : layout.yaxis).range;
    const up = (value) => plot.top + ((top - value) / (top - bottom)) * tall;
    const path = surface(across, points.values[`${trace.metric}:low`], points.values[`${trace.metric}:high`], up);
    ink.fillStyle = faded(theme.traces[trace.metric], BAND.fill);
    ink.fill(path);
    // An edge, so that a spike of one step is seen as well.
    ink.strokeStyle = faded(theme.traces[trace.metric], BAND.edge);
    ink.stroke(path);
  }
  ink.restore();
}

// What lies between two columns, closed anew after each gap.
function surface(across, low, high, up) {
  const path = new Path2D();
  let begun = 0;
  for (let at = 0; at <= across.length; at += 1) {
    if (at < across.length && known(low[at]) && known(high[at])) continue;
    if (at - begun > 1) {
      path.moveTo(across[begun], up(high[begun]));
      for (let one = begun + 1; one < at; one += 1) path.lineTo(across[one], up(high[one]));
      for (let one = at - 1; one >= begun; one -= 1) path.lineTo(across[one], up(low[one]));
      path.closePath();
    }
    begun = at + 1;
  }
  return path;
}

const known = (value) => value !== null && value !== undefined;
