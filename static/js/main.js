// All that every page runs.
import "./theme.js";
