// Makes a part of the page equal to a newly drawn one and touches only what differs, so that focus, hover, selection,
// scrolling and charts stay. Both come from Warren's own templates.

// What a script of the page keeps for itself, or what stays until a person closes it.
const KEPT = "[data-chart], [data-keep], dialog[open], [popover]:popover-open";
// Set by scripts, never by a template.
const OWN_ATTRIBUTES = new Set(["aria-describedby", "open"]);

/** Make `old` equal to `fresh`. `hold(element)` says which elements are left as they are for now. */
export function morph(old, fresh, hold = () => false) {
  if (old.isEqualNode(fresh) || isKept(old) || hold(old)) return;
  morphAttributes(old, fresh);
  morphChildren(old, fresh, hold);
}

/** Make the children of `old` equal to those of `fresh` (an element or a fragment), which is used up. */
export function morphChildren(old, fresh, hold = () => false) {
  const byKey = new Map();
  for (const child of old.childNodes) {
    const key = keyOf(child);
    if (key && !byKey.has(key)) byKey.set(key, child);
  }
  const coming = [...fresh.childNodes];
  const keys = new Set(coming.map(keyOf).filter(Boolean));
  let place = old.firstChild;
  for (const wanted of coming) {
    while (place && isKept(place) && !keys.has(keyOf(place))) place = place.nextSibling;
    const key = keyOf(wanted);
    const match = key ? byKey.get(key) : alike(place, wanted);
    if (key) byKey.delete(key);
    if (match && match.nodeName === wanted.nodeName) {
      if (match === place) place = place.nextSibling;
      else old.insertBefore(match, place);
      if (match.nodeType === Node.ELEMENT_NODE) morph(match, wanted, hold);
      else if (match.nodeValue !== wanted.nodeValue) match.nodeValue = wanted.nodeValue;
    } else {
      old.insertBefore(wanted, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    if (!isKept(place)) place.remove();
    place = next;
  }
}

function isKept(node) {
  return node.nodeType === Node.ELEMENT_NODE && node.matches(KEPT);
}

/** Return the node to turn into an unkeyed one: the next of its kind, if no keyed one stands between. */
function alike(place, wanted) {
  return place && place.nodeName === wanted.nodeName && !keyOf(place) ? place : null;
}

function keyOf(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return "";
  const { row, chart, live, key } = node.dataset ?? {};
  const own = row || chart || live || key || node.id || node.getAttribute("aria-labelledby");
  return own ? `${node.nodeName} ${own}` : "";
}

function morphAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !OWN_ATTRIBUTES.has(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}
