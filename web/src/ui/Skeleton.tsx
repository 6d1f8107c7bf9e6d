/** The place of something that is on its way. */
import { cn } from "@/lib/cn";

export function Skeleton({ className }: { className?: string }) {
  return <div aria-hidden className={cn("h-4 animate-pulse rounded-md bg-sunken", className)} />;
}
