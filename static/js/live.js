// Live figures: one websocket a page, whose protocol stands in docs/architecture.md. Every element with `data-topic` is
// subscribed; frames are applied once an animation frame and acknowledged then, so that a slow browser gets the newest.
//
// For other modules:
//   subscribe(topic, params, handlers, name?) → { name, resubscribe(params), unsubscribe() }
//   resubscribe(name, params)   the subscription of `<main data-topic>` is named "page"
//   handlers: { frame(frame, view), refused(sentence) }, both optional; `view` is all that is known after the frame.
// On `[data-chart=KEY]` a frame's points come as the event `warren:chart` with `detail`:
//   points { times, values }   what is new: drop what you have from its first time on, and append
//   full                       the points are the whole window
//   start                      drop what is older
//   whole { times, values }    the whole window after this frame, for those who rather draw anew

import { setClock, show } from "./cells.js";
import { applied, emptyView } from "./frames.js";
import { clear, notice, say } from "./live_state.js";
import { pageRefresher } from "./refresh.js";
import { arrange } from "./rows.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;
// Without a connection for this long, the page says so where nobody overlooks it.
const LONG_MS = 15_000;
// Brokers are polled at least once a minute: a socket that is silent for longer may be dead without knowing.
const SILENT_MS = 75_000;
const ANSWER_MS = 5_000;

const NOT_SIGNED_IN = 4401;
const TOO_MANY_FAULTS = 4400;

const subscriptions = new Map();
let socket = null;
let stopped = false;
let failures = 0;
let lostAt = 0;
let heardAt = 0;
let askedAt = 0;
let lastSeq = 0;
let timer = 0;
let dirty = new Map();
let acks = [];
let scheduled = false;

const refresher = pageRefresher({ after: reapply, signedOut: stopSignedOut });

/** Watch a topic. Returns how to change its parameters and how to end it. */
export function subscribe(topic, params = {}, handlers = {}, name = `s${subscriptions.size + 1}-${Date.now()}`) {
  subscriptions.set(name, { name, topic, params, handlers, view: emptyView(), element: null });
  send({ op: "subscribe", sub: name, topic, params });
  connect();
  return {
    name,
    resubscribe: (changed) => resubscribe(name, changed),
    unsubscribe: () => {
      subscriptions.delete(name);
      send({ op: "unsubscribe", sub: name });
    },
  };
}

/** Watch the same topic with other parameters; a full state comes at once. */
export function resubscribe(name, params) {
  const one = subscriptions.get(name);
  if (!one) return;
  one.params = params;
  send({ op: "subscribe", sub: name, topic: one.topic, params });
}

/** Subscribe what the page says it shows: after it came, and after htmx put another into its place. */
function scan() {
  const found = new Map();
  for (const element of document.querySelectorAll("[data-topic]")) {
    found.set(element.id === "main" || !element.id ? "page" : element.id, element);
  }
  for (const [name, one] of subscriptions) {
    if (one.element && !found.has(name)) {
      subscriptions.delete(name);
      send({ op: "unsubscribe", sub: name });
    }
  }
  for (const [name, element] of found) {
    const { topic, params } = element.dataset;
    const held = subscriptions.get(name);
    if (held?.topic === topic && held.drawnParams === params) {
      held.element = element;
      continue;
    }
    subscribe(topic, JSON.parse(params || "{}"), {}, name);
    Object.assign(subscriptions.get(name), { element, drawnParams: params });
    // Until the first frame says better: a little too early, by what the page took to get here.
    if (!lastSeq && element.dataset.now) setClock(Number(element.dataset.now));
  }
}

// The connection

function connect() {
  if (socket || stopped || !subscriptions.size) return;
  clearTimeout(timer);
  const address = new URL("/ws/live", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const opening = new WebSocket(address);
  socket = opening;
  opening.addEventListener("open", () => {
    if (socket !== opening) return;
    heardAt = performance.now();
    subscribeAll();
  });
  opening.addEventListener("message", (event) => {
    if (socket === opening) take(JSON.parse(event.data));
  });
  opening.addEventListener("close", (event) => {
    if (socket === opening) lost(event.code);
  });
}

function subscribeAll() {
  lastSeq = 0;
  if (document.hidden) send({ op: "hide" });
  for (const { name, topic, params } of subscriptions.values()) send({ op: "subscribe", sub: name, topic, params });
  expectAnswer();
}

/** From here on a frame has to come, or the connection is taken for dead. */
function expectAnswer() {
  askedAt = document.hidden || !subscriptions.size ? 0 : performance.now();
}

/** Ask for everything again: the answer shows that the connection lives, and is right whatever was missed. */
function askAgain() {
  if (document.hidden || socket?.readyState !== WebSocket.OPEN) return;
  for (const { name, topic, params } of subscriptions.values()) send({ op: "subscribe", sub: name, topic, params });
  expectAnswer();
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/** Drop the connection, knowing or suspecting that nothing comes over it any more. */
function drop() {
  const dropped = socket;
  socket = null;
  dropped?.close();
}

function lost(code) {
  drop();
  if (code === NOT_SIGNED_IN) {
    stopSignedOut();
    return;
  }
  if (code === TOO_MANY_FAULTS) {
    stopped = true;
    say("stopped", "Not live: reload the page");
    return;
  }
  lostAt ||= performance.now();
  failures += 1;
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);
  sayLost();
  timer = setTimeout(connect, wait);
}

function sayLost() {
  if (stopped || !lostAt) return;
  say("reconnecting", navigator.onLine ? "Reconnecting…" : "Offline");
  if (performance.now() - lostAt < LONG_MS) return;
  const since = new Date(Date.now() - (performance.now() - lostAt)).toLocaleTimeString("en-GB");
  const why = navigator.onLine ? "Warren has not been reached" : "This browser has been offline";
  notice("lost", `${why} since ${since}: the figures are of then. It is tried again by itself.`);
}

function stopSignedOut() {
  stopped = true;
  drop();
  const address = location.pathname + location.search;
  say("stopped", "Signed out", { text: "Sign in", address });
  notice("signed-out", "Your session has ended: the figures stand still.", { text: "Sign in again", address });
}

function back() {
  failures = 0;
  lostAt = 0;
  clear("lost");
  say(document.hidden ? "paused" : "live", document.hidden ? "Paused" : "Live");
}

// Frames

function take(frame) {
  heardAt = performance.now();
  askedAt = 0;
  if (frame.op === "refused") {
    refuse(frame);
    return;
  }
  if (frame.seq !== lastSeq + 1) {
    // One is missing, whatever became of it: what we have can't be trusted any more.
    drop();
    connect();
    return;
  }
  lastSeq = frame.seq;
  setClock(frame.now_ms);
  const one = subscriptions.get(frame.sub);
  if (one) {
    one.view = applied(one.view, frame);
    const waiting = dirty.get(frame.sub) ?? [];
    waiting.push(frame);
    dirty.set(frame.sub, waiting);
  }
  acks.push(frame.seq);
  schedule();
  if (failures || lostAt || document.getElementById("live-state")?.dataset.state !== "live") back();
}

function refuse({ sub, sentence }) {
  if (!sub) {
    console.warn(`Live figures: ${sentence}`);
    return;
  }
  const one = subscriptions.get(sub);
  if (!one) return;
  subscriptions.delete(sub);
  if (one.handlers.refused) one.handlers.refused(sentence);
  else {
    say("stopped", "Not live");
    notice("refused", sentence);
  }
}

/** Apply what came at the next animation frame; where the browser draws none, soon all the same. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  const once = () => {
    if (!scheduled) return;
    scheduled = false;
    apply();
  };
  requestAnimationFrame(once);
  setTimeout(once, 400);
}

function apply() {
  const frames = dirty;
  const taken = acks;
  dirty = new Map();
  acks = [];
  for (const [name, waiting] of frames) {
    const one = subscriptions.get(name);
    if (!one) continue;
    showCells(one, waiting);
    for (const frame of waiting) {
      showCharts(frame, one.view);
      one.handlers.frame?.(frame, one.view);
    }
    showOrder(one);
    if (one.element) refresher.want(one.element, one.view.shape);
  }
  for (const seq of taken) send({ op: "ack", seq });
}

function showCells(one, waiting) {
  const full = waiting.some((frame) => frame.op === "state");
  const changed = new Set(waiting.flatMap((frame) => [...Object.keys(frame.cells ?? {}), ...(frame.gone ?? [])]));
  for (const element of document.querySelectorAll("[data-live]")) {
    const key = element.dataset.live;
    if (changed.has(key) || (full && one.view.cells.has(key))) show(element, one.view.cells.get(key));
  }
}

function showCharts(frame, view) {
  for (const [key, { times, values, full = false, start = 0 }] of Object.entries(frame.charts ?? {})) {
    const detail = { points: { times, values }, full, start, whole: view.charts.get(key) ?? { times: [], values: {} } };
    for (const element of document.querySelectorAll(`[data-chart="${CSS.escape(key)}"]`)) {
      element.dispatchEvent(new CustomEvent("warren:chart", { detail }));
    }
  }
}

function showOrder(one) {
  if (!one.view.order || !one.element) return;
  for (const body of document.querySelectorAll("[data-rows]")) {
    if ((body.dataset.rows || "page") !== one.name) continue;
    // Where a page has several tables, the order is of all their rows, and each knows its own by how their keys begin.
    const own = one.view.order.filter((key) => key.startsWith(body.dataset.rowsOf ?? ""));
    arrange(body, own, { swapped: reapply, signedOut: stopSignedOut });
  }
}

/** Show all that is known again: the page, or a part of it, was drawn anew. */
function reapply() {
  for (const one of subscriptions.values()) {
    for (const element of document.querySelectorAll("[data-live]")) {
      const cell = one.view.cells.get(element.dataset.live);
      if (cell) show(element, cell);
    }
    showOrder(one);
  }
}

// What happens around the page

document.addEventListener("visibilitychange", () => {
  send({ op: document.hidden ? "hide" : "show" });
  if (document.hidden) {
    askedAt = 0;
    if (socket) say("paused", "Paused");
  } else {
    heardAt = performance.now();
    expectAnswer();
    failures = 0;
    connect();
    sayLost();
  }
});
addEventListener("online", () => {
  failures = 0;
  askAgain();
  connect();
});
// Warren may well be on this very machine: ask before taking the connection for dead.
addEventListener("offline", askAgain);
addEventListener("pagehide", drop);
addEventListener("pageshow", (event) => {
  if (event.persisted) connect();
});
document.addEventListener("htmx:afterSettle", scan);
setInterval(() => {
  sayLost();
  if (document.hidden || socket?.readyState !== WebSocket.OPEN) return;
  const now = performance.now();
  if (askedAt && now - askedAt > ANSWER_MS) {
    askedAt = 0;
    lost(0);
  } else if (!askedAt && now - heardAt > SILENT_MS) {
    askAgain();
  }
}, 1000);

scan();
if (subscriptions.size) say("reconnecting", "Connecting…");
