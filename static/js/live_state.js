// Where the page says how live it is: a word in the foot, and what nobody may overlook above the page.

const SVG = "http://www.w3.org/2000/svg";

/** Set the word in the foot; `state` is live, paused, reconnecting or stopped; `link` is {text, address}. */
export function say(state, words, link) {
  const place = document.getElementById("live-state");
  if (!place) return;
  if (place.dataset.state === state && place.dataset.words === words) return;
  place.dataset.state = state;
  place.dataset.words = words;
  place.replaceChildren(words);
  if (link) place.append(" · ", anchor(link));
}

/** Say something above the page, in place of what was said of the same kind. */
export function notice(kind, sentence, link) {
  const there = document.querySelector(`[data-live-notice="${kind}"]`);
  if (there) {
    const words = there.querySelector("p");
    if (words.firstChild.nodeValue !== sentence) words.firstChild.nodeValue = sentence;
    return;
  }
  const box = document.createElement("div");
  box.className = "callout callout--warning";
  box.dataset.liveNotice = kind;
  box.dataset.keep = "";
  box.setAttribute("role", "status");
  const words = document.createElement("p");
  words.append(document.createTextNode(sentence));
  if (link) words.append(" ", anchor(link));
  box.append(icon(), words);
  document.getElementById("main")?.prepend(box);
}

/** Take back what was said of a kind. */
export function clear(kind) {
  document.querySelector(`[data-live-notice="${kind}"]`)?.remove();
}

function anchor({ text, address }) {
  const link = document.createElement("a");
  link.href = address;
  link.textContent = text;
  return link;
}

function icon() {
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", "#i-s-stale");
  const found = document.createElementNS(SVG, "svg");
  for (const [name, value] of [["class", "ic st__i st__i--warning"], ["viewBox", "0 0 16 16"], ["aria-hidden", "true"]]) {
    found.setAttribute(name, value);
  }
  found.append(use);
  return found;
}
