/** The name; in narrow windows the sign alone is seen. */
import { cn } from "@/lib/cn";

export function Logo({ narrow = false }: { narrow?: boolean }) {
  return (
    <span className="flex items-center gap-2.5">
      <svg aria-hidden="true" viewBox="0 0 32 32" className="size-7">
        <rect width="32" height="32" rx="8" className="fill-accent" />
        <path d="M11 8h11v4h-6.5v3.2H21v3.9h-5.5V25H11z" className="fill-accent-ink" />
      </svg>
      <span className={cn("font-semibold text-[17px] tracking-tight", narrow && "sr-only")}>
        Forge
      </span>
    </span>
  );
}
