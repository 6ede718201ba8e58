// What plotly draws of a chart's points: areas, soft bands of lows and highs, lines of another time, lines.

import { formatter, plain } from "./chart_words.js";

/**
 * Return plotly's traces of a chart, the ones below first. `x` has its moments as the axis has them, in ms. With `bands`
 * those of lows and highs are among them, for a picture; on the page chart_bands.js paints them.
 */
export function traces({ figure, points, said }, theme, x, { bands = false } = {}) {
  const time = timeOf(x);
  const below = figure.traces.filter((trace) => trace.area);
  const upper = new Map(figure.traces.map((trace) => [trace, heights(figure, trace, points)]));
  const texts = below.length || bands ? x.map(axisTime) : [];
  const areas = below.map((trace, at) => area(texts, upper.get(trace), at ? upper.get(below[at - 1]) : null, filling(trace, theme.traces[trace.metric])));
  const soft = bands ? figure.traces.filter((trace) => trace.band && points.values[`${trace.metric}:low`]).map((trace) => band(trace, points, texts, theme)) : [];
  const others = figure.traces.filter((trace) => trace.then && points.values[`${trace.metric}:then`]).map((trace) => then(figure, trace, points, said, time, theme));
  return [...areas, ...soft, ...others, ...figure.traces.map((trace) => line(figure, trace, points, said, time, upper.get(trace), theme))];
}

/** Write a moment of the axis (ms) so that plotly takes it as it is: numbers it would move by the browser's own zone. */
export const axisTime = (at) => new Date(at).toISOString().slice(0, -1);

// How much of a line's colour its band has, inside and at its edge.
export const BAND = { fill: 0.16, edge: 0.32 };

// Moments that are evenly apart are told by the first and the distance: plotly reads each single date slowly.
function timeOf(x) {
  const apart = x[1] - x[0];
  const even = x.length > 1 && x.every((at, place) => at === x[0] + place * apart);
  return even ? { x0: axisTime(x[0]), dx: apart } : { x: x.map(axisTime) };
}

function band(trace, points, x, theme) {
  const ink = theme.traces[trace.metric];
  return {
    ...area(x, points.values[`${trace.metric}:high`], points.values[`${trace.metric}:low`], { fillcolor: faded(ink, BAND.fill) }), ...side(trace),
    line: { width: 1, color: faded(ink, BAND.edge), simplify: true },
  };
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

function line(figure, trace, points, said, time, y, theme) {
  const own = points.values[trace.metric] ?? [];
  const ink = theme.traces[trace.metric];
  return {
    type: "scatter", mode: "lines", name: plain(trace.name), ...time, y, connectgaps: false, ...side(trace),
    customdata: words(said, trace.metric, points, shapeOf(figure, trace)), hovertemplate: "%{customdata}",
    line: { color: ink, width: trace.stacked ? 1.25 : 1.75, dash: trace.dash || "solid", shape: trace.steps ? "hv" : "linear", simplify: true },
    ...(lonely(own) ? { mode: "lines+markers", marker: { color: ink, size: own.map((_, at) => (alone(own, at) ? 4 : 0)), line: { width: 0 } } } : {}),
  };
}

function then(figure, trace, points, said, time, theme) {
  const key = `${trace.metric}:then`;
  return {
    type: "scatter", mode: "lines", name: plain(trace.then), ...time, y: points.values[key], connectgaps: false, ...side(trace), opacity: 0.62,
    customdata: words(said, key, points, shapeOf(figure, trace)), hovertemplate: "%{customdata}",
    line: { color: theme.traces[trace.metric], width: 1.25, dash: "3px,3px", shape: trace.steps ? "hv" : "linear", simplify: true },
  };
}

// What hovering says of each value of a column. From one drawing to the next nearly all of it stays: `said` keeps it.
function words(said, key, points, shape) {
  const own = points.values[key] ?? [];
  const low = points.values[`${key}:low`];
  const high = points.values[`${key}:high`];
  const before = said.get(key);
  const now = new Map();
  said.set(key, now);
  return own.map((value, at) => {
    if (value === null) return "unknown";
    const [least, most] = [low?.[at] ?? null, high?.[at] ?? null];
    let one = before?.get(points.times[at]);
    if (!one || one.value !== value || one.least !== least || one.most !== most) {
      const between = least === null || most === null || least === most ? "" : ` (${shape(least)} to ${shape(most)})`;
      one = { value, least, most, text: plain(shape(value) + between) };
    }
    now.set(points.times[at], one);
    return one.text;
  });
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
