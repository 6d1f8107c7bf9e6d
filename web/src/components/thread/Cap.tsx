/** A limit that was reached: what it has come to, and a way to allow more. */
import { useState } from "react";
import { resumeRun } from "@/api/queries/runs";
import { say } from "@/components/chat/say";
import { number, usd } from "@/lib/format";
import { followOn } from "@/state/store";
import type { RunView } from "@/state/view";
import { Button } from "@/ui/Button";
import { Field, Input } from "@/ui/Field";
import { Meter } from "@/ui/Meter";
import { words } from "@/words/en";

type Kind = "iterations" | "tokens" | "usd" | "wall_s";
const KINDS: readonly Kind[] = ["iterations", "tokens", "usd", "wall_s"];

interface Reached {
  kind: Kind;
  used: number;
  cap: number;
}

/** What was used of each limit there is. */
export function reached(run: RunView): Reached[] {
  const { caps, totals } = run;
  if (!caps || !totals) return [];
  const used: Record<Kind, number> = {
    iterations: totals.iterations,
    tokens: totals.usage.input_tokens + totals.usage.output_tokens,
    usd: Number(totals.usd ?? 0),
    wall_s: totals.wall_s,
  };
  return KINDS.map((kind) => ({ kind, used: used[kind], cap: Number(caps[kind]) })).filter(
    (each) => each.cap > 0,
  );
}

/** So much of a limit counts as reached. */
const NEAR = 0.75;

/** Twice as much of what was reached, in a round number. */
function more(each: Reached): string {
  if (each.used < each.cap * NEAR) return String(each.cap);
  const twice = each.cap * 2;
  return each.kind === "usd" ? String(Number(twice.toFixed(4))) : String(Math.ceil(twice));
}

function shown(kind: Kind, value: number): string {
  return kind === "usd" ? usd(value) : number(Math.round(value));
}

export function Cap({ run }: { run: RunView }) {
  const limits = reached(run);
  const [wanted, setWanted] = useState<Partial<Record<Kind, string>>>({});
  const [busy, setBusy] = useState(false);
  const allow = async () => {
    setBusy(true);
    try {
      const caps = Object.fromEntries(
        KINDS.map((kind) => {
          const limit = limits.find((each) => each.kind === kind);
          const value = wanted[kind] ?? (limit ? more(limit) : "0");
          return [kind, kind === "usd" ? value : Number(value)];
        }),
      );
      await resumeRun(run.id, caps);
      followOn(run.id);
    } catch (error) {
      setBusy(false);
      say(error);
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void allow();
      }}
    >
      {run.error ? <p className="break-words">{run.error.message}</p> : null}
      <div className="my-3 grid gap-x-6 gap-y-4 sm:grid-cols-2">
        {limits.map((each) => (
          <div key={each.kind} className="flex items-end gap-3">
            <Meter
              className="min-w-0 flex-1 pb-2"
              label={words.chat.capMore[each.kind]}
              value={each.used}
              max={each.cap}
              text={words.chat.capUsed(shown(each.kind, each.used), shown(each.kind, each.cap))}
            />
            <Field label={words.chat.capNew} className="w-24 shrink-0">
              {(wired) => (
                <Input
                  {...wired}
                  inputMode="decimal"
                  required
                  pattern="[0-9]+([.][0-9]+)?"
                  value={wanted[each.kind] ?? more(each)}
                  onChange={(event) => setWanted({ ...wanted, [each.kind]: event.target.value })}
                />
              )}
            </Field>
          </div>
        ))}
      </div>
      <p className="mb-3 text-muted text-xs">{words.chat.capNone}</p>
      <Button kind="primary" type="submit" busy={busy}>
        {words.chat.allowMore}
      </Button>
    </form>
  );
}
