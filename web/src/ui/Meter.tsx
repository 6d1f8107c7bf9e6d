/** How much of a limit is used. */
import { cn } from "@/lib/cn";

export interface MeterProps {
  label: string;
  value: number;
  max: number;
  /** What it is in words, such as "$0.12 of $1.00". */
  text: string;
  className?: string;
  /** The bar alone; the words are read out. */
  bare?: boolean;
}

export function Meter({ label, value, max, text, className, bare }: MeterProps) {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  const colour = share >= 0.95 ? "bg-bad" : share >= 0.75 ? "bg-warn" : "bg-accent";
  return (
    <div className={cn("flex flex-col gap-1", className)}>
      {bare ? null : (
        <div className="flex justify-between gap-3 text-xs">
          <span className="text-muted">{label}</span>
          <span className="tabular-nums">{text}</span>
        </div>
      )}
      <div
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={max > 0 ? max : 1}
        aria-valuenow={max > 0 ? Math.min(value, max) : 0}
        aria-valuetext={text}
        className="h-1.5 w-full overflow-hidden rounded-full bg-sunken"
      >
        <div className={cn("h-full rounded-full", colour)} style={{ width: `${share * 100}%` }} />
      </div>
    </div>
  );
}
