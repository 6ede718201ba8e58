// A button that destroys stays off until the name is typed. The server checks the name again.

function check(input) {
  const button = document.getElementById(input.dataset.enables);
  if (button) button.disabled = input.value !== input.dataset.mustEqual;
}

for (const input of document.querySelectorAll("[data-must-equal]")) check(input);
document.addEventListener("input", (event) => {
  if (event.target.matches?.("[data-must-equal]")) check(event.target);
});
