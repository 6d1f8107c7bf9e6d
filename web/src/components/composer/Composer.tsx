/**
 * Where a person says something: with files by button, drag or paste. While a run goes on what is
 * said steers it, and there is a way to stop it.
 */
import { ArrowUp, Paperclip, Square } from "lucide-react";
import { type Ref, useEffect, useImperativeHandle, useLayoutEffect, useRef } from "react";
import { Attachments } from "@/components/composer/Attachments";
import { ModelChoice } from "@/components/composer/ModelChoice";
import type { Uploads } from "@/components/composer/useUploads";
import { cn } from "@/lib/cn";
import { IconButton } from "@/ui/IconButton";
import { Spinner } from "@/ui/Spinner";
import { words } from "@/words/en";

export interface ComposerHandle {
  focus: () => void;
}

export interface ComposerProps {
  text: string;
  onText: (text: string) => void;
  uploads: Uploads;
  model: string;
  onModel: (model: string) => void;
  /** Whether a run goes on, which is then told what is said. */
  running: boolean;
  stopping: boolean;
  sending: boolean;
  /** Whether it is sent by itself once its files are there. */
  armed: boolean;
  onSend: () => void;
  onStop: () => void;
  /** The last thing one said, to be said differently: the arrow up in an empty field. */
  onEditLast: () => void;
  handle?: Ref<ComposerHandle>;
}

/** How tall it gets before it scrolls, in pixels. */
const TALLEST = 260;

function whyNotSend(props: ComposerProps): string | undefined {
  if (props.sending) return words.chat.sending;
  if (props.armed) return words.chat.uploadsBusy;
  if (props.running && props.uploads.files.length > 0) return words.chat.filesWait;
  if (!props.text.trim()) return words.chat.nothing;
  return undefined;
}

export function Composer(props: ComposerProps) {
  const { text, onText, uploads, running, onSend, onEditLast } = props;
  const area = useRef<HTMLTextAreaElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  useImperativeHandle(props.handle, () => ({ focus: () => area.current?.focus() }));
  // biome-ignore lint/correctness/useExhaustiveDependencies: its height follows the text
  useLayoutEffect(() => {
    const box = area.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, TALLEST)}px`;
  }, [text]);
  // On a touch screen the keyboard would cover what one came to read.
  useEffect(() => {
    if (window.matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, []);
  const reason = whyNotSend(props);
  return (
    <form
      aria-label={words.chat.composer}
      className="rounded-2xl border border-line bg-panel shadow-box transition-shadow focus-within:border-accent focus-within:ring-2 focus-within:ring-accent/25"
      onSubmit={(event) => {
        event.preventDefault();
        if (!reason) onSend();
      }}
    >
      <Attachments files={uploads.files} onRemove={uploads.remove} onRetry={uploads.retry} />
      <textarea
        ref={area}
        aria-label={words.chat.composer}
        placeholder={running ? words.chat.steerHint : words.chat.newMessage}
        rows={1}
        value={text}
        onChange={(event) => onText(event.target.value)}
        onPaste={(event) => {
          if (event.clipboardData.files.length === 0) return;
          event.preventDefault();
          uploads.add(event.clipboardData.files);
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowUp" && text === "") onEditLast();
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          if (!reason) onSend();
        }}
        className="block w-full resize-none bg-transparent px-4 pt-3.5 pb-1 text-[15px] leading-6 outline-none placeholder:text-faint"
      />
      <div className="flex items-center gap-1 px-2 pb-2">
        <IconButton
          label={words.chat.attach}
          icon={<Paperclip />}
          onClick={() => picker.current?.click()}
        />
        <input
          ref={picker}
          type="file"
          multiple
          tabIndex={-1}
          aria-label={words.chat.attach}
          className="hidden"
          onChange={(event) => {
            uploads.add(event.target.files ?? []);
            event.target.value = "";
          }}
        />
        <ModelChoice model={props.model} onChange={props.onModel} />
        <span className="flex-1" />
        {props.armed ? (
          <span role="status" className="flex items-center gap-2 px-1 text-muted text-xs">
            <Spinner className="size-3.5" />
            {words.chat.uploadsBusy}
          </span>
        ) : null}
        {running ? <Stop stopping={props.stopping} onStop={props.onStop} /> : null}
        {running && !text.trim() ? null : (
          <IconButton
            type="submit"
            label={running ? words.chat.steer : words.chat.send}
            reason={reason}
            icon={<ArrowUp />}
            className={cn(
              "rounded-full bg-accent text-accent-ink hover:bg-accent-hover hover:text-accent-ink",
              reason && "bg-sunken text-faint opacity-100 hover:bg-sunken hover:text-faint",
            )}
          />
        )}
      </div>
    </form>
  );
}

function Stop({ stopping, onStop }: { stopping: boolean; onStop: () => void }) {
  return (
    <IconButton
      label={stopping ? words.chat.stopping : words.chat.stop}
      reason={stopping ? words.chat.stoppingWhy : undefined}
      icon={<Square fill="currentColor" />}
      onClick={onStop}
      className="rounded-full bg-ink text-bg hover:bg-muted hover:text-bg [&>svg]:size-3.5"
    />
  );
}
