// What is known of a subscription, and how a frame changes it (dashboard/live/frames.py makes them). Pure.

/** Nothing is known yet. */
export function emptyView() {
  return { cells: new Map(), order: null, charts: new Map(), shape: "", atMs: 0 };
}

/** Return what is known after a frame. */
export function applied(view, frame) {
  const fresh = frame.op === "state";
  const cells = fresh ? new Map() : new Map(view.cells);
  for (const key of frame.gone ?? []) cells.delete(key);
  for (const [key, cell] of Object.entries(frame.cells ?? {})) cells.set(key, cell);
  const charts = fresh ? new Map() : new Map(view.charts);
  for (const [key, points] of Object.entries(frame.charts ?? {})) charts.set(key, joined(charts.get(key), points));
  return {
    cells,
    charts,
    order: "order" in frame ? frame.order : fresh ? null : view.order,
    shape: frame.shape ?? (fresh ? "" : view.shape),
    atMs: frame.at_ms ?? view.atMs,
  };
}

/** Join new points to those held: drop what is older than `start` and what is not older than the first new one. */
function joined(held, { times, values, full, start = 0 }) {
  if (full || !held) return { times, values };
  const from = held.times.findIndex((time) => time >= start);
  const begin = from < 0 ? held.times.length : from;
  const cut = times.length ? held.times.findIndex((time) => time >= times[0]) : -1;
  const end = cut < 0 ? held.times.length : cut;
  const kept = (points) => points.slice(begin, Math.max(begin, end));
  return {
    times: [...kept(held.times), ...times],
    values: Object.fromEntries(Object.entries(values).map(([name, points]) => [name, [...kept(held.values[name] ?? []), ...points]])),
  };
}
