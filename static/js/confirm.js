// A button that destroys stays off until the name is typed. The server checks the name again.

function check(input) {
  const button = document.getElementById(input.dataset.enables);
  if (button) button.disabled = input.value !== input.dataset.mustEqual;
}

function checkAll(part) {
  for (const input of part.querySelectorAll("[data-must-equal]")) check(input);
}

checkAll(document);
// Parts of a page that come later have such buttons too.
document.addEventListener("htmx:load", (event) => checkAll(event.target));
document.addEventListener("input", (event) => {
  if (event.target.matches?.("[data-must-equal]")) check(event.target);
});
