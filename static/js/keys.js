// The keyboard: `/` or ⌘K finds, `g` and a letter goes to a room, `j` and `k` walk rows, `x` selects one, `t` turns
// the theme, `?` lists the keys. What stands in a field, or with Ctrl, Alt or ⌘, is left alone.

import { toggle } from "./theme.js";

const GO_MS = 1500;
let goUntil = 0;

const typing = (element) => element.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
const open = () => document.querySelector("dialog[open], [popover]:popover-open:not(.tip)");

function find() {
  const box = document.getElementById("find");
  if (!box) return false;
  box.focus();
  box.select();
  return true;
}

function help() {
  const list = document.getElementById("keys");
  if (!list) return false;
  document.querySelector("[popover]:popover-open")?.hidePopover();
  list.showModal();
  return true;
}

function go(letter) {
  const room = document.querySelector(`[data-go="${CSS.escape(letter)}"]`);
  room?.click();
  return Boolean(room);
}

/** The rows that `j` and `k` walk: of the table that holds the focus, else of the page's first table with rows. */
function rows() {
  const here = document.activeElement?.closest(".tbl");
  const table = here ?? [...document.querySelectorAll("main .tbl")].find((one) => one.tBodies[0]?.rows.length);
  return table ? [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => row.offsetParent) : [];
}

function walk(step) {
  const all = rows();
  if (!all.length) return false;
  const now = all.indexOf(document.activeElement?.closest("tr"));
  const next = now < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + step, 0), all.length - 1);
  const target = all[next].querySelector("a[href], button, input, [tabindex]");
  if (!target) return false;
  // Focus by script after a key shows the ring, as focus by Tab does.
  target.focus({ focusVisible: true });
  all[next].scrollIntoView({ block: "nearest" });
  return true;
}

function select() {
  const box = document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]");
  box?.click();
  return Boolean(box);
}

const KEYS = {
  "/": find,
  "?": help,
  j: () => walk(1),
  k: () => walk(-1),
  x: select,
  t: () => {
    toggle();
    return true;
  },
  g: () => {
    goUntil = Date.now() + GO_MS;
    return true;
  },
};

function pressed(event) {
  if ((event.metaKey || event.ctrlKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") return find();
  if (event.metaKey || event.ctrlKey || event.altKey || event.isComposing) return false;
  if (event.key === "Escape" && event.target.id === "find") {
    event.target.blur();
    return true;
  }
  if (typing(event.target) || open()) return false;
  if (Date.now() < goUntil) {
    goUntil = 0;
    return go(event.key);
  }
  return KEYS[event.key]?.() ?? false;
}

document.addEventListener("keydown", (event) => {
  if (!event.defaultPrevented && pressed(event)) event.preventDefault();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-keys-help]")) help();
});
