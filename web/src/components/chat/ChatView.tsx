/** A conversation: what was said, what is said now, and where one says more. */
import { Upload } from "lucide-react";
import { type DragEvent, type ReactNode, useRef, useState } from "react";
import type { Talk } from "@/api/__generated__/api";
import { stopRun } from "@/api/queries/runs";
import { Files } from "@/components/chat/Files";
import { Header } from "@/components/chat/Header";
import { Start } from "@/components/chat/Start";
import { say } from "@/components/chat/say";
import { Thread } from "@/components/chat/Thread";
import { useHeard } from "@/components/chat/useHeard";
import { useSending } from "@/components/chat/useSending";
import { useSteering } from "@/components/chat/useSteering";
import { useTalk } from "@/components/chat/useTalk";
import { Composer, type ComposerHandle } from "@/components/composer/Composer";
import { useDraft } from "@/components/composer/draft";
import { useUploads } from "@/components/composer/useUploads";
import { Trouble } from "@/components/shell/Trouble";
import { useRun } from "@/state/store";
import type { RunView } from "@/state/view";
import { words } from "@/words/en";

interface Head {
  runId: string | null;
  run: RunView | null;
  running: boolean;
  lost: boolean;
}

/** The run of the last answer in view. */
function useHead(talk: Talk | undefined): Head {
  const last = talk?.messages.at(-1);
  const runId = last?.run_id ?? null;
  const head = useRun(runId);
  const run = head && head.view.last > 0 ? head.view : null;
  // A run whose ledger is not here yet goes on, as far as is known, where it has said nothing.
  const running = run ? run.status === "running" : runId !== null && !last?.text;
  return { runId, run, running, lost: head?.connection === "lost" };
}

export function ChatView({ id }: { id: string | undefined }) {
  const ways = useTalk(id);
  const { talk, pending } = ways;
  const { runId, run, running, lost } = useHead(talk);
  const [text, setText] = useDraft(id);
  const [model, setModel] = useState("");
  const [files, setFiles] = useState(false);
  const [stopping, setStopping] = useState<string | null>(null);
  const uploads = useUploads(id);
  const composer = useRef<ComposerHandle>(null);
  const steering = useSteering(run, (unheard) => setText(unheard));
  useHeard(run, ways.refresh);

  const { armed, send } = useSending({
    ways,
    steering,
    uploads,
    text,
    setText,
    model,
    running: running ? runId : null,
  });
  const stop = () => {
    if (!runId) return;
    setStopping(runId);
    stopRun(runId).catch((error: unknown) => {
      setStopping(null);
      say(error);
    });
  };
  const editLast = () => {
    const edits = document.querySelectorAll<HTMLButtonElement>("[data-edit]");
    edits[edits.length - 1]?.click();
  };

  const empty = !talk?.messages.length && !pending;
  const box = (
    <Composer
      handle={composer}
      text={text}
      onText={setText}
      uploads={uploads}
      model={model}
      onModel={setModel}
      running={running}
      stopping={stopping !== null && stopping === runId}
      sending={pending !== null}
      armed={armed}
      onSend={() => void send()}
      onStop={stop}
      onEditLast={editLast}
    />
  );
  return (
    <DropZone
      onFiles={uploads.add}
      beside={id ? <Files conversation={id} open={files} onClose={() => setFiles(false)} /> : null}
    >
      <title>{`${talk?.title || words.chat.title} · Forge`}</title>
      {id ? (
        <Header talk={talk} run={run} filesOpen={files} onFiles={() => setFiles(!files)} />
      ) : (
        <h1 className="sr-only">{words.chat.title}</h1>
      )}
      {ways.problem && !talk ? (
        <div className="mx-auto w-full max-w-[46rem] flex-1 p-4">
          <Trouble error={ways.problem} onAgain={ways.refresh} />
        </div>
      ) : empty && !id ? (
        <Start
          composer={box}
          onExample={(example) => void send(example)}
          onFill={(example) => {
            setText(example);
            composer.current?.focus();
          }}
        />
      ) : (
        <Thread ways={ways} steered={steering.waiting} lost={lost}>
          {box}
        </Thread>
      )}
    </DropZone>
  );
}

interface DropZoneProps {
  onFiles: (files: FileList) => void;
  beside: ReactNode;
  children: ReactNode;
}

/** All of the page takes files that are dropped on it. */
function DropZone({ onFiles, beside, children }: DropZoneProps) {
  const [over, setOver] = useState(0);
  const isFiles = (event: DragEvent) => event.dataTransfer.types.includes("Files");
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: files can be attached by a button as well
    <div
      className="relative flex h-full min-w-0"
      onDragEnter={(event) => isFiles(event) && setOver((count) => count + 1)}
      onDragLeave={(event) => isFiles(event) && setOver((count) => Math.max(0, count - 1))}
      onDragOver={(event) => isFiles(event) && event.preventDefault()}
      onDrop={(event) => {
        if (!isFiles(event)) return;
        event.preventDefault();
        setOver(0);
        onFiles(event.dataTransfer.files);
      }}
    >
      <div className="flex min-w-0 flex-1 flex-col">{children}</div>
      {beside}
      {over > 0 ? (
        <div className="pointer-events-none absolute inset-3 z-30 flex flex-col items-center justify-center gap-3 rounded-2xl border-2 border-accent border-dashed bg-accent-soft/90 font-medium text-accent-text">
          <Upload aria-hidden className="size-6" />
          {words.chat.dropHere}
        </div>
      ) : null}
    </div>
  );
}
