/** JSON as a tree; the first level is open. */
import { useMemo, useState } from "react";
import { Tree, type TreeNode } from "@/ui/Tree";
import { words } from "@/words/en";

/** So many members of one thing are shown, and so many levels. */
const MOST = 200;
const DEEPEST = 12;

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}

function node(name: string, value: unknown, path: string, depth: number): TreeNode {
  if (typeof value !== "object" || value === null || depth > DEEPEST) {
    return {
      id: path,
      label: (
        <span className="font-mono text-[13px]">
          <span className="text-muted">{name}: </span>
          {shown(value)}
        </span>
      ),
    };
  }
  const members = Object.entries(value);
  const children = members
    .slice(0, MOST)
    .map(([key, each]) => node(key, each, `${path}/${key}`, depth + 1));
  if (members.length > MOST) {
    children.push({ id: `${path}/…`, label: words.results.more(members.length - MOST) });
  }
  return {
    id: path,
    label: <span className="font-mono text-[13px]">{name}</span>,
    note: words.results.item(members.length),
    children,
  };
}

export function Json({ text }: { text: string }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set(["$"]));
  const tree = useMemo(() => {
    try {
      return node("JSON", JSON.parse(text), "$", 0);
    } catch {
      return null;
    }
  }, [text]);
  if (!tree) return <pre className="overflow-auto text-[13px]">{text}</pre>;
  return (
    <div className="max-h-96 overflow-auto">
      <Tree
        label={words.results.json}
        nodes={[tree]}
        open={open}
        onToggle={(id, now) => {
          const next = new Set(open);
          if (now) next.add(id);
          else next.delete(id);
          setOpen(next);
        }}
      />
    </div>
  );
}
