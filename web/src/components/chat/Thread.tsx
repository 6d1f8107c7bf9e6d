/** What was said, in order, following its end while one looks at it, and the composer below. */
import { ArrowDown, WifiOff } from "lucide-react";
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import type { FileFact } from "@/api/__generated__/events";
import type { TalkWays } from "@/components/chat/useTalk";
import { Answer } from "@/components/thread/Answer";
import { Question, type QuestionProps } from "@/components/thread/Question";
import { useRuns } from "@/state/store";
import { IconButton } from "@/ui/IconButton";
import { Skeleton } from "@/ui/Skeleton";
import { words } from "@/words/en";

export interface ThreadProps {
  ways: TalkWays;
  /** Said to the run that goes on, and not heard yet. */
  steered: readonly string[];
  lost: boolean;
  children: ReactNode;
}

/** So near the end, in pixels, one is taken to look at it. */
const NEAR = 90;
/** So many of the last answers are followed at once. */
const FOLLOWED = 2;

/** Keeps a box at its end while it grows, unless one has scrolled away. */
function useEnd() {
  const box = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = useCallback(() => {
    stuck.current = true;
    setAway(false);
    box.current?.scrollTo({ top: box.current.scrollHeight });
  }, []);
  useEffect(() => {
    const content = inner.current;
    if (!content) return;
    const watcher = new ResizeObserver(() => {
      const outer = box.current;
      if (outer && stuck.current) outer.scrollTop = outer.scrollHeight;
    });
    watcher.observe(content);
    return () => watcher.disconnect();
  }, []);
  const onScroll = () => {
    const outer = box.current;
    if (!outer) return;
    const left = outer.scrollHeight - outer.scrollTop - outer.clientHeight;
    stuck.current = left < NEAR;
    setAway(left > NEAR * 2);
  };
  return { box, inner, away, toEnd, onScroll };
}

export function Thread({ ways, steered, lost, children }: ThreadProps) {
  const { talk, pending } = ways;
  const { box, inner, away, toEnd, onScroll } = useEnd();
  const said = talk?.messages ?? [];
  const cut = pending?.parentId;
  const shown =
    cut === undefined ? said : said.slice(0, said.findIndex((each) => each.id === cut) + 1);
  // What one says oneself is always seen.
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever something is said
  useEffect(toEnd, [pending, toEnd]);
  return (
    <>
      <div className="relative min-h-0 flex-1">
        <div
          ref={box}
          onScroll={onScroll}
          className="h-full overflow-y-auto overscroll-contain bg-bg"
        >
          <div ref={inner} className="mx-auto w-full max-w-[46rem] px-4 pt-1 pb-8">
            {!talk && !pending ? <Waiting /> : null}
            {shown.map((each, at) =>
              each.role === "user" ? (
                <Asked
                  key={each.id}
                  runId={shown[at + 1]?.run_id}
                  text={each.text}
                  said={{ id: each.id, siblings: each.siblings }}
                  onShow={ways.show}
                  onEdit={(text) => void ways.ask({ text, files: [], parentId: each.parent_id })}
                />
              ) : (
                <Answer
                  key={each.id}
                  message={each}
                  followed={at >= shown.length - FOLLOWED * 2}
                  newest={at >= shown.length - 2}
                  onAgain={(message) => void ways.again(message)}
                  onShow={ways.show}
                />
              ),
            )}
            {pending ? (
              <div className="opacity-70">
                <Question text={pending.text} files={pending.files.map((each) => each.name)} />
              </div>
            ) : null}
            {steered.map((text, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: they leave from the front, in order
              <div key={at} className="opacity-70">
                <Question text={text} />
                <p className="mt-1 text-right text-faint text-xs">{words.chat.queued}</p>
              </div>
            ))}
          </div>
        </div>
        {away ? (
          <div className="absolute inset-x-0 bottom-2 flex justify-center">
            <IconButton
              label={words.chat.jump}
              icon={<ArrowDown />}
              onClick={toEnd}
              className="rounded-full border border-line bg-panel shadow-pop"
            />
          </div>
        ) : null}
      </div>
      <div className="mx-auto w-full max-w-[48rem] shrink-0 px-2 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-4">
        {lost ? (
          <p role="status" className="mb-2 flex items-center gap-2 px-2 text-muted text-sm">
            <WifiOff aria-hidden className="size-4 shrink-0 text-warn" />
            {words.chat.connectionLost}
          </p>
        ) : null}
        {children}
      </div>
    </>
  );
}

function Waiting() {
  return (
    <div className="mt-10 flex flex-col gap-4">
      <Skeleton className="h-10 w-2/5 self-end rounded-2xl" />
      <Skeleton className="w-4/5" />
      <Skeleton className="w-3/5" />
    </div>
  );
}

const NOTHING: readonly FileFact[] = [];

/** A question with the files that its run was given. */
function Asked({ runId, ...rest }: QuestionProps & { runId: string | null | undefined }) {
  const files = useRuns((state) => (runId && state.runs[runId]?.view.files) || NOTHING);
  return <Question {...rest} files={files.map((each) => each.name)} />;
}
