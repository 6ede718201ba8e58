// Numbers, spans and times as charts show them; dashboard/formats.py is the law.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function count(value) {
  if (Math.abs(value) < 1e7) return whole.format(value);
  const millions = value / 1e6;
  return `${millions < 99.95 ? tenth.format(millions) : whole.format(millions)} M`;
}

export function rate(value) {
  if (value === 0) return "0";
  if (value < 0.01) return "<0.01";
  if (value < 0.095) return value.toFixed(2);
  return value < 99.95 ? tenth.format(value) : whole.format(value);
}

export function size(bytes) {
  let left = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.abs(left) < 1023.5) return `${unit === "B" || Math.abs(left) >= 9.95 ? whole.format(left) : tenth.format(left)} ${unit}`;
    left /= 1024;
  }
  return `${Math.abs(left) < 9.95 ? tenth.format(left) : whole.format(left)} TiB`;
}

function seconds(value) {
  if (value > 0 && value < 0.05) return "<0.1 s";
  if (Math.abs(value) < 9.95) return value === 0 ? "0 s" : `${value.toFixed(1)} s`;
  return value < 36000 ? `${whole.format(value)} s` : `${whole.format(Math.floor(value / 3600))} h`;
}

const share = (value) => (value !== 0 && Math.abs(value) < 0.0995 ? `${tenth.format(value * 100)} %` : `${whole.format(value * 100)} %`);

// Figures that are stocks but not whole, as means are, keep a decimal while they are small.
const stock = (value) => (Number.isInteger(value) || Math.abs(value) >= 99.95 ? count(value) : tenth.format(value));

// States are numbers, the worse the higher; brokers/lag/measures.py has the codes.
const WORDS = {
  consumer_state: ["idle", "ok", "falling behind", "starved by prefetch", "stalled", "stopped"],
  lag_source: ["counters", "head's timestamp", "stream offsets", "at least", "about"],
};
const worded = (words) => (value) => words[Math.round(value)] ?? String(value);

const SHAPES = { flow: (value) => `${value < 0 ? `\u2212${rate(-value)}` : rate(value)} /s`, bytes: size, seconds, share, consumer_state: worded(WORDS.consumer_state), lag_source: worded(WORDS.lag_source) };
export const formatter = (axis) => SHAPES[axis] ?? stock;

// Text that plotly shows must not be read as its pseudo-HTML (<b>, <a href>, <br>, entities).
export const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

const offsets = new Map();
const shapes = new Map();

// How far a zone's clock is ahead of UTC at a moment, in ms; the same within a quarter of an hour.
export function ahead(zone, at) {
  const key = `${zone} ${Math.floor(at / 900_000)}`;
  if (!offsets.has(key)) {
    if (offsets.size > 5000) offsets.clear();
    offsets.set(key, measured(zone, Math.floor(at / 900_000) * 900_000));
  }
  return offsets.get(key);
}

function measured(zone, at) {
  if (!shapes.has(zone)) {
    const options = { hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };
    let shape;
    try {
      shape = new Intl.DateTimeFormat("en-US", { ...options, timeZone: zone });
    } catch {
      shape = new Intl.DateTimeFormat("en-US", { ...options, timeZone: "UTC" });
    }
    shapes.set(zone, shape);
  }
  const part = Object.fromEntries(shapes.get(zone).formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) - at;
}
