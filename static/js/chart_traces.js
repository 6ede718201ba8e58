// What plotly draws of a chart's points: areas, soft bands of lows and highs, lines of another time, lines.

import { formatter, plain } from "./chart_words.js";

/** Return plotly's traces of a figure, the ones below first. */
export function traces(figure, points, theme, toAxis) {
  const x = points.times.map(toAxis);
  const below = figure.traces.filter((trace) => trace.area);
  const upper = new Map(figure.traces.map((trace) => [trace, heights(figure, trace, points)]));
  const areas = below.map((trace, at) => area(x, upper.get(trace), at ? upper.get(below[at - 1]) : null, filling(trace, theme.traces[trace.metric])));
  const bands = figure.traces.filter((trace) => trace.band && points.values[`${trace.metric}:low`]).map((trace) => ({
    ...area(x, points.values[`${trace.metric}:high`], points.values[`${trace.metric}:low`], { fillcolor: faded(theme.traces[trace.metric], 0.16) }), ...side(trace),
    // An edge, so that a spike of one step is seen as well.
    line: { width: 1, color: faded(theme.traces[trace.metric], 0.32), simplify: true },
  }));
  const others = figure.traces.filter((trace) => trace.then && points.values[`${trace.metric}:then`]).map((trace) => then(figure, trace, points, x, theme));
  return [...areas, ...bands, ...others, ...figure.traces.map((trace) => line(figure, trace, points, x, upper.get(trace), theme))];
}

/** Return how high a trace's line stands: its own values, or on those that it is stacked upon. */
export const heights = (figure, trace, points) => (trace.stacked ? stacked(figure, trace, points) : points.values[trace.metric] ?? []);

export function stacked(figure, trace, points) {
  const below = figure.traces.filter((one) => one.area);
  const until = below.slice(0, below.indexOf(trace) + 1).map((one) => points.values[one.metric] ?? []);
  return points.times.map((_, at) => until.reduce((sum, column) => (sum === null || (column[at] ?? null) === null ? null : sum + column[at]), 0));
}

const side = (trace) => (trace.right ? { yaxis: "y2" } : {});
const shapeOf = (figure, trace) => formatter(trace.right ? figure.right : figure.axis);

function line(figure, trace, points, x, y, theme) {
  const own = points.values[trace.metric] ?? [];
  const low = points.values[`${trace.metric}:low`];
  const high = points.values[`${trace.metric}:high`];
  const ink = theme.traces[trace.metric];
  const shape = shapeOf(figure, trace);
  const between = (at) => (low && high && low[at] !== null && high[at] !== null && low[at] !== high[at] ? ` (${shape(low[at])} to ${shape(high[at])})` : "");
  return {
    type: "scatter", mode: "lines", name: plain(trace.name), x, y, connectgaps: false, ...side(trace),
    customdata: own.map((value, at) => (value === null ? "unknown" : plain(shape(value) + between(at)))), hovertemplate: "%{customdata}",
    line: { color: ink, width: trace.stacked ? 1.25 : 1.75, dash: trace.dash || "solid", shape: trace.steps ? "hv" : "linear", simplify: true },
    ...(lonely(own) ? { mode: "lines+markers", marker: { color: ink, size: own.map((_, at) => (alone(own, at) ? 4 : 0)), line: { width: 0 } } } : {}),
  };
}

function then(figure, trace, points, x, theme) {
  const y = points.values[`${trace.metric}:then`];
  const shape = shapeOf(figure, trace);
  return {
    type: "scatter", mode: "lines", name: plain(trace.then), x, y, connectgaps: false, ...side(trace), opacity: 0.62,
    customdata: y.map((value) => (value === null ? "unknown" : plain(shape(value)))), hovertemplate: "%{customdata}",
    line: { color: theme.traces[trace.metric], width: 1.25, dash: "3px,3px", shape: trace.steps ? "hv" : "linear", simplify: true },
  };
}

// The surface between a line and the one below it, closed anew after each gap: plotly's own fills would cross the gaps.
function area(x, upper, lower, fill) {
  const outline = { x: [], y: [] };
  const is = (column, at) => column[at] !== null && column[at] !== undefined;
  let begun = 0;
  for (let at = 0; at <= x.length; at += 1) {
    if (at < x.length && is(upper, at) && (!lower || is(lower, at))) continue;
    if (at - begun > 1) {
      for (let one = begun; one < at; one += 1) { outline.x.push(x[one]); outline.y.push(upper[one]); }
      for (let one = at - 1; one >= begun; one -= 1) { outline.x.push(x[one]); outline.y.push(lower ? lower[one] : 0); }
      outline.x.push(null);
      outline.y.push(null);
    }
    begun = at + 1;
  }
  return { type: "scatter", mode: "lines", ...outline, fill: "toself", ...fill, line: { width: 0, color: CLEAR }, hoverinfo: "skip", showlegend: false, connectgaps: false };
}

const CLEAR = "rgba(0,0,0,0)";
const filling = (trace, ink) => (trace.area === "hatched"
  ? { fillcolor: CLEAR, fillpattern: { shape: "/", fgcolor: faded(ink, 0.8), bgcolor: CLEAR, fillmode: "replace", size: 6, solidity: 0.16 } }
  : { fillcolor: faded(ink, 0.13) });

export function faded(text, share) {
  const parts = text.match(/[\d.]+/g);
  if (text.startsWith("rgb") && parts) return `rgba(${parts.slice(0, 3).join(",")},${share})`;
  const hex = text.match(/^#([0-9a-f]{6})/i);
  return hex ? `rgba(${[0, 2, 4].map((at) => parseInt(hex[1].slice(at, at + 2), 16)).join(",")},${share})` : text;
}

// A point with nothing known beside it makes no line: it is drawn as a dot.
const alone = (column, at) => column[at] !== null && (column[at - 1] ?? null) === null && (column[at + 1] ?? null) === null;
const lonely = (column) => column.length < 2000 && column.some((_, at) => alone(column, at));
