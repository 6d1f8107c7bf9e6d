/** Numbers, sizes, money and times as people read them. Pure; English for now, as the words are. */

const PLAIN = new Intl.NumberFormat("en-US");
const CLOCK = new Intl.DateTimeFormat("en-US", {
  hour: "2-digit",
  minute: "2-digit",
  hour12: false,
});
const DAY = new Intl.DateTimeFormat("en-US", { day: "numeric", month: "short", year: "numeric" });
const FULL = new Intl.DateTimeFormat("en-US", { dateStyle: "medium", timeStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat("en-US", { numeric: "auto" });

/** 12,345 */
export function number(value: number): string {
  return PLAIN.format(value);
}

/** 12,3 kB: powers of 1000, as people's file managers count. */
export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let rest = value / 1000;
  let unit = 0;
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${rest < 9.95 ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`;
}

/** 340 ms, 1.2 s, 2 min 5 s */
export function ms(value: number): string {
  if (value < 995) return `${Math.round(value)} ms`;
  const seconds = value / 1000;
  if (seconds < 59.95) return `${seconds < 9.95 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
}

/** Seconds, as `ms` says them. */
export function seconds(value: number): string {
  return ms(value * 1000);
}

/** $0.0123; null, an unknown price, is said as such. The server sends money as text. */
export function usd(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return "price unknown";
  const amount = Number(value);
  if (!Number.isFinite(amount)) return "price unknown";
  if (amount === 0) return "$0";
  if (amount < 0.01) return `$${amount.toFixed(4)}`;
  return `$${amount < 1 ? amount.toFixed(3) : amount.toFixed(2)}`;
}

/** 940, 12.3k, 1.2M */
export function tokens(value: number): string {
  if (value < 1000) return String(value);
  if (value < 999_500) return `${(value / 1000).toFixed(value < 9950 ? 1 : 0)}k`;
  return `${(value / 1_000_000).toFixed(1)}M`;
}

/** 2 hours ago; the day, where it is longer than a week ago. */
export function ago(iso: string, now: number = Date.now()): string {
  const passed = (now - Date.parse(iso)) / 1000;
  if (Number.isNaN(passed)) return "";
  if (passed < 45) return "just now";
  if (passed < 3600) return AGO.format(-Math.max(1, Math.round(passed / 60)), "minute");
  if (passed < 86_400) return AGO.format(-Math.round(passed / 3600), "hour");
  if (passed < 7 * 86_400) return AGO.format(-Math.round(passed / 86_400), "day");
  return DAY.format(new Date(iso));
}

/** in 55 minutes; of what is past, now. */
export function ahead(iso: string, now: number = Date.now()): string {
  const left = (Date.parse(iso) - now) / 1000;
  if (Number.isNaN(left)) return "";
  if (left < 5400) return AGO.format(Math.max(0, Math.round(left / 60)), "minute");
  return AGO.format(Math.round(left / 3600), "hour");
}

export function clock(iso: string): string {
  return CLOCK.format(new Date(iso));
}

export function day(iso: string): string {
  return DAY.format(new Date(iso));
}

export function moment(iso: string): string {
  return FULL.format(new Date(iso));
}

/** The last part of a path. */
export function base(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1) || path;
}
