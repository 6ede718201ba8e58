// A chart's data and layout for plotly, from its description, its points, the window and the theme. Draws nothing itself.

import { axisTime, faded, heights, stacked, traces } from "./chart_traces.js";
import { ahead, formatter, plain, size } from "./chart_words.js";

const WIDE = 460;
const GAP_CADENCES = 2.5;

/**
 * Return what plotly draws of a chart (`data`, `layout`), and what paints its bands: `theme`, and on the axis, in ms, the
 * moments of its points (`x`) and of the window's `ends`. With `bands` plotly draws those as well, as a picture needs it.
 */
export function figureOf(chart, window_, { bands = false } = {}) {
  const { element, figure, points, zone } = chart;
  const theme = themeOf(figure);
  const width = element.clientWidth;
  const height = element.clientHeight;
  // Plotly knows no zones: moments are moved by the zone's distance from UTC, and shown as if they were UTC.
  const onAxis = (at) => at + ahead(zone, at);
  const toAxis = (at) => axisTime(onAxis(at));
  chart.said ??= new Map();
  chart.fromAxis = (value) => {
    const shown = typeof value === "number" ? value : Date.parse(`${String(value).replace(" ", "T").slice(0, 23)}Z`);
    const rough = shown - ahead(zone, shown);
    return shown - ahead(zone, rough);
  };
  const named = width >= WIDE && figure.ends;
  const right = named ? roomAtEnd(figure, theme) : figure.right ? (LEFT[figure.right] ?? 46) + 12 : 10;
  const left = axisOf(figure, points, window_, false);
  const gaps = gapsOf(chart, window_);
  const plot = { left: LEFT[figure.axis] ?? 46, right, top: 10, bottom: 24, width, height };
  chart.plot = plot;
  const marks = chart.marks ?? [];
  const layout = {
    width, height, autosize: false, showlegend: false, uirevision: "held", separators: ".,",
    margin: { l: plot.left, r: right, t: plot.top, b: plot.bottom, pad: 0 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: 11, color: theme.axis },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    hovermode: "x unified", hoverdistance: 40,
    hoverlabel: { bgcolor: theme.raised, bordercolor: theme.lineStrong, font: { family: theme.font, size: 12, color: theme.text }, align: "left" },
    xaxis: xAxis(window_, onAxis, theme, plot),
    yaxis: yAxis(left, theme),
    shapes: [...gaps.flatMap((gap) => band(gap, toAxis, theme)), ...marks.flatMap((mark) => markShapes(mark, window_, toAxis, theme))],
    annotations: [
      ...gaps.filter((gap) => (gap.end - gap.start) / (window_.end - window_.start) * (width - 150) > 58).map((gap) => unknown(gap, toAxis, theme)),
      ...(named ? lineEnds(figure, points, theme, left.end, plot) : []),
    ],
  };
  if (figure.right) {
    const other = yAxis(axisOf(figure, points, window_, true), theme);
    layout.yaxis2 = { ...other, overlaying: "y", side: "right", showgrid: false, zeroline: false };
  }
  const x = points.times.map(onAxis);
  return { data: traces(chart, theme, x, { bands }), layout, theme, x, ends: [onAxis(window_.start), onAxis(window_.end)] };
}

// Room for the figures of the left axis: sizes and durations are longer than counts.
const LEFT = { bytes: 62, seconds: 58, consumer_state: 112, lag_source: 112 };

function axisOf(figure, points, window_, right) {
  const own = figure.traces.filter((trace) => Boolean(trace.right) === right);
  const { top, bottom } = reach(figure, own, points, window_);
  return axisFor(right ? figure.right : figure.axis, top, right ? figure.right_floor : figure.floor, bottom);
}

/** Return an axis of a kind with round ticks (niceAxis) and what stands at them: lag is in seconds, from 10 h up in hours. */
export function axisFor(kind, top, floor, bottom = 0) {
  const inHours = kind === "seconds" && Math.max(top, -bottom) >= 36000;
  // Sizes have round ticks in their own unit: of bytes, 2,000,000 would read as 1.9 MiB.
  const powers = kind === "bytes" ? Math.max(0, Math.min(4, Math.floor(Math.log2(Math.max(top, -bottom, floor, 1)) / 10))) : 0;
  const unit = inHours ? 3600 : 1024 ** powers;
  const axis = niceAxis(top / unit, floor / unit, bottom / unit);
  const shape = TICKS[kind] ?? short;
  const texts = axis.ticks.map((tick) => (inHours ? `${tick.toLocaleString("en-US")} h` : shape(tick * unit)));
  return { start: axis.start * unit, end: axis.end * unit, ticks: axis.ticks.map((tick) => tick * unit), texts };
}

function yAxis(axis, theme) {
  return {
    range: [axis.start, axis.end], fixedrange: true, tickmode: "array", tickvals: axis.ticks, ticktext: axis.texts,
    ticklabeloverflow: "allow", gridcolor: theme.grid, zeroline: true, zerolinecolor: theme.lineStrong, rangemode: "tozero", showline: false, ticks: "", automargin: false,
  };
}

// The colours of each figure as they are now: to resolve them takes the browser a whole pass over the page's styles.
const themes = new Map();

/** Have colours and fonts read anew, since the theme changed. */
export const forgetTheme = () => themes.clear();

function themeOf(figure) {
  if (!themes.has(figure)) themes.set(figure, readTheme(figure));
  return themes.get(figure);
}

function readTheme(figure) {
  const style = getComputedStyle(document.documentElement);
  const read = (token) => style.getPropertyValue(token).trim();
  const resolved = (token) => colour(read(token));
  return {
    font: getComputedStyle(document.body).fontFamily,
    axis: read("--s-axis"), grid: read("--s-grid"), lineStrong: resolved("--c-line-strong"), lineInput: resolved("--c-line-input"),
    raised: resolved("--c-raised"), sunken: resolved("--c-sunken"), text: resolved("--c-text"), text2: resolved("--c-text-2"),
    surface: resolved("--c-surface"),
    marks: { deploy: resolved("--c-notice"), incident: resolved("--c-critical"), note: resolved("--c-text-2") },
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

// The least and greatest value that is drawn of some traces inside the window.
function reach(figure, own, points, window_) {
  let top = 0;
  let bottom = 0;
  const inside = points.times.map((at) => at >= window_.start && at <= window_.end);
  for (const trace of own) {
    for (const column of [heights(figure, trace, points), ...["low", "high", "then"].map((part) => points.values[`${trace.metric}:${part}`] ?? [])]) {
      for (let at = 0; at < column.length; at += 1) {
        const value = column[at];
        if (value === null || !inside[at]) continue;
        if (value > top) top = value;
        else if (value < bottom) bottom = value;
      }
    }
  }
  return { top, bottom };
}

// Up to five round ticks, the highest above the highest value; below zero only where there is something.
export function niceAxis(top, floor, bottom = 0) {
  const goal = Math.max(top * 1.02, floor) - Math.min(0, bottom * 1.02);
  const rough = goal / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one * 4 >= goal && (floor < 2 || one >= 1)) ?? 10 * power;
  const whole = floor > 2 ? Math.ceil(step) : step;
  const below = bottom < 0 ? Math.ceil(-bottom / whole - 1e-9) : 0;
  const number = Math.max(1, Math.ceil(Math.max(top * 1.02, floor) / whole - 1e-9));
  const ticks = Array.from({ length: number + below + 1 }, (_, at) => Number(((at - below) * whole).toPrecision(12)));
  return { start: -below * whole, end: number * whole, ticks };
}

const TICKS = { bytes: size, seconds: (value) => `${value.toLocaleString("en-US")} s`, share: formatter("share"), consumer_state: formatter("consumer_state"), lag_source: formatter("lag_source") };

function short(value) {
  if (value < 0) return `\u2212${short(-value)}`;
  if (value >= 1e9) return `${Number((value / 1e9).toPrecision(3))}G`;
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return value.toLocaleString("en-US");
}

function xAxis(window_, onAxis, theme, { left, right, width }) {
  const length = window_.end - window_.start;
  const ticks = Math.max(2, Math.min(7, Math.floor((width - 150) / 84) || 2));
  const steps = [5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5, 2592e6];
  const step = steps.find((one) => length / one <= ticks + 0.1) ?? 7776e6;
  const [start, end] = [onAxis(window_.start), onAxis(window_.end)];
  // A label that would stand beyond the drawing's edge is left out. Plotly would measure each to find that, each time.
  const beyond = (at) => ((end - at) / (end - start)) * (width - left - right) + right < HALF_LABEL;
  const moments = [];
  for (let at = Math.ceil(start / step) * step; at <= end; at += step) if (!beyond(at)) moments.push(at);
  const days = length > 864e5 * 1.5;
  return {
    type: "date", range: [axisTime(start), axisTime(end)], tickmode: "array", tickvals: moments.map(axisTime),
    ticktext: moments.map((at) => clock(at, step, days)), ticklabeloverflow: "allow", showgrid: false, zeroline: false, ticks: "",
    hoverformat: length > 864e5 ? "%-d %b %H:%M:%S" : "%H:%M:%S", showspikes: true, spikemode: "across", spikesnap: "hovered data",
    spikethickness: 1, spikecolor: theme.text2, spikedash: "solid", fixedrange: false,
  };
}

// Half of the widest time that stands under an axis, in px.
const HALF_LABEL = 24;

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
  const known = points.times.flatMap((_, index) => (figure.traces.some((trace) => (points.values[trace.metric]?.[index] ?? null) !== null) ? [index] : []));
  const inside = known.filter((index) => points.times[index] >= window_.start && points.times[index] <= window_.end);
  const edges = [known.findLast((index) => points.times[index] < window_.start) ?? -1, ...inside];
  const timeOf = (index) => (index < 0 ? -Infinity : points.times[index]);
  const gaps = [];
  for (let index = 1; index < edges.length; index += 1) {
    const [from, to] = [edges[index - 1], edges[index]];
    // Between neighbours there is none, however far apart: where polls came more seldom than now the server tells no gap.
    const told = from < 0 || to > from + 1;
    if (told && timeOf(to) - timeOf(from) > limit) gaps.push({ start: Math.max(window_.start, timeOf(from)), end: timeOf(to) });
  }
  const newest = timeOf(edges.at(-1));
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

// A note in time: a line where it is, or the time that it took as a band with its edges.
function markShapes(mark, window_, toAxis, theme) {
  const end = mark.end ?? mark.at;
  if (end < window_.start || mark.at > window_.end) return [];
  const ink = theme.marks[mark.kind] ?? theme.text2;
  const across = { xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below" };
  const edge = (at) => ({ ...across, type: "line", x0: toAxis(at), x1: toAxis(at), line: { color: ink, width: 1, dash: "3px,3px" } });
  if (mark.end === null) return [edge(mark.at)];
  const inside = { ...across, type: "rect", x0: toAxis(Math.max(mark.at, window_.start)), x1: toAxis(Math.min(end, window_.end)) };
  return [{ ...inside, fillcolor: faded(ink, 0.1), line: { width: 0 } }, edge(mark.at), edge(end)];
}

function unknown(gap, toAxis, theme) {
  return {
    x: toAxis((gap.start + gap.end) / 2), y: 0.5, xref: "x", yref: "paper", text: "unknown", showarrow: false,
    font: { family: theme.font, size: 11, color: theme.text2 },
  };
}

// Each line is named at its end with its last figure, moved apart where they would touch.
function lineEnds(figure, points, theme, top, plot) {
  const shape = formatter(figure.axis);
  const tall = plot.height - plot.top - plot.bottom;
  const ends = [];
  for (const trace of figure.traces) {
    const own = points.values[trace.metric] ?? [];
    const value = own.at(-1) ?? null;
    if (value === null) continue;
    const at = trace.stacked ? stacked(figure, trace, points).at(-1) : value;
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

// Room for the longest name at a line's end with a figure of five digits before it, in its unit.
function roomAtEnd(figure, theme) {
  const names = figure.traces.map((trace) => widthOf(nameAtEnd(trace.name), theme.font));
  return Math.max(104, 23 + widthOf(`${formatter(figure.axis)(12345).replace(" /s", "")}\u00a0`, theme.font) + Math.max(...names));
}

const ruler = document.createElement("canvas").getContext("2d");
function widthOf(text, font) {
  ruler.font = `11px ${font}`;
  return Math.ceil(ruler.measureText(text).width);
}

const nameAtEnd = (name) => ({ unacknowledged: "unacked", "connections opened": "conn. opened", "connections closed": "conn. closed", "channels opened": "ch. opened", "channels closed": "ch. closed" })[name] ?? name;
