// Times the drawing of a chart as pages do it, and of one line by plotly alone, in ms.

import { drawChart } from "/static/js/chart_draw.js";

const Plotly = globalThis.Plotly;

const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
const config = { displayModeBar: false, doubleClick: false, responsive: false };
const kept = {};

/** Draw for the first time; return how long it took. */
export async function begin({ figure, points, window_ }) {
  const chart = { element: document.getElementById("ours"), figure, points, zone: "Europe/Madrid", cadence: 5000, marks: [] };
  const bare = { element: document.getElementById("bare"), x: points.times, y: points.values.s0 };
  Object.assign(kept, { chart, window_, bare });
  return { first: await timed(ours), bareFirst: await timed(alone) };
}

/** Draw so many ticks anew, by the pages' modules (`ours`) or by plotly alone; return the median of how long each took. */
export async function again(whose, times) {
  const found = [];
  for (let turn = 0; turn < times; turn += 1) {
    if (whose === "ours") tick();
    else kept.bare.y = [...kept.bare.y.slice(1), kept.bare.y[0]];
    found.push(await timed(whose === "ours" ? ours : alone));
  }
  return found.sort((a, b) => a - b)[Math.floor(found.length / 2)];
}

function ours() {
  drawChart(kept.chart, kept.window_);
}

const alone = () => Plotly.react(kept.bare.element, [{ type: "scatter", mode: "lines", x: kept.bare.x, y: kept.bare.y }], { width: 1100, height: 380, xaxis: { type: "date" } }, config);

// Every line loses its first point and gets a new one.
function tick() {
  const { chart, window_ } = kept;
  const values = Object.fromEntries(Object.entries(chart.points.values).map(([name, column]) => [name, [...column.slice(1), column[0]]]));
  chart.points = { times: chart.points.times.map((at) => at + window_.step), values };
  kept.window_ = { ...window_, start: window_.start + window_.step, end: window_.end + window_.step };
}

async function timed(work) {
  await frame();
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}
