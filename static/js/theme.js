// The theme button: dark or light, kept in this browser. Until it is pressed, the system decides.
// Whoever draws by script (charts) listens for `warren:theme` on the document and reads the colours again.

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

/** Tell whether the page is dark now. */
export function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : system.matches;
}

function changed() {
  document.dispatchEvent(new CustomEvent("warren:theme", { detail: { dark: isDark() } }));
}

/** Turn dark into light and back. */
export function toggle() {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // Storage is closed to pages here: the choice holds for this page.
  }
  changed();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-theme-toggle]")) toggle();
});
system.addEventListener("change", () => {
  if (!root.dataset.theme) changed();
});
addEventListener("storage", (event) => {
  if (event.key !== "theme") return;
  if (event.newValue) root.dataset.theme = event.newValue;
  else delete root.dataset.theme;
  changed();
});
