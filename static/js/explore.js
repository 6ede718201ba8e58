// The page of charts: a link to exactly what is shown, the window in its fields, and the chart as a picture.

import { figureOf } from "./chart_figure.js";
import { shownCharts, shownWindow } from "./charts.js";
import { plain } from "./chart_words.js";

const SAID_MS = 2500;
const LEGEND_ROW = 19;

const chart = () => shownCharts.get("explore");

// The window that is shown, as two moments: what a copied link and a file are of.
function ends() {
  const { start, end } = shownWindow();
  return { from: String(Math.round(start)), to: String(Math.round(end)) };
}

function withWindow(link) {
  const url = new URL(link.href);
  for (const name of ["range", "from", "to"]) url.searchParams.delete(name);
  for (const [name, value] of Object.entries(ends())) url.searchParams.set(name, value);
  return url.href;
}

async function copy(event) {
  const link = event.currentTarget;
  const address = withWindow(link);
  if (!navigator.clipboard) {
    // Copying is for secure origins alone: the link itself then shows what is to be copied, in the address bar.
    link.href = address;
    return;
  }
  event.preventDefault();
  const words = link.querySelector("span");
  try {
    await navigator.clipboard.writeText(address);
    words.textContent = "Copied";
  } catch {
    location.assign(address);
    return;
  }
  setTimeout(() => { words.textContent = "Copy link"; }, SAID_MS);
}

// The picture has what stands around the chart on the page: a title, a legend, the ground it is read on.
async function picture(button) {
  const one = chart();
  const { data, layout } = figureOf(one, shownWindow(), { bands: true });
  const shown = data.filter((trace) => trace.hoverinfo !== "skip");
  const surface = getComputedStyle(document.querySelector(".card")).backgroundColor;
  const image = {
    ...layout, width: 1200, height: 560 + shown.length * LEGEND_ROW, paper_bgcolor: surface, plot_bgcolor: surface,
    title: { text: plain(title()), x: 0.02, xanchor: "left", font: { size: 13 } }, showlegend: true,
    legend: { orientation: "h", x: 0, y: -0.1, yanchor: "top", font: { size: 12 }, entrywidth: 1, entrywidthmode: "fraction" },
    margin: { ...layout.margin, l: layout.margin.l + 10, r: Math.max(layout.margin.r, 24), t: 46, b: 40 + shown.length * LEGEND_ROW },
  };
  button.setAttribute("aria-busy", "true");
  try {
    const url = await globalThis.Plotly.toImage({ data, layout: image }, { format: "png", width: image.width, height: image.height, scale: 2 });
    const link = document.createElement("a");
    link.href = url;
    link.download = `warren-${ends().from}-${ends().to}.png`;
    link.click();
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function title() {
  const { start, end } = shownWindow();
  const zone = chart().zone;
  const shape = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return `${shape.format(start)} to ${shape.format(end)} (${zone})`;
}

// The fields say which window is shown, until somebody writes into them.
function fill() {
  const one = chart();
  const form = document.querySelector(".explore-time");
  if (!one || !form || form.contains(document.activeElement)) return;
  for (const [name, at] of Object.entries(ends())) {
    const shape = new Intl.DateTimeFormat("sv-SE", { timeZone: one.zone, dateStyle: "short", timeStyle: "medium" });
    form.elements[name].value = shape.format(Number(at)).replace(" ", "T");
  }
}

document.querySelector("[data-copy-link]")?.addEventListener("click", copy);
document.querySelector("[data-chart-png]")?.addEventListener("click", (event) => picture(event.currentTarget));
document.querySelector("[data-chart-csv]")?.addEventListener("click", (event) => { event.currentTarget.href = withWindow(event.currentTarget); });
document.querySelector("[data-chart=explore]")?.addEventListener("warren:drawn", fill);
fill();
