/**
 * A tool call: what it does, its code as it is written, what it prints, what came of it, how long
 * it took and what it cost. What it shows stays in view; the code and the print can be folded.
 */
import {
  Check,
  ChevronRight,
  CircleX,
  FilePen,
  FileText,
  FolderOpen,
  Hand,
  SquareTerminal,
  Wrench,
} from "lucide-react";
import { memo, type ReactNode, useId, useState } from "react";
import { Display } from "@/components/results/Display";
import { Failure } from "@/components/results/Failure";
import { Output } from "@/components/results/Output";
import { Approval } from "@/components/step/Approval";
import { Elapsed } from "@/components/step/Elapsed";
import { Written } from "@/components/step/Written";
import { type What, whatOf } from "@/components/step/what";
import { cn } from "@/lib/cn";
import { ms, usd } from "@/lib/format";
import type { Call, Displayed, Printed } from "@/state/view";
import { callState } from "@/state/view";
import { Badge } from "@/ui/Badge";
import { Spinner } from "@/ui/Spinner";
import { words } from "@/words/en";

const ICONS: Readonly<Record<string, ReactNode>> = {
  list_files: <FolderOpen />,
  read_file: <FileText />,
  run_python: <SquareTerminal />,
  run_shell: <SquareTerminal />,
  write_file: <FilePen />,
};

export interface StepCardProps {
  call: Call;
  runId: string;
  live: boolean;
  /** Whether it is open at first. */
  opened: boolean;
  /** Dollars of the model call that wrote it, where it is the first of its step. */
  cost: string | null;
}

export const StepCard = memo(function StepCard(props: StepCardProps) {
  const { call, runId, live, opened, cost } = props;
  const body = useId();
  const failed = call.outcome !== null && call.outcome !== "ok";
  const [open, setOpen] = useState(opened || failed);
  const what = whatOf(call.name, call.input);
  const shown = call.output.filter((each): each is Displayed => each.kind === "displayed");
  const waits = live && callState(call) === "waiting";
  return (
    // A group, not a region: a run has many of them, and one name may come twice.
    <div
      role="group"
      aria-label={what.title}
      className={cn(
        "my-4 overflow-hidden rounded-xl border border-line bg-panel shadow-card",
        waits && "border-warn-line",
      )}
    >
      <h3>
        <button
          type="button"
          aria-expanded={open}
          aria-controls={body}
          onClick={() => setOpen(!open)}
          className="focus-inset flex min-h-11 w-full items-center gap-2 px-3 py-2 text-left hover:bg-hover [&>svg]:size-4 [&>svg]:shrink-0 [&>svg]:text-muted"
        >
          <ChevronRight
            aria-hidden
            className={cn("transition-transform duration-150", open && "rotate-90")}
          />
          {ICONS[call.name] ?? <Wrench />}
          <span className="min-w-0 flex-1 truncate font-medium text-sm">{what.title}</span>
          <Figures call={call} live={live} cost={cost} />
          <State call={call} live={live} />
        </button>
      </h3>
      {/* Hidden rather than gone: the button names it. */}
      <div id={body} hidden={!open}>
        {open ? <Body call={call} what={what} live={live} /> : null}
      </div>
      {waits ? <Approval call={call} runId={runId} what={what} /> : null}
      {shown.length > 0 ? (
        <div className="flex flex-col gap-3 border-line border-t p-3">
          {shown.map((each, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: results only come at the end, or change in place
            <Display key={at} data={each.data} />
          ))}
        </div>
      ) : null}
    </div>
  );
});

function Body({ call, what, live }: { call: Call; what: What; live: boolean }) {
  const printed = call.output.filter((each): each is Printed => each.kind === "printed");
  const growing = live && call.outcome === null;
  const failed = call.outcome !== null && call.outcome !== "ok" && call.outcome !== "denied";
  const plain = call.outcome === "ok" && printed.length === 0 && isRead(call.name);
  return (
    <div className="border-line border-t">
      {what.code ? (
        <Written code={what.code} language={what.language} growing={live && !call.written} />
      ) : null}
      {printed.length > 0 ? <Output printed={printed} live={growing} /> : null}
      {plain && call.content ? <Written code={call.content} language="" growing={false} /> : null}
      {failed ? <Failure content={call.content} /> : null}
      {call.outcome === "denied" ? <Denied call={call} /> : null}
    </div>
  );
}

/** Tools whose result is read rather than printed. */
function isRead(name: string): boolean {
  return name === "read_file" || name === "list_files";
}

function Denied({ call }: { call: Call }) {
  const why = call.decision?.why;
  return (
    <p className="border-line border-t px-3.5 py-2.5 text-muted text-sm">
      {words.chat.denied}
      {why ? `: ${why}` : ""}
    </p>
  );
}

function Figures({ call, live, cost }: { call: Call; live: boolean; cost: string | null }) {
  const running = live && callState(call) === "running" && call.startedAt;
  return (
    <span className="flex shrink-0 items-center gap-2 text-faint text-xs tabular-nums">
      {cost !== null && Number(cost) > 0 ? (
        <span className="hidden sm:inline">{usd(cost)}</span>
      ) : null}
      {call.durationMs !== null && call.outcome !== "denied" ? (
        <span>{ms(call.durationMs)}</span>
      ) : null}
      {running ? <Elapsed since={running} /> : null}
    </span>
  );
}

function State({ call, live }: { call: Call; live: boolean }) {
  const state = callState(call);
  if (call.outcome === "ok") {
    return (
      <Badge tone="ok" icon={<Check aria-hidden />}>
        {words.step.outcomes.ok}
      </Badge>
    );
  }
  if (call.outcome !== null) {
    return (
      <Badge tone={call.outcome === "denied" ? "plain" : "bad"} icon={<CircleX aria-hidden />}>
        {words.step.outcomes[call.outcome]}
      </Badge>
    );
  }
  if (!live) return <Badge>{words.step.outcomes.interrupted}</Badge>;
  if (state === "waiting") {
    return (
      <Badge tone="warn" icon={<Hand aria-hidden />}>
        {words.chat.waiting}
      </Badge>
    );
  }
  const doing = state === "running" ? words.chat.running : words.chat.writing;
  const label = state === "writing" && call.written ? words.chat.preparing : doing;
  return (
    <Badge tone="accent" icon={<Spinner className="size-3" />}>
      {label}
    </Badge>
  );
}
