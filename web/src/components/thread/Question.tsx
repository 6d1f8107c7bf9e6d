/** What a person said; it can be said differently, which begins a branch. */
import { Paperclip, Pencil } from "lucide-react";
import { useState } from "react";
import { Branches } from "@/components/thread/Branches";
import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { Textarea } from "@/ui/Field";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface QuestionProps {
  text: string;
  files?: readonly string[];
  /** Absent while it is on its way. */
  said?: { id: string; siblings: readonly string[] };
  onEdit?: (text: string) => void;
  onShow?: (id: string) => void;
}

export function Question({ text, files = [], said, onEdit, onShow }: QuestionProps) {
  const [editing, setEditing] = useState(false);
  if (editing && onEdit) {
    return (
      <Editor
        text={text}
        onDone={(now) => {
          setEditing(false);
          if (now !== null) onEdit(now);
        }}
      />
    );
  }
  return (
    <article aria-label={words.chat.youSaid} className="group mt-8 flex flex-col items-end">
      <h2 className="sr-only">{words.chat.youSaid}</h2>
      {files.length > 0 ? <Given names={files} /> : null}
      <p className="max-w-[85%] whitespace-pre-wrap break-words rounded-2xl bg-user px-4 py-2.5">
        {text}
      </p>
      {said ? (
        <div className="-mb-3 mt-1 flex h-7 items-center gap-0.5">
          <span className="flex opacity-0 transition-opacity focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">
            <CopyButton text={text} />
            <IconButton
              small
              label={words.chat.edit}
              icon={<Pencil />}
              data-edit
              onClick={() => setEditing(true)}
            />
          </span>
          <Branches id={said.id} siblings={said.siblings} onShow={(id) => onShow?.(id)} />
        </div>
      ) : null}
    </article>
  );
}

function Given({ names }: { names: readonly string[] }) {
  return (
    <ul className="mb-1.5 flex max-w-[85%] flex-wrap justify-end gap-1.5">
      {names.map((name) => (
        <li
          key={name}
          className="flex min-w-0 items-center gap-1.5 rounded-lg border border-line bg-panel px-2.5 py-1 text-sm [&>svg]:size-3.5 [&>svg]:shrink-0 [&>svg]:text-muted"
        >
          <Paperclip aria-hidden />
          <span className="truncate">{name}</span>
        </li>
      ))}
    </ul>
  );
}

function Editor({ text, onDone }: { text: string; onDone: (text: string | null) => void }) {
  const [now, setNow] = useState(text);
  const send = () => onDone(now.trim() && now !== text ? now : null);
  return (
    <form
      className="mt-8 rounded-2xl border border-line bg-panel p-3"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Textarea
        aria-label={words.chat.editing}
        autoFocus
        rows={Math.min(12, now.split("\n").length + 1)}
        value={now}
        onChange={(event) => setNow(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onDone(null);
          if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      <div className="mt-2 flex justify-end gap-2">
        <Button size="small" kind="quiet" onClick={() => onDone(null)}>
          {words.ui.cancel}
        </Button>
        <Button size="small" kind="primary" type="submit">
          {words.chat.editSend}
        </Button>
      </div>
    </form>
  );
}
