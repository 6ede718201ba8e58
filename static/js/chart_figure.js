// A chart's data and layout for plotly, from its description, its points, the window and the theme. Draws nothing itself.

import { ahead, formatter, plain } from "./chart_words.js";

const WIDE = 460;
const GAP_CADENCES = 2.5;

export function figureOf(chart, window_) {
  const { element, figure, points, zone } = chart;
  const theme = themeOf(figure);
  const width = element.clientWidth;
  const height = element.clientHeight;
  // Plotly knows no zones: moments are moved by the zone's distance from UTC, and shown as if they were UTC.
  const toAxis = (at) => at + ahead(zone, at);
  chart.fromAxis = (value) => {
    const shown = typeof value === "number" ? value : Date.parse(`${String(value).replace(" ", "T").slice(0, 23)}Z`);
    const rough = shown - ahead(zone, shown);
    return shown - ahead(zone, rough);
  };
  const wide = width >= WIDE;
  const right = wide ? 104 : 10;
  const top = highest(figure, points, window_);
  const axis = niceAxis(top, figure.floor);
  const gaps = gapsOf(chart, window_);
  const plot = { left: 46, right, top: 10, bottom: 24, width, height };
  return {
    data: traces(figure, points, theme, toAxis),
    layout: {
      width, height, autosize: false, showlegend: false, uirevision: "held", separators: ".,",
      margin: { l: plot.left, r: right, t: plot.top, b: plot.bottom, pad: 0 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: theme.font, size: 11, color: theme.axis },
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      hovermode: "x unified", hoverdistance: 40,
      hoverlabel: { bgcolor: theme.raised, bordercolor: theme.lineStrong, font: { family: theme.font, size: 12, color: theme.text }, align: "left" },
      xaxis: xAxis(window_, toAxis, theme, width),
      yaxis: {
        range: [0, axis.end], fixedrange: true, tickmode: "array", tickvals: axis.ticks, ticktext: axis.ticks.map(short),
        gridcolor: theme.grid, zeroline: true, zerolinecolor: theme.lineStrong, rangemode: "tozero", showline: false, ticks: "", automargin: false,
      },
      shapes: gaps.flatMap((gap) => band(gap, toAxis, theme)),
      annotations: [
        ...gaps.filter((gap) => (gap.end - gap.start) / (window_.end - window_.start) * (width - 150) > 58).map((gap) => unknown(gap, toAxis, theme)),
        ...(wide ? lineEnds(figure, points, theme, axis.end, plot) : []),
      ],
    },
  };
}

function themeOf(figure) {
  const style = getComputedStyle(document.documentElement);
  const read = (token) => style.getPropertyValue(token).trim();
  const resolved = (token) => colour(read(token));
  return {
    font: getComputedStyle(document.body).fontFamily,
    axis: read("--s-axis"), grid: read("--s-grid"), lineStrong: resolved("--c-line-strong"), lineInput: resolved("--c-line-input"),
    raised: resolved("--c-raised"), sunken: resolved("--c-sunken"), text: resolved("--c-text"), text2: resolved("--c-text-2"),
    traces: Object.fromEntries(figure.traces.map((trace) => [trace.metric, resolved(trace.token)])),
  };
}

// Custom properties that are not registered as colours come as they are written, light-dark() and all: let the browser say.
const probe = document.createElement("span");
function colour(text) {
  if (!/light-dark|color-mix|var\(/.test(text)) return text;
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = text;
  return getComputedStyle(probe).color;
}

function faded(text, share) {
  const parts = text.match(/[\d.]+/g);
  if (text.startsWith("rgb") && parts) return `rgba(${parts.slice(0, 3).join(",")},${share})`;
  const hex = text.match(/^#([0-9a-f]{6})/i);
  return hex ? `rgba(${[0, 2, 4].map((at) => parseInt(hex[1].slice(at, at + 2), 16)).join(",")},${share})` : text;
}

function traces(figure, points, theme, toAxis) {
  const x = points.times.map(toAxis);
  const shape = formatter(figure.axis);
  const below = figure.traces.filter((trace) => trace.area);
  const heights = new Map(figure.traces.map((trace) => [trace, trace.stacked ? stacked(below, trace, points) : points.values[trace.metric] ?? []]));
  const areas = below.map((trace, at) => area(trace, x, heights.get(trace), at ? heights.get(below[at - 1]) : null, theme.traces[trace.metric]));
  const lines = figure.traces.map((trace) => {
    const own = points.values[trace.metric] ?? [];
    const y = heights.get(trace);
    const ink = theme.traces[trace.metric];
    return {
      type: "scatter", mode: "lines", name: plain(trace.name), x, y, connectgaps: false,
      customdata: own.map((value) => (value === null ? "unknown" : shape(value))), hovertemplate: "%{customdata}",
      line: { color: ink, width: trace.stacked ? 1.25 : 1.75, dash: trace.dash || "solid", shape: trace.steps ? "hv" : "linear", simplify: true },
      ...(lonely(own) ? { mode: "lines+markers", marker: { color: ink, size: own.map((value, at) => (alone(own, at) ? 4 : 0)), line: { width: 0 } } } : {}),
    };
  });
  return [...areas, ...lines];
}

// The surface between a line and the one below it, closed anew after each gap: plotly's own fills would cross the gaps.
function area(trace, x, upper, lower, ink) {
  const outline = { x: [], y: [] };
  let begun = 0;
  for (let at = 0; at <= x.length; at += 1) {
    const known = at < x.length && upper[at] !== null && upper[at] !== undefined && (!lower || lower[at] !== null);
    if (known) continue;
    if (at - begun > 1) {
      for (let one = begun; one < at; one += 1) { outline.x.push(x[one]); outline.y.push(upper[one]); }
      for (let one = at - 1; one >= begun; one -= 1) { outline.x.push(x[one]); outline.y.push(lower ? lower[one] : 0); }
      outline.x.push(null);
      outline.y.push(null);
    }
    begun = at + 1;
  }
  const clear = "rgba(0,0,0,0)";
  const fill = trace.area === "hatched"
    ? { fillcolor: clear, fillpattern: { shape: "/", fgcolor: faded(ink, 0.8), bgcolor: clear, fillmode: "replace", size: 6, solidity: 0.16 } }
    : { fillcolor: faded(ink, 0.13) };
  return { type: "scatter", mode: "lines", ...outline, fill: "toself", ...fill, line: { width: 0, color: clear }, hoverinfo: "skip", connectgaps: false };
}

// A point with nothing known beside it makes no line: it is drawn as a dot.
const alone = (column, at) => column[at] !== null && (column[at - 1] ?? null) === null && (column[at + 1] ?? null) === null;
const lonely = (column) => column.length < 2000 && column.some((_, at) => alone(column, at));

function stacked(below, trace, points) {
  const until = below.slice(0, below.indexOf(trace) + 1).map((one) => points.values[one.metric] ?? []);
  return points.times.map((_, at) => until.reduce((sum, column) => (sum === null || (column[at] ?? null) === null ? null : sum + column[at]), 0));
}

function highest(figure, points, window_) {
  let top = 0;
  const below = figure.traces.filter((trace) => trace.area);
  for (const trace of figure.traces) {
    const column = trace.stacked ? stacked(below, trace, points) : points.values[trace.metric] ?? [];
    column.forEach((value, at) => {
      if (value !== null && value > top && points.times[at] >= window_.start && points.times[at] <= window_.end) top = value;
    });
  }
  return top;
}

// Up to five round ticks, the highest above the highest value.
export function niceAxis(top, floor) {
  const goal = Math.max(top * 1.02, floor);
  const rough = goal / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one * 4 >= goal && (floor < 2 || one >= 1)) ?? 10 * power;
  const whole = floor > 2 ? Math.ceil(step) : step;
  const number = Math.max(1, Math.ceil(goal / whole - 1e-9));
  return { end: number * whole, ticks: Array.from({ length: number + 1 }, (_, at) => Number((at * whole).toPrecision(12))) };
}

function short(value) {
  if (value >= 1e9) return `${Number((value / 1e9).toPrecision(3))}G`;
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return value.toLocaleString("en-US");
}

function xAxis(window_, toAxis, theme, width) {
  const length = window_.end - window_.start;
  const ticks = Math.max(2, Math.min(7, Math.floor((width - 150) / 84) || 2));
  const steps = [5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6];
  const step = steps.find((one) => length / one <= ticks) ?? 7776e6;
  const first = Math.ceil(toAxis(window_.start) / step) * step;
  const tickvals = [];
  for (let at = first; at <= toAxis(window_.end); at += step) tickvals.push(at);
  const days = length > 864e5 * 1.5;
  return {
    type: "date", range: [toAxis(window_.start), toAxis(window_.end)], tickmode: "array", tickvals,
    ticktext: tickvals.map((at) => clock(at, step, days)), showgrid: false, zeroline: false, ticks: "",
    hoverformat: length > 864e5 ? "%-d %b %H:%M:%S" : "%H:%M:%S", showspikes: true, spikemode: "across", spikesnap: "hovered data",
    spikethickness: 1, spikecolor: theme.text2, spikedash: "solid", fixedrange: false,
  };
}

function clock(at, step, days) {
  const moment = new Date(at);
  const two = (number) => String(number).padStart(2, "0");
  const time = `${two(moment.getUTCHours())}:${two(moment.getUTCMinutes())}`;
  if (step < 6e4) return `${time}:${two(moment.getUTCSeconds())}`;
  const day = `${moment.getUTCDate()} ${moment.toLocaleString("en-GB", { month: "short", timeZone: "UTC" })}`;
  if (step >= 864e5) return day;
  return days && time === "00:00" ? day : time;
}

// Where nothing is known of any line: in the log, before it begins, and after its newest point.
export function gapsOf(chart, window_) {
  const { points, figure, cadence } = chart;
  const limit = GAP_CADENCES * Math.max(cadence, window_.step);
  const known = points.times.filter((at, index) => figure.traces.some((trace) => (points.values[trace.metric]?.[index] ?? null) !== null));
  const inside = known.filter((at) => at >= window_.start && at <= window_.end);
  const before = known.findLast((at) => at < window_.start) ?? -Infinity;
  const edges = [before, ...inside];
  const gaps = [];
  for (let index = 1; index < edges.length; index += 1) {
    if (edges[index] - edges[index - 1] > limit) gaps.push({ start: Math.max(window_.start, edges[index - 1]), end: edges[index] });
  }
  const newest = edges.at(-1);
  if (window_.end - newest > limit) gaps.push({ start: Math.max(window_.start, newest), end: window_.end });
  return gaps.filter((gap) => gap.end - gap.start > limit / GAP_CADENCES).slice(-60);
}

function band(gap, toAxis, theme) {
  const [x0, x1] = [toAxis(gap.start), toAxis(gap.end)];
  const across = { xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below" };
  const edge = { color: theme.lineInput, width: 1, dash: "2px,3px" };
  return [
    { ...across, type: "rect", x0, x1, fillcolor: theme.sunken, line: { width: 0 } },
    { ...across, type: "line", x0, x1: x0, line: edge },
    { ...across, type: "line", x0: x1, x1, line: edge },
  ];
}

function unknown(gap, toAxis, theme) {
  return {
    x: (toAxis(gap.start) + toAxis(gap.end)) / 2, y: 0.5, xref: "x", yref: "paper", text: "unknown", showarrow: false,
    font: { family: theme.font, size: 11, color: theme.text2 },
  };
}

// Each line is named at its end with its last figure, moved apart where they would touch.
function lineEnds(figure, points, theme, top, plot) {
  const shape = formatter(figure.axis);
  const below = figure.traces.filter((trace) => trace.area);
  const tall = plot.height - plot.top - plot.bottom;
  const ends = [];
  for (const trace of figure.traces) {
    const own = points.values[trace.metric] ?? [];
    const value = own.at(-1) ?? null;
    if (value === null) continue;
    const at = trace.stacked ? stacked(below, trace, points).at(-1) : value;
    if (at === null) continue;
    ends.push({ trace, text: shape(value).replace(" /s", ""), y: tall - (at / top) * tall });
  }
  ends.sort((one, other) => one.y - other.y);
  const height = 15;
  for (let index = 1; index < ends.length; index += 1) ends[index].y = Math.max(ends[index].y, ends[index - 1].y + height);
  for (let index = ends.length - 1; index >= 0; index -= 1) {
    ends[index].y = Math.min(ends[index].y, tall - (ends.length - 1 - index) * height);
  }
  // Three labels a line, for one label in several colours would need inline styles, which the page's policy forbids.
  return ends.flatMap(({ trace, text, y }) => {
    const label = (shown, color, xshift) => ({
      x: 1, xref: "paper", xanchor: "left", xshift, y: 1, yref: "paper", yanchor: "middle", yshift: -y, showarrow: false, borderpad: 0,
      text: plain(shown), font: { family: theme.font, size: 11, color },
    });
    const wide = widthOf(`${text}\u00a0`, theme.font);
    return [label("—", theme.traces[trace.metric], 7), label(text, theme.text, 22), label(nameAtEnd(trace.name), theme.text2, 23 + wide)];
  });
}

const ruler = document.createElement("canvas").getContext("2d");
function widthOf(text, font) {
  ruler.font = `11px ${font}`;
  return Math.ceil(ruler.measureText(text).width);
}

const nameAtEnd = (name) => ({ unacknowledged: "unacked", "connections opened": "conn. opened", "connections closed": "conn. closed", "channels opened": "ch. opened", "channels closed": "ch. closed" })[name] ?? name;
