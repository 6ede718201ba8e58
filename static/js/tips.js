// Reasons and exact figures: what `data-tip` says, in one popover, on hover and on focus; and how long ago a figure was
// read that is not of the newest poll (`data-read`).
// The text is set as text, so what a broker is called can never become markup. Esc closes; the pointer may
// move onto the popover to read or copy it. A live frame that changes the text changes what is shown.

import { age } from "./cells.js";

const TIPPED = "[data-tip], [data-read]";
const GAP = 6;
const EDGE = 8;
const DELAY_MS = 120;

const tip = document.createElement("div");
tip.id = "tip";
tip.className = "tip";
tip.setAttribute("role", "tooltip");
tip.setAttribute("popover", "manual");

let owner = null;
let described = null;
let waiting = 0;
let counting = 0;
const watch = new MutationObserver(() => {
  if (owner?.matches(TIPPED)) fill();
  else hide();
});
const gone = new MutationObserver(() => {
  if (!owner?.isConnected) hide();
});

function fill() {
  const said = words(owner);
  if (tip.textContent !== said) tip.textContent = said;
  place();
}

function words(element) {
  const { tip: said = "", read } = element.dataset;
  if (!read) return said;
  const when = `${age(Number(read))} ago`;
  if (!said) return `Read ${when}.`;
  return said.endsWith(".") ? `${said} Read ${when}.` : `${said}, read ${when}`;
}

/** Put the popover under its owner, or above where there is no room below, always within the window. */
function place() {
  const at = owner.getBoundingClientRect();
  const { width, height } = tip.getBoundingClientRect();
  const page = document.documentElement;
  const left = Math.min(Math.max(EDGE, at.left), page.clientWidth - width - EDGE);
  const below = at.bottom + GAP;
  const top = below + height + EDGE > innerHeight && at.top - GAP - height > EDGE ? at.top - GAP - height : below;
  tip.style.left = `${Math.max(EDGE, left)}px`;
  tip.style.top = `${Math.max(EDGE, Math.min(top, innerHeight - height - EDGE))}px`;
}

function show(element) {
  clearTimeout(waiting);
  if (owner === element || !words(element)) return;
  hide();
  owner = element;
  // A dialog stands above the page: within one the popover is its child, so that it is not hidden behind it.
  (element.closest("dialog[open]") ?? document.body).append(tip);
  tip.textContent = words(element);
  tip.showPopover();
  place();
  described = element.getAttribute("aria-describedby");
  element.setAttribute("aria-describedby", described ? `${described} ${tip.id}` : tip.id);
  watch.observe(element, { attributes: true, attributeFilter: ["data-tip", "data-read"] });
  if (element.dataset.read) counting = setInterval(fill, 1000);
  gone.observe(document.body, { childList: true, subtree: true });
}

function hide() {
  clearTimeout(waiting);
  clearInterval(counting);
  if (!owner) return;
  watch.disconnect();
  gone.disconnect();
  if (described) owner.setAttribute("aria-describedby", described);
  else owner.removeAttribute("aria-describedby");
  owner = null;
  tip.hidePopover();
  tip.remove();
}

/** Stay with the owner as it moves, also when focus itself scrolled it into the window; close where it left it. */
function follow() {
  if (!owner) return;
  const at = owner.getBoundingClientRect();
  if (at.bottom < 0 || at.top > innerHeight || at.right < 0 || at.left > innerWidth) hide();
  else place();
}

/** The element whose reason is asked for. A room's name is told only where the narrow sidebar hides it. */
function owned(event) {
  const element = event.target instanceof Element ? event.target.closest(TIPPED) : null;
  const shown = element?.querySelector(".nav__t");
  return shown && shown.offsetWidth > 1 ? null : element;
}

document.addEventListener("pointerover", (event) => {
  if (event.pointerType === "touch") return;
  clearTimeout(waiting);
  if (tip.contains(event.target)) return;
  const element = owned(event);
  if (element === owner && element) return;
  waiting = setTimeout(() => {
    if (element) show(element);
    else if (owner && !owner.matches(":focus-visible")) hide();
  }, DELAY_MS);
});
document.addEventListener("focusin", (event) => {
  const element = owned(event);
  if (element) show(element);
  else hide();
});
document.addEventListener("focusout", hide);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && owner) {
    hide();
    // One Esc closes one thing: the reason, and then what is under it.
    event.preventDefault();
    event.stopPropagation();
  }
}, true);
document.addEventListener("scroll", follow, { capture: true, passive: true });
addEventListener("resize", follow);
