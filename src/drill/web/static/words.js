// Numbers and times as people read them. Times are Unix seconds, shown in UTC: logs and Prometheus do the same.

const pad = (number) => String(number).padStart(2, "0");

export const isTime = (at) => Number.isFinite(at) && at > 0;

/** `02:31:07`. */
export function clockTime(at) {
  if (!isTime(at)) return "–";
  const time = new Date(at * 1000);
  return `${pad(time.getUTCHours())}:${pad(time.getUTCMinutes())}:${pad(time.getUTCSeconds())}`;
}

/** A stretch of time that grows: `0:41`, `12:07`, `1:02:33`. */
export function stopwatch(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const rest = `${hours ? pad(Math.floor(whole / 60) % 60) : Math.floor(whole / 60)}:${pad(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

/** A length of time in words: `9 s`, `5 min`, `6 min 10 s`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const parts = [];
  if (whole >= 3600) parts.push(`${Math.floor(whole / 3600)} h`);
  if (Math.floor(whole / 60) % 60) parts.push(`${Math.floor(whole / 60) % 60} min`);
  if (whole % 60 && whole < 3600) parts.push(`${whole % 60} s`);
  return parts.join(" ");
}

/** Three significant digits: `0.0312`, `98.2`, `1,240`. */
export function number(value) {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  if (value !== 0 && Math.abs(value) < 0.001) return "<0.001";
  return String(Number(value.toPrecision(3)));
}

export const percent = (ratio) => (Number.isFinite(ratio) ? `${number(ratio * 100)} %` : "–");

/** An objective in full: 99.99 % is not rounded to 100. */
export const objective = (share) => (Number.isFinite(share) ? `${Number((share * 100).toFixed(6))} %` : "–");

export const times = (rate) => (Number.isFinite(rate) ? `${number(rate)}×` : "–");

/** What an SLO's name means to whoever suffers. */
export function sloWord(slo) {
  return { availability: "errors", latency: "slow" }[slo] ?? slo;
}
