/** A tree with the keyboard's usual ways (arrows, Home, End, Enter). Its caller holds what is open. */
import { ChevronRight } from "lucide-react";
import { type KeyboardEvent, type ReactNode, useRef } from "react";
import { cn } from "@/lib/cn";

export interface TreeNode {
  id: string;
  label: ReactNode;
  icon?: ReactNode;
  note?: ReactNode;
  /** Undefined: a leaf. Empty or not, an array: a branch. */
  children?: readonly TreeNode[] | undefined;
}

export interface TreeProps {
  label: string;
  nodes: readonly TreeNode[];
  open: ReadonlySet<string>;
  onToggle: (id: string, open: boolean) => void;
  selected?: string | undefined;
  onSelect?: (id: string) => void;
}

interface Flat {
  node: TreeNode;
  depth: number;
  parent: string | undefined;
}

function flatten(nodes: readonly TreeNode[], open: ReadonlySet<string>): Flat[] {
  const found: Flat[] = [];
  const walk = (list: readonly TreeNode[], depth: number, parent: string | undefined) => {
    for (const node of list) {
      found.push({ node, depth, parent });
      if (node.children && open.has(node.id)) walk(node.children, depth + 1, node.id);
    }
  };
  walk(nodes, 0, undefined);
  return found;
}

export function Tree({ label, nodes, open, onToggle, selected, onSelect }: TreeProps) {
  const box = useRef<HTMLDivElement>(null);
  const flat = flatten(nodes, open);
  const known = flat.some((each) => each.node.id === selected);
  const focus = (at: number) => {
    const clipped = Math.max(0, Math.min(flat.length - 1, at));
    box.current?.querySelectorAll<HTMLElement>('[role="treeitem"]')[clipped]?.focus();
  };
  const activate = (node: TreeNode) => {
    if (node.children) onToggle(node.id, !open.has(node.id));
    onSelect?.(node.id);
  };
  const onKey = (event: KeyboardEvent, at: number) => {
    const here = flat[at];
    if (!here) return;
    const isOpen = open.has(here.node.id);
    const acts: Record<string, () => void> = {
      ArrowDown: () => focus(at + 1),
      ArrowUp: () => focus(at - 1),
      Home: () => focus(0),
      End: () => focus(flat.length - 1),
      Enter: () => activate(here.node),
      " ": () => activate(here.node),
      ArrowRight: () =>
        here.node.children && !isOpen ? onToggle(here.node.id, true) : focus(at + 1),
      ArrowLeft: () =>
        here.node.children && isOpen
          ? onToggle(here.node.id, false)
          : focus(flat.findIndex((each) => each.node.id === here.parent)),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  };
  return (
    <div ref={box} role="tree" aria-label={label} className="text-sm">
      {flat.map(({ node, depth }, at) => (
        <div
          key={node.id}
          role="treeitem"
          aria-level={depth + 1}
          aria-selected={node.id === selected}
          aria-expanded={node.children ? open.has(node.id) : undefined}
          tabIndex={node.id === selected || (!known && at === 0) ? 0 : -1}
          onClick={() => activate(node)}
          onKeyDown={(event) => onKey(event, at)}
          style={{ paddingLeft: `${depth * 14 + 6}px` }}
          className={cn(
            "focus-inset flex h-8 cursor-pointer select-none items-center gap-1.5 rounded-lg pr-2 hover:bg-hover [&>svg]:size-4 [&>svg]:shrink-0",
            node.id === selected && "bg-accent-soft text-accent-text",
          )}
        >
          <ChevronRight
            aria-hidden
            className={cn(
              "text-faint transition-transform",
              !node.children && "invisible",
              open.has(node.id) && "rotate-90",
            )}
          />
          {node.icon}
          <span className="min-w-0 flex-1 truncate">{node.label}</span>
          {node.note ? <span className="shrink-0 text-faint text-xs">{node.note}</span> : null}
        </div>
      ))}
    </div>
  );
}
