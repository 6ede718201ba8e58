// Notes in time on the page's charts: their lines are drawn by plotly, and each has a button above the plot that says its text.

const MARKS = "chart-marks";
// Marks closer than this to each other stand on one button.
const NEAR_PX = 12;
// Of so many on one button it is told what they say.
const TOLD = 6;

let text = "";
let marks = [];

/** Return the page's notes: [{ at, end, kind, says }], as the server wrote them into the page. */
export function marksOfPage() {
  const written = document.getElementById(MARKS)?.textContent ?? "[]";
  if (written !== text) {
    text = written;
    marks = JSON.parse(written);
  }
  return marks;
}

/** Call `changed` when the page was drawn anew with other notes. */
export function watchMarks(changed) {
  const holder = document.getElementById(MARKS);
  if (holder) new MutationObserver(changed).observe(holder, { childList: true, characterData: true, subtree: true });
}

/** Put the buttons of a chart's notes where they belong in the window. */
export function drawMarks(chart, window_) {
  const layer = chart.element.parentElement?.querySelector("[data-marks-of]");
  if (!layer) return;
  const wide = chart.plot.width - chart.plot.left - chart.plot.right;
  const placed = [];
  for (const mark of chart.marks) {
    const at = Math.max(mark.at, window_.start);
    if (at > window_.end || (mark.end ?? mark.at) < window_.start) continue;
    const x = chart.plot.left + ((at - window_.start) / (window_.end - window_.start)) * wide;
    const near = placed.find((one) => Math.abs(one.x - x) < NEAR_PX);
    if (near) near.marks.push(mark);
    else placed.push({ x, marks: [mark] });
  }
  while (layer.children.length > placed.length) layer.lastElementChild.remove();
  placed.forEach(({ x, marks: here }, number) => {
    const button = layer.children[number] ?? layer.appendChild(made());
    const more = here.length > TOLD ? [`and ${here.length - TOLD} more`] : [];
    const says = [...here.slice(0, TOLD).map((mark) => mark.says), ...more].join("\n");
    button.style.left = `${x}px`;
    if (button.dataset.tip === says) return;
    button.dataset.tip = says;
    button.dataset.kind = worst(here);
    button.setAttribute("aria-label", says);
    button.textContent = here.length > 1 ? String(here.length) : "";
  });
}

const worst = (here) => ["incident", "deploy", "note"].find((kind) => here.some((mark) => mark.kind === kind)) ?? "note";

function made() {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plot-mark";
  return button;
}
