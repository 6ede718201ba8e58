// Times the drawing of a chart as pages do it, and of one line by plotly alone, in ms.

import { figureOf } from "/static/js/chart_figure.js";

const Plotly = globalThis.Plotly;

export async function measure({ figure, points, window_, times }) {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const config = { displayModeBar: false, doubleClick: false, responsive: false };
  const element = document.getElementById("ours");
  const chart = { element, figure, points, zone: "Europe/Madrid", cadence: 5000, marks: [] };
  const draw = () => { const { data, layout } = figureOf(chart, window_); return Plotly.react(element, data, layout, config); };
  const timed = async (work) => { await frame(); const begun = performance.now(); await work(); return performance.now() - begun; };
  const first = await timed(draw);
  const again = [];
  for (let turn = 0; turn < times; turn += 1) {
    // A tick: every line loses its first point and gets a new one.
    const values = Object.fromEntries(Object.entries(chart.points.values).map(([name, column]) => [name, [...column.slice(1), column[0]]]));
    const step = window_.step;
    chart.points = { times: chart.points.times.map((at) => at + step), values };
    window_ = { ...window_, start: window_.start + step, end: window_.end + step };
    again.push(await timed(draw));
  }
  const bare = document.getElementById("bare");
  let y = points.values.s0;
  const x = points.times;
  const one = () => Plotly.react(bare, [{ type: "scatter", mode: "lines", x, y }], { width: 1100, height: 380, xaxis: { type: "date" } }, config);
  const bareFirst = await timed(one);
  const bareAgain = [];
  for (let turn = 0; turn < times; turn += 1) { y = [...y.slice(1), y[0]]; bareAgain.push(await timed(one)); }
  const middle = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
  return { first, again: middle(again), bareFirst, bareAgain: middle(bareAgain) };
}
