// Before the first paint: the theme that the person chose. A classic script in the head, so that no page flashes.
(() => {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is closed to pages here: the system's theme holds.
  }
})();
