/** What happened in a run, in its order. */
import { CornerDownRight, Info, RotateCcw } from "lucide-react";
import { memo } from "react";
import { Prose } from "@/components/prose/Prose";
import { StepCard } from "@/components/step/StepCard";
import { Thinking } from "@/components/thread/Thinking";
import type { Item, ModelCall, RunView } from "@/state/view";
import { words } from "@/words/en";

/** Dollars of the model calls of a step; null where one's price is unknown. */
function costOfStep(calls: readonly ModelCall[], step: number): string | null {
  let sum = 0;
  for (const call of calls) {
    if (call.step !== step) continue;
    if (call.usd === null) return null;
    sum += Number(call.usd);
  }
  return String(sum);
}

/** Of a run that is seen for the first time so many of its last steps are open. */
const OPEN = 4;

/** `newest`: whether it is the last answer, whose steps are open. */
export function Items({ run, newest }: { run: RunView; newest: boolean }) {
  const live = run.status === "running";
  const steps = run.items.filter((item) => item.kind === "call");
  const open = new Set(newest ? steps.slice(-OPEN) : []);
  const priced = new Set<number>();
  return run.items.map((item) => {
    if (item.kind !== "call") return <Said key={item.key} item={item} />;
    const first = !priced.has(item.step);
    priced.add(item.step);
    return (
      <StepCard
        key={item.key}
        call={item}
        runId={run.id}
        live={live}
        opened={open.has(item)}
        cost={first ? costOfStep(run.calls, item.step) : null}
      />
    );
  });
}

const Said = memo(function Said({ item }: { item: Exclude<Item, { kind: "call" }> }) {
  switch (item.kind) {
    case "text":
      return (
        <div className="my-3">
          <Prose text={item.text} growing={!item.done} />
        </div>
      );
    case "thinking":
      return <Thinking text={item.text} done={item.done} took={item.done ? item.ms : null} />;
    case "steered":
      return <Steered text={item.text} />;
    case "notice":
      return (
        <p className="my-3 flex gap-2 text-muted text-sm [&>svg]:mt-0.5 [&>svg]:size-4 [&>svg]:shrink-0">
          <Info aria-hidden />
          <span className="min-w-0 break-words">{item.text}</span>
        </p>
      );
    case "retrying":
      return <Retrying message={item.error.message} inS={item.inS} />;
    case "resumed":
      return (
        <p className="my-4 flex items-center gap-3 text-faint text-xs before:h-px before:flex-1 before:bg-line after:h-px after:flex-1 after:bg-line">
          {item.why === "asked" ? words.chat.resumed : words.chat.resumedInterrupted}
        </p>
      );
  }
});

function Steered({ text }: { text: string }) {
  return (
    <div className="my-4 flex flex-col items-end">
      <span className="mb-1 flex items-center gap-1.5 text-faint text-xs [&>svg]:size-3.5">
        <CornerDownRight aria-hidden />
        {words.chat.steered}
      </span>
      <p className="max-w-[85%] whitespace-pre-wrap break-words rounded-2xl bg-user px-4 py-2.5">
        {text}
      </p>
    </div>
  );
}

function Retrying({ message, inS }: { message: string; inS: number | null }) {
  return (
    <p className="my-3 flex gap-2 text-muted text-sm [&>svg]:mt-0.5 [&>svg]:size-4 [&>svg]:shrink-0">
      <RotateCcw aria-hidden />
      <span className="min-w-0 break-words">
        {message} {inS === null ? "" : words.chat.retrying(Math.max(1, Math.round(inS)))}
      </span>
    </p>
  );
}
