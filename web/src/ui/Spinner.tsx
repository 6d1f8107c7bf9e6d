/** Something goes on. With a label it says so to those who do not see it turn. */
import { cn } from "@/lib/cn";

export function Spinner({ className, label }: { className?: string; label?: string }) {
  return (
    <span role={label ? "status" : undefined} className="inline-flex">
      <span
        aria-hidden
        className={cn(
          "inline-block size-4 animate-spin rounded-full border-2 border-current border-r-transparent opacity-80",
          className,
        )}
      />
      {label ? <span className="sr-only">{label}</span> : null}
    </span>
  );
}
