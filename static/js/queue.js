// Asks for what the broker itself tells of a queue: every 15 s while somebody looks, and when they say so.

const part = document.getElementById("asked");

function busy() {
  // What is being read or walked through by keyboard is not replaced under the reader.
  const selected = document.getSelection();
  return part.contains(document.activeElement) || (selected && !selected.isCollapsed && part.contains(selected.anchorNode));
}

if (part) {
  const ask = () => globalThis.htmx?.trigger(part, "warren:ask");
  setInterval(() => { if (!document.hidden && !busy()) ask(); }, Number(part.dataset.askEvery) * 1000);
  part.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ask-now]");
    if (!button) return;
    button.disabled = true;
    ask();
  });
}
