// Sets a cell on the element that `{% live %}` drew, to the same markup (dashboard/templatetags/live.py): what differs
// between the two is a fault. What a broker sent is only ever set as text. Ages count on by themselves.

import { duration } from "./duration.js";

export { duration };

const SVG = "http://www.w3.org/2000/svg";

// An icon's name → the colour of its state; the same table stands in dashboard/templatetags/live.py.
const TONES = {
  ok: "ok", notice: "notice", warning: "warning", critical: "critical", dead: "dead", idle: "idle", unknown: "unknown",
  stalled: "critical", behind: "warning", doubt: "warning", stopped: "warning", catching: "notice", running: "notice",
  paused: "idle", queued: "idle", stale: "unknown",
};
const MISSING = { text: "—", unknown: "Warren has no figure for this." };

// How far the server's clock is before ours: ages count from the server's.
let clockAhead = 0;

/** Take over the server's clock: Unix milliseconds of now. */
export function setClock(nowMs) {
  clockAhead = nowMs - Date.now();
}

/** Show a cell on its element; without a cell, that there is no figure. */
export function show(element, cell) {
  if (element instanceof SVGElement) {
    showSpark(element, cell ?? {});
    return;
  }
  showFigure(element, cell ?? MISSING);
}

function showFigure(element, cell) {
  const classes = [];
  let content;
  let tip = cell.unknown || cell.exact || "";
  if (cell.unknown) {
    classes.push("unknown");
    content = [cell.text || "—"];
  } else if (cell.share !== undefined) {
    classes.push("meter");
    content = meter(cell.share, cell.state, cell.text ?? "");
  } else {
    content = text(cell);
    if (cell.since_ms !== undefined) tip ||= fullTime(cell.since_ms);
    if (cell.state) {
      const icon = Object.hasOwn(TONES, cell.state) ? cell.state : "unknown";
      const tone = icon === "stale" && cell.since_ms !== undefined ? "warning" : TONES[icon];
      classes.push("st", `st--${tone}`);
      content = [stateIcon(icon, tone), ...content];
    } else if (cell.zero) {
      classes.push("zero");
    }
  }
  setClasses(element, classes);
  setContent(element, content.filter((part) => part !== ""));
  setData(element, "tip", tip);
  setData(element, "read", cell.read_ms === undefined ? "" : String(cell.read_ms));
  if (tip || cell.read_ms !== undefined) element.tabIndex = 0;
  else if (element.hasAttribute("tabindex")) element.removeAttribute("tabindex");
  element.hidden = Boolean(cell.hidden);
}

function text(cell) {
  if (cell.since_ms !== undefined) {
    const time = document.createElement("time");
    time.dateTime = new Date(cell.since_ms).toISOString().replace(/\.\d+Z$/, "Z");
    time.dataset.since = String(cell.since_ms);
    time.textContent = age(cell.since_ms);
    return [time];
  }
  if (!cell.unit) return [cell.text ?? ""];
  const unit = document.createElement("small");
  unit.className = "unit";
  unit.textContent = cell.unit;
  return [cell.text ?? "", unit];
}

function stateIcon(icon, tone) {
  const use = svg("use", { href: `#i-s-${icon}` });
  const found = svg("svg", { class: `ic st__i st__i--${tone}`, viewBox: "0 0 16 16", "aria-hidden": "true" });
  found.append(use);
  return found;
}

function meter(share, state, label) {
  const tone = Object.hasOwn(TONES, state ?? "") ? ` bar-v--${TONES[state]}` : "";
  const tenths = Math.floor(Math.min(1, Math.max(0, share)) * 1000 + 0.5);
  const width = `${Math.floor(tenths / 10)}.${tenths % 10}%`;
  const bar = svg("svg", { class: "bar", height: "6", role: "img", "aria-label": label });
  bar.append(
    svg("rect", { class: "bar-bg", width: "100%", height: "6", rx: "3" }),
    svg("rect", { class: `bar-v${tone}`, x: "0%", width, height: "6", rx: "2" }),
  );
  const words = document.createElement("span");
  words.className = "t2 small";
  words.textContent = label;
  return [bar, words];
}

function showSpark(element, cell) {
  const spark = cell.spark ?? {};
  const drawn = [spark.area, spark.line2, spark.line, spark.dot];
  for (const [index, path] of [...element.querySelectorAll("path")].entries()) {
    const d = drawn[index] ?? "";
    if (path.getAttribute("d") !== d) path.setAttribute("d", d);
  }
  element.toggleAttribute("hidden", Boolean(cell.hidden));
}

function svg(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  return element;
}

function setData(element, name, value) {
  if (!value) delete element.dataset[name];
  else if (element.dataset[name] !== value) element.dataset[name] = value;
}

function setClasses(element, wanted) {
  const others = [...element.classList].filter((name) => !/^(unknown|meter|zero|st|st--.*)$/.test(name));
  const all = [...others, ...wanted].join(" ");
  if (all) {
    if (element.className !== all) element.className = all;
  } else if (element.hasAttribute("class")) {
    element.removeAttribute("class");
  }
}

/** Set texts and elements as children, touching only those that differ. */
function setContent(element, parts) {
  const held = element.childNodes;
  for (const [index, part] of parts.entries()) {
    const there = held[index];
    if (typeof part === "string") {
      if (there?.nodeType !== Node.TEXT_NODE) element.insertBefore(document.createTextNode(part), there ?? null);
      else if (there.nodeValue !== part) there.nodeValue = part;
    } else if (!there) {
      element.append(part);
    } else if (!there.isEqualNode(part)) {
      there.replaceWith(part);
    }
  }
  while (held.length > parts.length) element.lastChild.remove();
}

/** How long ago a moment is by the server's clock, in Unix milliseconds. */
export function age(sinceMs) {
  return duration((Date.now() + clockAhead - sinceMs) / 1000);
}

/** As dashboard.formats.full_time: `2026-11-23 03:08:44 +01:00` in the page's zone. */
export function fullTime(atMs) {
  const found = Object.fromEntries(zoneFormat().formatToParts(atMs).map((part) => [part.type, part.value]));
  const offset = found.timeZoneName.replace("GMT", "") || "+00:00";
  return `${found.year}-${found.month}-${found.day} ${found.hour}:${found.minute}:${found.second} ${offset}`;
}

let format;
function zoneFormat() {
  format ??= new Intl.DateTimeFormat("en-GB", {
    timeZone: document.body.dataset.zone || "UTC", timeZoneName: "longOffset", hourCycle: "h23",
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  return format;
}

function countOn() {
  for (const time of document.querySelectorAll("time[data-since]")) {
    const now = age(Number(time.dataset.since));
    if (time.textContent !== now) time.textContent = now;
  }
}

setInterval(() => {
  if (!document.hidden) countOn();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) countOn();
});
