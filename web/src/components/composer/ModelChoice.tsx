/** Which model answers next: the usual one, or one that is named. */
import { ChevronDown, Cpu } from "lucide-react";
import { useState } from "react";
import { useSettings } from "@/api/queries/settings";
import { modelName } from "@/components/thread/About";
import { Button } from "@/ui/Button";
import { Dialog } from "@/ui/Dialog";
import { Field, Input } from "@/ui/Field";
import { Menu } from "@/ui/Menu";
import { words } from "@/words/en";

export interface ModelChoiceProps {
  /** Empty: the usual one. */
  model: string;
  onChange: (model: string) => void;
}

export function ModelChoice({ model, onChange }: ModelChoiceProps) {
  const { data: settings } = useSettings();
  const [naming, setNaming] = useState(false);
  const usual = settings?.model;
  const shown = model || (usual?.name ?? "");
  return (
    <>
      <Menu
        align="start"
        label={words.chat.model}
        trigger={
          <button
            type="button"
            aria-label={`${words.chat.model}: ${shown ? modelName(shown) : words.chat.defaultModel}`}
            className="flex h-9 min-w-0 items-center gap-1.5 rounded-lg px-2 text-muted text-xs hover:bg-hover hover:text-ink [&>svg]:size-3.5 [&>svg]:shrink-0"
          >
            <Cpu aria-hidden />
            <span className="truncate">{shown ? modelName(shown) : words.chat.defaultModel}</span>
            <ChevronDown aria-hidden />
          </button>
        }
        items={[
          {
            label: words.chat.defaultModel,
            note: usual ? `${usual.name}, ${usual.why}` : undefined,
            checked: model === "",
            onSelect: () => onChange(""),
          },
          ...(model
            ? [{ label: modelName(model), note: model, checked: true, onSelect: () => undefined }]
            : []),
          {
            label: words.chat.anotherModel,
            separate: true,
            onSelect: () => setNaming(true),
          },
        ]}
      />
      {naming ? (
        <Naming
          onDone={(name) => {
            setNaming(false);
            if (name) onChange(name);
          }}
        />
      ) : null}
    </>
  );
}

function Naming({ onDone }: { onDone: (name: string) => void }) {
  const [name, setName] = useState("");
  const whole = /^[\w-]+:\S+$/.test(name.trim());
  return (
    <Dialog open onOpenChange={() => onDone("")} title={words.chat.anotherModel}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (whole) onDone(name.trim());
        }}
      >
        <Field label={words.chat.model} hint={words.chat.anotherModelHint}>
          {(wired) => (
            <Input
              {...wired}
              autoFocus
              maxLength={200}
              value={name}
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <div className="mt-4 flex justify-end">
          <Button
            kind="primary"
            type="submit"
            reason={whole ? undefined : words.chat.anotherModelHint}
          >
            {words.chat.modelUse}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
