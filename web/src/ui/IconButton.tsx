/** A button that is an icon; its label is read out and shown on hover. */
import type { ComponentProps, ReactNode } from "react";
import { cn } from "@/lib/cn";
import { Tooltip } from "@/ui/Tooltip";

export interface IconButtonProps extends Omit<ComponentProps<"button">, "children"> {
  label: string;
  icon: ReactNode;
  /** Why it cannot be used now. */
  reason?: string | undefined;
  small?: boolean;
}

export function IconButton(props: IconButtonProps) {
  const { label, icon, reason, small, className, onClick, ...rest } = props;
  return (
    <Tooltip text={reason ? `${label}: ${reason}` : label}>
      <button
        type="button"
        aria-label={label}
        {...rest}
        aria-disabled={reason ? true : undefined}
        className={cn(
          "inline-flex shrink-0 items-center justify-center rounded-lg text-muted transition-colors hover:bg-hover hover:text-ink disabled:opacity-45 aria-disabled:opacity-45 [&>svg]:size-[18px]",
          small ? "size-7 [&>svg]:size-4" : "size-9",
          reason && "cursor-not-allowed",
          className,
        )}
        onClick={(event) => {
          if (!reason) onClick?.(event);
        }}
      >
        {icon}
      </button>
    </Tooltip>
  );
}
