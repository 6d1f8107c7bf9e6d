/**
 * A call that waits for a person: what it would do, why it waits, and what could come of it.
 * Nothing here takes the focus, so that a key pressed for something else approves nothing.
 */
import { ShieldAlert } from "lucide-react";
import { useState } from "react";
import { decideCall } from "@/api/queries/runs";
import { say } from "@/components/chat/say";
import type { What } from "@/components/step/what";
import { ahead } from "@/lib/format";
import type { Call } from "@/state/view";
import { Button } from "@/ui/Button";
import { Field, Input } from "@/ui/Field";
import { words } from "@/words/en";

export interface ApprovalProps {
  call: Call;
  runId: string;
  what: What;
}

export function Approval({ call, runId, what }: ApprovalProps) {
  const [why, setWhy] = useState("");
  const [sent, setSent] = useState<"approve" | "deny" | null>(null);
  const decide = async (approved: boolean) => {
    setSent(approved ? "approve" : "deny");
    try {
      await decideCall(runId, { approved, callId: call.callId, why: approved ? "" : why });
    } catch (error) {
      setSent(null);
      say(error);
    }
  };
  const tool = words.step.did[call.name] ?? call.name;
  return (
    <div
      role="group"
      aria-label={words.chat.waiting}
      className="border-warn-line border-t p-3.5 text-sm"
    >
      <p className="flex items-center gap-2 font-semibold [&>svg]:size-[18px] [&>svg]:text-warn">
        <ShieldAlert aria-hidden />
        {words.chat.mayIt(call.name.startsWith("run_") ? tool : what.title)}
      </p>
      <dl className="mt-2.5 grid grid-cols-[auto_1fr] gap-x-3 gap-y-1.5">
        <dt className="text-muted">{words.chat.what}</dt>
        <dd className="min-w-0 break-words">{what.title}</dd>
        <dt className="text-muted">{words.chat.why}</dt>
        <dd>{words.chat.whyApproval(tool)}</dd>
        <dt className="text-muted">{words.chat.risk}</dt>
        <dd>{words.chat.riskMachine}</dd>
      </dl>
      <div className="mt-3 flex flex-wrap items-end gap-2">
        <Field label={words.chat.denyWhy} className="min-w-full flex-1 sm:min-w-52">
          {(wired) => (
            <Input
              {...wired}
              value={why}
              maxLength={1000}
              onChange={(event) => setWhy(event.target.value)}
            />
          )}
        </Field>
        <span className="flex-1 sm:hidden" />
        <Button busy={sent === "deny"} onClick={() => decide(false)}>
          {words.chat.deny}
        </Button>
        <Button kind="primary" busy={sent === "approve"} onClick={() => decide(true)}>
          {words.chat.approve}
        </Button>
      </div>
      {call.asked?.expires_at ? (
        <p className="mt-2 text-muted text-xs">
          {words.chat.expires(ahead(call.asked.expires_at))}
        </p>
      ) : null}
    </div>
  );
}
