/** One line below an answer: who answered, where it ran, what it took; opened, why. */
import { ChevronDown } from "lucide-react";
import { type ReactNode, useId, useState } from "react";
import { Link } from "wouter";
import { useAbility } from "@/api/queries/machines";
import { useSettings } from "@/api/queries/settings";
import { cn } from "@/lib/cn";
import { seconds, tokens, usd } from "@/lib/format";
import type { RunView } from "@/state/view";
import { costOf, tokensOf } from "@/state/view";
import { words } from "@/words/en";

/** A model's own name, without its provider's. */
export function modelName(model: string): string {
  return model === "offline:none" ? words.chat.offline : model.slice(model.indexOf(":") + 1);
}

export function machineName(run: RunView): string | null {
  if (!run.machine) return null;
  return words.chat.machines[run.machine.provider] ?? run.machine.provider;
}

export function About({ run }: { run: RunView }) {
  const [open, setOpen] = useState(false);
  const body = useId();
  const cost = costOf(run);
  const parts = [
    modelName(run.routed?.model || run.model),
    machineName(run),
    run.totals ? seconds(run.totals.wall_s) : null,
    tokensOf(run) > 0 ? words.chat.tokens(tokens(tokensOf(run))) : null,
    cost !== null && Number(cost) > 0 ? usd(cost) : null,
  ].filter((each) => each !== null);
  return (
    <>
      <button
        type="button"
        aria-expanded={open}
        aria-controls={body}
        onClick={() => setOpen(!open)}
        className="ml-1 flex min-w-0 items-center gap-1 rounded-lg px-1.5 py-1 text-faint text-xs hover:text-ink [&>svg]:size-3.5 [&>svg]:shrink-0"
      >
        <span className="truncate">{parts.join(" · ")}</span>
        <ChevronDown aria-hidden className={cn("transition-transform", open && "rotate-180")} />
      </button>
      <div id={body} hidden={!open} className="w-full">
        {open ? <Why run={run} /> : null}
      </div>
    </>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

function Why({ run }: { run: RunView }) {
  const { data: ability } = useAbility();
  const { data: settings } = useSettings();
  const { machine, routed } = run;
  const model = routed?.model || run.model;
  const usual = settings?.model;
  const why = usual?.name === run.model ? usual.why : words.chat.modelNamed;
  return (
    <dl className="mt-1 grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 rounded-xl bg-sunken p-3.5 text-sm">
      <Row name={words.chat.model}>
        {model}
        {usual ? <span className="text-muted">, {why}</span> : null}
      </Row>
      {routed ? (
        <Row name={words.chat.route}>
          {words.chat.routes[routed.path] ?? routed.path}, {words.chat.routeWhy(routed.reason)}
        </Row>
      ) : null}
      <Row name={words.chat.machine}>
        {machine
          ? words.chat.machineIs(machineName(run) ?? "", machine.accelerator, machine.template)
          : words.chat.machineNone}
        {machine ? (
          <span className="text-muted">
            {" "}
            {words.chat.machineTook(seconds(machine.duration_ms / 1000))}
          </span>
        ) : null}
      </Row>
      {machine && ability?.why ? <Row name={words.chat.machineWhy}>{ability.why}</Row> : null}
      <Row name={words.chat.cost}>{usd(costOf(run))}</Row>
      <dt />
      <dd>
        <Link href={`/runs/${run.id}`} className="text-accent-text underline underline-offset-2">
          {words.chat.toRun}
        </Link>
      </dd>
    </dl>
  );
}
