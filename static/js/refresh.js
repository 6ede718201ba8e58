// Asks for the page again when its shape changed (which rows, notes and warnings there are), and takes over what differs.

import { morph } from "./morph.js";
import { held } from "./rows.js";

// A page whose shape changes all the time is drawn anew no more often than this.
const REST_MS = 2000;
// How much longer to wait for a hand to leave.
const HELD_MS = 8000;

/** Return `want(element, shape)`: a subscribed element should have this shape; `after` is called when it was drawn. */
export function pageRefresher({ after, signedOut }) {
  // Shapes that are wanted, and those that were asked for already, by the element's id: asking twice would not end.
  const wanted = new Map();
  let asked = new Map();
  let lastAsked = -Infinity;
  let asking = false;
  let timer = 0;

  function want(element, shape) {
    // A page that was drawn without a shape has whichever comes first.
    if (shape && !element.dataset.shape) element.dataset.shape = shape;
    if (!shape || element.dataset.shape === shape) {
      wanted.delete(element.id);
      return;
    }
    wanted.set(element.id, shape);
    if (asked.get(element.id) !== shape) soon();
  }

  function soon() {
    if (asking || timer) return;
    timer = setTimeout(refresh, Math.max(0, lastAsked + REST_MS - performance.now()));
  }

  async function refresh() {
    timer = 0;
    // What is shown again gets a full state, and then wants its shape again.
    if (document.hidden || !wanted.size) return;
    asking = true;
    lastAsked = performance.now();
    asked = new Map(wanted);
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected && new URL(answer.url).pathname !== location.pathname) signedOut();
      else if (answer.ok) draw(await answer.text());
    } catch {
      // No connection: the socket notices too, and its next full state wants the shape again.
      asked.clear();
    } finally {
      asking = false;
    }
    if ([...wanted].some(([id, shape]) => asked.get(id) !== shape)) soon();
  }

  function draw(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    let holding = false;
    const hold = (element) => {
      if (!element.matches("[data-rows]") || !held(element)) return false;
      holding = true;
      return true;
    };
    for (const part of ["#main", ".foot"]) {
      const old = document.querySelector(part);
      const drawn = fresh.querySelector(part);
      // The word about the connection is the socket's, not the server's.
      drawn?.querySelector("#live-state")?.replaceWith(old.querySelector("#live-state")?.cloneNode(true) ?? "");
      if (old && drawn) morph(old, drawn, hold);
    }
    if (holding) {
      // A table that somebody's hand is on was left as it was: what is drawn is not yet the wanted shape.
      for (const element of document.querySelectorAll("[data-shape]")) element.dataset.shape = "held";
      asked.clear();
      lastAsked += HELD_MS;
    }
    window.htmx?.process(document.getElementById("main"));
    after();
  }

  return { want };
}
