// Asks for the page again when its shape changed (which rows, notes and warnings there are), and takes over what differs.

import { morph } from "./morph.js";
import { held } from "./rows.js";

// A page whose shape changes all the time is drawn anew no more often than this.
const REST_MS = 2000;

/** Return `want(shape, drawn)`: the page should have this shape; `after` is called when it was drawn anew. */
export function pageRefresher({ after, signedOut }) {
  let wanted = "";
  let askedFor = null;
  let lastAsked = -Infinity;
  let asking = false;
  let timer = 0;

  function want(shape, drawn) {
    wanted = shape;
    if (!shape || drawn === shape || askedFor === shape || asking || timer) return;
    timer = setTimeout(refresh, Math.max(0, lastAsked + REST_MS - performance.now()));
  }

  async function refresh() {
    timer = 0;
    if (document.hidden) return;
    asking = true;
    lastAsked = performance.now();
    // Where the page that comes has yet another shape, the next frame says so; to ask for the same again would not end.
    askedFor = wanted;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (answer.redirected && new URL(answer.url).pathname !== location.pathname) signedOut();
      else if (answer.ok) draw(await answer.text());
    } catch {
      // No connection: the socket notices too, and its next full state wants the shape again.
      askedFor = null;
    } finally {
      asking = false;
    }
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
      document.getElementById("main").dataset.shape = "";
      askedFor = null;
    }
    window.htmx?.process(document.getElementById("main"));
    document.dispatchEvent(new CustomEvent("warren:drawn"));
    after();
  }

  return { want };
}
