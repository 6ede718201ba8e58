// Draws the page's charts with plotly.js: what dashboard/charts describes, in the colours of the present theme.
//
// Every chart of a page shows the same window of time. It follows the present, or it is fixed: by a drag, which reads the
// window again at a finer step. A double click, or Follow, returns. The address always says what is shown.

import { drawChart } from "./chart_draw.js";
import { forgetTheme } from "./chart_figure.js";
import { drawMarks, marksOfPage, watchMarks } from "./chart_marks.js";
import { formatter } from "./chart_words.js";
import { duration } from "./duration.js";

const Plotly = globalThis.Plotly;
const charts = new Map();
const view = { window: null, held: null, asked: 0 };

function begin() {
  for (const element of document.querySelectorAll("[data-chart]")) add(element);
  if (!charts.size) return;
  view.held = view.window;
  watch();
  if ([...charts.values()].some((chart) => chart.points === null)) fetchPoints(view.window);
}

function add(element) {
  const told = JSON.parse(document.getElementById(element.dataset.chartData).textContent);
  const chart = {
    element, figure: told.figure, zone: told.zone, cadence: told.cadence,
    points: told.points, live: null, due: false, drawn: false, dragging: false,
  };
  view.window ??= told.window;
  charts.set(told.figure.key, chart);
  element.addEventListener("warren:chart", (event) => take(chart, event.detail));
  element.addEventListener("pointerdown", () => { chart.dragging = true; });
  new ResizeObserver(() => draw(chart)).observe(element);
  if (chart.points) draw(chart);
}

/** The page's charts by their key, and the window that they show: for what else a page does with them. */
export const shownCharts = charts;
export const shownWindow = () => view.window;

function watch() {
  const again = () => charts.forEach(draw);
  const recolour = () => { forgetTheme(); again(); };
  watchMarks(again);
  new MutationObserver(recolour).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  addEventListener("pointerup", letGo);
  addEventListener("pointercancel", letGo);
  addEventListener("popstate", fromAddress);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
  for (const button of document.querySelectorAll("[data-chart-follow]")) {
    button.addEventListener("click", () => (view.window.range ? fix(span(view.window)) : follow()));
  }
  for (const button of document.querySelectorAll("[data-chart-move]")) {
    button.addEventListener("click", () => move(...MOVES[button.dataset.chartMove]));
  }
}

// By how much of its length each end of the window moves: what a drag does, by buttons.
const MOVES = { earlier: [-0.5, -0.5], later: [0.5, 0.5], in: [0.25, -0.25], out: [-0.5, 0.5] };

function move(first, last) {
  const { start, end } = view.window;
  const length = end - start;
  const now = view.held.range ? view.held.end : Date.now();
  const until = Math.min(end + length * last, now);
  const from = Math.min(start + length * first, until - length * (1 + last - first));
  fix({ start: Math.round(from), end: Math.max(Math.round(until), Math.round(from) + 10_000) });
}

function letGo() {
  for (const chart of charts.values()) {
    if (!chart.dragging) continue;
    chart.dragging = false;
    if (chart.late) draw(chart);
  }
}

// A frame's points: `whole` is all of the window that the page follows, as the server has it.
function take(chart, { whole }) {
  const newest = whole.times.at(-1);
  if (newest === undefined) return;
  chart.live = whole;
  moveTo(newest);
  if (!view.window.range) return;
  chart.points = whole;
  draw(chart);
}

function moveTo(newest) {
  const held = view.held;
  const end = Math.max(held.end, newest);
  const start = held.range === "all" ? held.start : end - (held.end - held.start);
  const followed = view.window === held;
  view.held = { ...held, start, end };
  if (followed) view.window = view.held;
}

const span = (range) => ({ start: Math.round(range.start), end: Math.round(range.end) });

function fix({ start, end }, { push = true } = {}) {
  const window_ = { start, end, step: view.window.step, range: "" };
  if (push && rankedAnew()) {
    location.assign(addressOf({ from: String(start), to: String(end) }));
    return;
  }
  view.window = window_;
  if (push) address({ from: String(start), to: String(end) });
  controls();
  charts.forEach(draw);
  fetchPoints(window_);
}

function follow({ push = true } = {}) {
  if (!view.held.range) {
    // The page was opened at a fixed window and is subscribed to nothing that moves.
    location.assign(document.querySelector("[data-chart-time]").dataset.followUrl);
    return;
  }
  view.window = view.held;
  view.asked += 1;
  if (push) address({ range: view.held.range });
  controls();
  for (const chart of charts.values()) {
    if (chart.live) chart.points = chart.live;
    draw(chart);
  }
  if ([...charts.values()].some((chart) => !chart.live)) fetchPoints(view.window);
}

// What is ranked over the window is another over another window: the page is asked for anew.
const rankedAnew = () => document.querySelector("[data-chart-time]")?.dataset.ranked === "yes";

function addressOf(params, href = location.href) {
  const url = new URL(href);
  for (const name of ["range", "from", "to"]) url.searchParams.delete(name);
  for (const [name, value] of Object.entries(params)) url.searchParams.set(name, value);
  return url;
}

function address(params) {
  const url = addressOf(params);
  if (url.href !== location.href) history.pushState({ warrenChart: true }, "", url);
}

function fromAddress() {
  const params = new URL(location.href).searchParams;
  if (params.has("from")) fix({ start: Number(params.get("from")), end: Number(params.get("to")) }, { push: false });
  else if (view.held.range) follow({ push: false });
  else location.reload();
}

function controls() {
  const { range, step, start, end, says } = view.window;
  for (const link of document.querySelectorAll("[data-chart-range]")) {
    if (link.dataset.chartRange === range) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  for (const button of document.querySelectorAll("[data-chart-follow]")) button.setAttribute("aria-pressed", String(Boolean(range)));
  for (const link of document.querySelectorAll("[data-chart-explore]")) link.href = addressOf(range ? { range } : { from: String(start), to: String(end) }, link.href).href;
  for (const element of document.querySelectorAll("[data-chart-step]")) {
    element.textContent = `${range ? "" : `${duration((end - start) / 1000)}, fixed, `}${says || `one point each ${duration(step / 1000)}`}`;
  }
}

// Reads every chart's points of a window: one request for all that share an address.
async function fetchPoints(window_) {
  const number = (view.asked += 1);
  const urls = new Set([...charts.values()].map((chart) => chart.element.dataset.pointsUrl));
  const query = window_.range ? { range: window_.range } : { from: window_.start, to: window_.end };
  await Promise.all([...urls].map(async (text) => {
    const url = new URL(text, location.href);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    try {
      const answer = await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      if (!answer.ok) throw new Error(`${answer.status}`);
      const told = await answer.json();
      if (number === view.asked) receive(told, window_);
    } catch {
      if (number === view.asked) say("The points of this window could not be read. Choose a range to try again.");
    }
  }));
}

function receive(told, window_) {
  say("");
  const now = { ...view.window, step: told.window.step, says: told.window.says };
  if (view.window === view.held) view.held = now;
  view.window = now;
  for (const [key, points] of Object.entries(told.charts)) {
    const chart = charts.get(key);
    if (!chart) continue;
    // What came live meanwhile is newer.
    chart.points = (window_.range && chart.live) || points;
    draw(chart);
  }
  controls();
}

function say(sentence) {
  for (const element of document.querySelectorAll("[data-chart-say]")) {
    element.textContent = sentence;
    element.hidden = !sentence;
  }
}

// At most one drawing of a chart an animation frame, and none under a drag.
function draw(chart) {
  if (chart.dragging) {
    chart.late = true;
    return;
  }
  chart.late = false;
  if (chart.due || !chart.points || document.hidden) return;
  chart.due = true;
  requestAnimationFrame(() => {
    chart.due = false;
    if (chart.element.clientWidth) react(chart);
  });
}

function react(chart) {
  chart.marks = marksOfPage();
  delete chart.element.dataset.state;
  drawChart(chart, view.window);
  drawMarks(chart, view.window);
  last(chart);
  chart.element.dispatchEvent(new CustomEvent("warren:drawn"));
  if (chart.drawn) return;
  chart.drawn = true;
  chart.element.on("plotly_relayout", (change) => zoomed(chart, change));
  chart.element.on("plotly_doubleclick", () => { if (!view.window.range) follow(); });
}

function zoomed(chart, change) {
  const from = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
  const to = change["xaxis.range[1]"] ?? change["xaxis.range"]?.[1];
  if (from === undefined || to === undefined) return;
  chart.dragging = false;
  const back = chart.fromAxis;
  const start = Math.round(back(from));
  const end = Math.round(back(to));
  if (Number.isFinite(start) && Number.isFinite(end) && end > start) fix({ start, end: Math.max(end, start + 10_000) });
}

function last(chart) {
  for (const table of document.querySelectorAll(`[data-chart-table="${chart.figure.key}"]`)) {
    for (const trace of chart.figure.traces) {
      const shape = formatter(trace.right ? chart.figure.right : chart.figure.axis);
      for (const [part, value] of Object.entries(figuresOf(chart, trace.metric))) {
        const cell = table.querySelector(`[data-chart-${part}="${trace.metric}"]`);
        if (cell) put(cell, value === undefined ? "unknown" : shape(value));
      }
    }
  }
}

// Where the table has a reason for what is unknown, it is told as everywhere: a dash, and the reason on hover and focus.
function put(cell, text) {
  if (text !== "unknown" || !cell.dataset.why) {
    if (cell.textContent !== text) cell.textContent = text;
    return;
  }
  if (cell.firstElementChild) return;
  const dash = document.createElement("span");
  dash.className = "unknown";
  dash.dataset.tip = cell.dataset.why;
  dash.tabIndex = 0;
  dash.textContent = "—";
  cell.replaceChildren(dash);
}

// The last known value of a line in the window, and the least and greatest that there were.
function figuresOf({ points }, key) {
  const own = points.values[key] ?? [];
  const lows = points.values[`${key}:low`];
  const highs = points.values[`${key}:high`];
  const { start, end } = view.window;
  let low;
  let high;
  own.forEach((value, at) => {
    if (value === null || points.times[at] < start || points.times[at] > end) return;
    const least = lows?.[at] ?? value;
    const most = highs?.[at] ?? value;
    if (low === undefined || least < low) low = least;
    if (high === undefined || most > high) high = most;
  });
  return { last: own.findLast((value) => value !== null), low, high };
}

if (Plotly) begin();
