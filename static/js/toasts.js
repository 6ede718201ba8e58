// What went wrong with a part of the page that htmx asked for, as a sentence in the corner. The page keeps what it showed.

const KEEP_MS = 8000;

function corner() {
  let box = document.querySelector(".toasts");
  if (!box) {
    box = document.createElement("div");
    box.className = "toasts toasts--corner";
    box.setAttribute("role", "status");
    document.body.append(box);
  }
  return box;
}

/** Show a sentence for some seconds. */
export function toast(sentence) {
  const note = document.createElement("div");
  note.className = "toast";
  const icon = document.getElementById("toast-icon").content.cloneNode(true);
  const text = document.createElement("div");
  text.textContent = sentence;
  note.append(icon, text);
  corner().append(note);
  setTimeout(() => note.remove(), KEEP_MS);
}

document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  // 401 comes with the address of the sign-in page, and htmx goes there.
  if (status === 401) return;
  toast(
    status === 403 ? "You may not see this any more. Reload the page."
      : status === 404 ? "This is not there any more. Reload the page."
        : `Warren answered ${status} to a part of this page. What is shown is from before.`,
  );
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => toast("Warren does not answer. What is shown is from before."));
}
