/** Which of several messages that were said in one place is in view, and the way to the others. */
import { ChevronLeft, ChevronRight } from "lucide-react";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface BranchesProps {
  id: string;
  siblings: readonly string[];
  onShow: (id: string) => void;
}

export function Branches({ id, siblings, onShow }: BranchesProps) {
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(id);
  const to = (index: number) => {
    const other = siblings[index];
    if (other) onShow(other);
  };
  return (
    <span className="flex items-center text-muted text-xs tabular-nums">
      <IconButton
        small
        label={words.chat.branchPrevious}
        icon={<ChevronLeft />}
        reason={at <= 0 ? words.chat.branchFirst : undefined}
        onClick={() => to(at - 1)}
      />
      {words.chat.branch(at + 1, siblings.length)}
      <IconButton
        small
        label={words.chat.branchNext}
        icon={<ChevronRight />}
        reason={at >= siblings.length - 1 ? words.chat.branchLast : undefined}
        onClick={() => to(at + 1)}
      />
    </span>
  );
}
