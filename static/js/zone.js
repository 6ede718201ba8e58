// The viewer's time zone: named in the cookie `tz`, so that the server writes times as the viewer reads them.
// A page that was drawn in another zone is drawn again, once: not after a form was sent, which would send it again.

const YEAR_S = 365 * 24 * 3600;
const TRIED = "zone-tried";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function remember() {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `tz=${zone}; Path=/; Max-Age=${YEAR_S}; SameSite=Lax${secure}`;
}

/** Tell whether this is the first try with this zone: the server may not know it, and cookies may be refused. */
function firstTry() {
  try {
    if (sessionStorage.getItem(TRIED) === zone) return false;
    sessionStorage.setItem(TRIED, zone);
    return true;
  } catch {
    return false;
  }
}

const drawn = document.body.dataset.zone;
if (zone && drawn !== zone) {
  remember();
  if (drawn && "reloadable" in document.body.dataset && firstTry()) location.reload();
}
