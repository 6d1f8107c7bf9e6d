/** A menu behind a button. */
import { DropdownMenu } from "radix-ui";
import type { ReactNode } from "react";
import { cn } from "@/lib/cn";

export interface MenuItem {
  label: string;
  icon?: ReactNode;
  onSelect: () => void;
  danger?: boolean;
  /** Why it cannot be chosen now. */
  reason?: string | undefined;
  /** A line above it. */
  separate?: boolean;
  /** What it is more exactly, below the label. */
  note?: string | undefined;
  checked?: boolean | undefined;
}

export interface MenuProps {
  trigger: ReactNode;
  items: readonly MenuItem[];
  label?: string;
  align?: "start" | "center" | "end";
}

export function Menu({ trigger, items, label, align = "end" }: MenuProps) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      {/* In the page's main part, so that it is in a landmark. */}
      <DropdownMenu.Portal container={document.querySelector("main")}>
        <DropdownMenu.Content
          align={align}
          sideOffset={4}
          collisionPadding={8}
          aria-label={label}
          className="z-50 max-h-[min(26rem,var(--radix-dropdown-menu-content-available-height))] min-w-44 max-w-80 overflow-y-auto rounded-xl border border-line bg-panel p-1 shadow-pop"
        >
          {items.map((item) => (
            <Entry key={item.label} item={item} />
          ))}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function Entry({ item }: { item: MenuItem }) {
  const note = item.reason ?? item.note;
  return (
    <>
      {item.separate ? <DropdownMenu.Separator className="my-1 h-px bg-line" /> : null}
      <DropdownMenu.Item
        disabled={Boolean(item.reason)}
        onSelect={item.onSelect}
        aria-current={item.checked || undefined}
        className={cn(
          "flex cursor-pointer select-none items-start gap-2.5 rounded-lg px-2.5 py-1.5 text-sm outline-none data-[disabled]:cursor-default data-[highlighted]:bg-hover [&>svg]:mt-0.5 [&>svg]:size-4 [&>svg]:shrink-0",
          item.danger ? "text-bad" : "text-ink",
          item.checked && "font-medium text-accent-text",
        )}
      >
        {item.icon}
        <span className="min-w-0">
          <span className="block break-words">{item.label}</span>
          {note ? <span className="block font-normal text-faint text-xs">{note}</span> : null}
        </span>
      </DropdownMenu.Item>
    </>
  );
}
