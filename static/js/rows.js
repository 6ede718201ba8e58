// The order of a table's rows. Nothing moves under the pointer: while a row is hovered, focused or selected the table
// holds its order and says how many rows would move. Where rows come or go, they are drawn by the server.

import { morphChildren } from "./morph.js";

// At most one request for rows in this time, a table.
const REST_MS = 1000;

const tables = new WeakMap();
let waiting = new Set();

/** Bring a table's body into the order of these row keys, as soon as nobody's hand is on it. */
export function arrange(body, order, { swapped, signedOut }) {
  const table = tables.get(body) ?? { lastAsked: 0, asking: false, askedFor: null };
  tables.set(body, Object.assign(table, { order, swapped, signedOut }));
  settle(body);
}

/** Tell whether somebody's hand is on a table: a row is hovered, focused, checked, or text in it selected. */
export function held(body) {
  if (matchMedia("(hover: hover)").matches && body.matches(":hover")) return true;
  if (body.contains(document.activeElement)) return true;
  if (body.querySelector("input:checked, [aria-selected='true']")) return true;
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && body.contains(selection.anchorNode));
}

function settle(body) {
  const table = tables.get(body);
  if (!body.isConnected) {
    waiting.delete(body);
    return;
  }
  const rows = [...body.querySelectorAll(":scope > [data-row]")];
  const present = new Map(rows.map((row) => [row.dataset.row, row]));
  const wanted = new Set(table.order);
  const come = table.order.filter((key) => !present.has(key)).length;
  const gone = rows.filter((row) => !wanted.has(row.dataset.row)).length;
  const staying = table.order.filter((key) => present.has(key));
  const still = longestRun(staying.map((key) => rows.indexOf(present.get(key))));
  const moving = staying.length - still.size;
  if (moving + come + gone === 0 || (moving === 0 && !body.dataset.rowsUrl)) {
    waiting.delete(body);
    note(body, 0);
  } else if (held(body)) {
    waiting.add(body);
    note(body, moving + come + gone);
  } else {
    waiting.delete(body);
    note(body, 0);
    if (come + gone && body.dataset.rowsUrl) ask(body, table);
    else move(body, staying.map((key) => present.get(key)), still);
  }
}

/** Move as few rows as will do: those that stand in order among themselves stay where they are. */
function move(body, rows, still) {
  let place = null;
  for (let index = rows.length - 1; index >= 0; index -= 1) {
    if (!still.has(index)) body.insertBefore(rows[index], place);
    place = rows[index];
  }
}

/** Return the indices of a longest ascending subsequence. */
function longestRun(numbers) {
  const ends = [];
  const before = new Array(numbers.length).fill(-1);
  for (const [index, number] of numbers.entries()) {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[ends[middle]] < number) low = middle + 1;
      else high = middle;
    }
    before[index] = low > 0 ? ends[low - 1] : -1;
    ends[low] = index;
  }
  const found = new Set();
  for (let index = ends.at(-1) ?? -1; index >= 0; index = before[index]) found.add(index);
  return found;
}

async function ask(body, table) {
  const wanted = table.order.join(" ");
  // The server drew what it has; asking again for the same would go on for ever.
  if (table.asking || table.askedFor === wanted) return;
  const rest = table.lastAsked + REST_MS - performance.now();
  if (rest > 0) {
    setTimeout(() => settle(body), rest);
    return;
  }
  table.asking = true;
  table.lastAsked = performance.now();
  table.askedFor = wanted;
  try {
    const answer = await fetch(body.dataset.rowsUrl, { headers: { "HX-Request": "true" } });
    if (answer.status === 401 || answer.redirected) {
      table.signedOut();
      return;
    }
    if (answer.ok) swap(body, await answer.text(), table);
  } catch {
    // No connection: the socket's own state says so, and its next full state asks again.
    table.askedFor = null;
  } finally {
    table.asking = false;
  }
  if (table.order.join(" ") !== wanted) settle(body);
}

function swap(body, html, table) {
  if (held(body)) {
    // A hand came while the rows were on their way: they are asked for again when it is gone.
    table.askedFor = null;
    settle(body);
    return;
  }
  const drawn = document.createElement("template");
  drawn.innerHTML = html;
  morphChildren(body, drawn.content);
  window.htmx?.process(body);
  table.swapped();
}

function note(body, number) {
  const region = body.closest(".tw") ?? body.closest("table");
  const card = region.parentElement;
  let line = card.querySelector(":scope > [data-rows-note]");
  if (!number) {
    if (line) line.hidden = true;
    return;
  }
  if (!line) {
    line = document.createElement("div");
    line.className = "card__f";
    line.dataset.rowsNote = "";
    line.dataset.keep = "";
    line.setAttribute("role", "status");
    line.append(document.createElement("span"));
    line.firstChild.className = "t3";
    region.after(line);
  }
  line.hidden = false;
  const words = number === 1 ? "1 row would move" : `${number.toLocaleString("en-US")} rows would move`;
  if (line.firstChild.textContent !== words) line.firstChild.textContent = words;
}

let looking = 0;
function look() {
  if (!waiting.size || looking) return;
  looking = setTimeout(() => {
    looking = 0;
    for (const body of [...waiting]) settle(body);
  }, 60);
}
for (const event of ["pointerover", "pointerout", "focusout", "change", "selectionchange"]) {
  document.addEventListener(event, look, { passive: true });
}
document.documentElement.addEventListener("pointerleave", look);
