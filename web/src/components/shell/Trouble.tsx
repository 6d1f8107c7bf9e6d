/** A problem of the server's, in the server's own words: what happened, and what to do. */
import { CircleAlert } from "lucide-react";
import { Problem } from "@/api/http";
import { Button } from "@/ui/Button";
import { words } from "@/words/en";

export interface TroubleProps {
  error: unknown;
  onAgain?: () => void;
}

export function Trouble({ error, onAgain }: TroubleProps) {
  const problem = error instanceof Problem ? error : null;
  return (
    <div
      role="alert"
      className="flex items-start gap-3 rounded-xl border border-bad-line bg-bad-soft p-3.5 text-sm"
    >
      <CircleAlert aria-hidden className="mt-0.5 size-[18px] shrink-0 text-bad" />
      <div className="min-w-0 flex-1">
        <p className="break-words font-medium">
          {problem?.message ?? (error instanceof Error ? error.message : words.problems.unexpected)}
        </p>
        {problem?.hint ? <p className="mt-0.5 break-words text-muted">{problem.hint}</p> : null}
      </div>
      {onAgain ? (
        <Button size="small" onClick={onAgain}>
          {words.problems.again}
        </Button>
      ) : null}
    </div>
  );
}
