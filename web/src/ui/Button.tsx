/** The one button. `reason` says why it cannot be used now: it stays reachable and says so. */
import { cva, type VariantProps } from "class-variance-authority";
import type { ComponentProps, ReactNode } from "react";
import { cn } from "@/lib/cn";
import { Spinner } from "@/ui/Spinner";
import { Tooltip } from "@/ui/Tooltip";

const look = cva(
  "inline-flex select-none items-center justify-center gap-2 whitespace-nowrap rounded-lg font-medium transition-colors disabled:opacity-50 aria-disabled:opacity-50",
  {
    variants: {
      kind: {
        primary: "bg-accent text-accent-ink hover:bg-accent-hover",
        plain: "border border-line bg-panel text-ink hover:bg-hover",
        quiet: "text-muted hover:bg-hover hover:text-ink",
        danger: "border border-bad-line bg-panel text-bad hover:bg-bad-soft",
      },
      size: { small: "h-8 px-2.5 text-[13px]", normal: "h-9 px-3.5 text-sm", large: "h-11 px-5" },
    },
    defaultVariants: { kind: "plain", size: "normal" },
  },
);

type Look = VariantProps<typeof look>;

export interface ButtonProps extends ComponentProps<"button">, Look {
  busy?: boolean | undefined;
  reason?: string | undefined;
  icon?: ReactNode;
}

export function Button(props: ButtonProps) {
  const { kind, size, busy, reason, icon, className, children, onClick, ...rest } = props;
  const off = Boolean(reason) || busy;
  const button = (
    <button
      type="button"
      {...rest}
      aria-disabled={off || undefined}
      aria-busy={busy || undefined}
      className={cn(look({ kind, size }), off && "cursor-not-allowed", className)}
      onClick={(event) => {
        if (off) event.preventDefault();
        else onClick?.(event);
      }}
    >
      {busy ? <Spinner className="size-4" /> : icon}
      {children}
    </button>
  );
  return reason ? <Tooltip text={reason}>{button}</Tooltip> : button;
}
