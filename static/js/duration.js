// A span of time in words, as pages, ages and charts say it.

/** As dashboard.formats.duration. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${whole / 60} min`;
  const hours = Math.floor(whole / 3600);
  if (hours < 10) {
    const minutes = Math.floor((whole % 3600) / 60);
    return minutes ? `${hours} h ${String(minutes).padStart(2, "0")} min` : `${hours} h`;
  }
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24).toLocaleString("en-US")} d`;
}
