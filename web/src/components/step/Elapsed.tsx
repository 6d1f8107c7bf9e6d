/** How long something has gone on, counted on while it does. */
import { useEffect, useState } from "react";
import { ms } from "@/lib/format";

const TICK_MS = 1000;

export function Elapsed({ since }: { since: string }) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), TICK_MS);
    return () => clearInterval(timer);
  }, []);
  // The server's clock may be ahead of this one's.
  const passed = Math.max(0, now - Date.parse(since));
  if (passed < TICK_MS) return null;
  return <span className="tabular-nums">{ms(Math.floor(passed / 1000) * 1000)}</span>;
}
