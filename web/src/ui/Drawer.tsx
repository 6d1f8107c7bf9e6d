/** A panel from an edge, over the page: the sidebar and side panels on small windows. */
import { X } from "lucide-react";
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
import { cn } from "@/lib/cn";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface DrawerProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  side: "left" | "right";
  /** Without a head of its own, where what is inside has one. */
  bare?: boolean;
  children: ReactNode;
}

export function Drawer({ open, onOpenChange, title, side, bare, children }: DrawerProps) {
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="fixed inset-0 z-40 bg-shade" />
        <Radix.Content
          aria-describedby={undefined}
          className={cn(
            "fixed inset-y-0 z-40 flex w-[min(22rem,calc(100vw-3rem))] flex-col bg-panel shadow-pop",
            side === "left" ? "left-0 border-line border-r" : "right-0 border-line border-l",
          )}
        >
          {bare ? (
            <Radix.Title className="sr-only">{title}</Radix.Title>
          ) : (
            <div className="flex items-center gap-2 border-line border-b px-4 py-2.5">
              <Radix.Title className="flex-1 font-semibold text-sm">{title}</Radix.Title>
              <Radix.Close asChild>
                <IconButton small label={words.ui.close} icon={<X />} />
              </Radix.Close>
            </div>
          )}
          <div className="min-h-0 flex-1 overflow-y-auto">{children}</div>
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
