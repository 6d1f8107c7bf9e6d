/** A modal question. Focus comes back to where it was. */
import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { cn } from "@/lib/cn";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface DialogProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  description?: ReactNode;
  children?: ReactNode;
  /** Buttons, the most wanted last. */
  actions?: ReactNode;
  wide?: boolean;
}

export function Dialog({ open, onOpenChange, title, description, ...more }: DialogProps) {
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-shade" />
        <Radix.Content
          {...(description ? {} : { "aria-describedby": undefined })}
          className={cn(
            "fixed top-1/2 left-1/2 z-40 flex max-h-[calc(100dvh-2rem)] w-[calc(100vw-2rem)] -translate-x-1/2 -translate-y-1/2 flex-col rounded-2xl border border-line bg-panel shadow-pop",
            more.wide ? "max-w-3xl" : "max-w-lg",
          )}
        >
          <div className="flex items-start gap-3 px-5 pt-4 pb-2">
            <Radix.Title className="flex-1 pt-1 font-semibold text-base">{title}</Radix.Title>
            <Radix.Close asChild>
              <IconButton small label={words.ui.close} icon={<X />} />
            </Radix.Close>
          </div>
          <div className="min-h-0 overflow-y-auto px-5 pb-5">
            {description ? (
              <Radix.Description className="mb-3 text-muted text-sm">
                {description}
              </Radix.Description>
            ) : null}
            {more.children}
          </div>
          {more.actions ? (
            <div className="flex flex-wrap justify-end gap-2 border-line border-t px-5 py-3">
              {more.actions}
            </div>
          ) : null}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
