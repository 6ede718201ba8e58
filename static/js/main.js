// What every page runs.
import "./confirm.js";
import "./keys.js";
import "./live.js";
import "./theme.js";
import "./tips.js";
import "./toasts.js";
import "./zone.js";
