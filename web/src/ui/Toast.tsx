/** Short words about what has just happened. One list for the whole page; read out politely. */
import { CircleAlert, CircleCheck, Info, X } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface ToastWords {
  title: string;
  text?: string | undefined;
  tone?: "ok" | "bad" | "plain";
  action?: { label: string; onClick: () => void };
}

interface Shown extends ToastWords {
  id: number;
}

/** How long one stays: long enough to read two lines; problems stay twice as long. */
const STAYS_MS = 5000;
const MOST = 4;

type Listener = (shown: readonly Shown[]) => void;

class Toasts {
  private shown: readonly Shown[] = [];
  private next = 1;
  private readonly listeners = new Set<Listener>();

  show(words: ToastWords): void {
    const one = { ...words, id: this.next };
    this.next += 1;
    this.set([...this.shown, one].slice(-MOST));
    setTimeout(() => this.close(one.id), words.tone === "bad" ? STAYS_MS * 2 : STAYS_MS);
  }

  close(id: number): void {
    if (this.shown.some((each) => each.id === id)) {
      this.set(this.shown.filter((each) => each.id !== id));
    }
  }

  follow(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private set(shown: readonly Shown[]): void {
    this.shown = shown;
    for (const listener of this.listeners) listener(shown);
  }
}

const toasts = new Toasts();

/** Say something. */
export function toast(words: ToastWords): void {
  toasts.show(words);
}

const icons: Record<NonNullable<ToastWords["tone"]>, ReactNode> = {
  ok: <CircleCheck className="text-ok" />,
  bad: <CircleAlert className="text-bad" />,
  plain: <Info className="text-accent-text" />,
};

/** Where they are shown; once, in the shell. */
export function Toaster() {
  const [shown, setShown] = useState<readonly Shown[]>([]);
  useEffect(() => toasts.follow(setShown), []);
  return (
    <section
      aria-label={words.ui.notifications}
      aria-live="polite"
      className="pointer-events-none fixed top-16 right-4 z-50 flex w-[min(24rem,calc(100vw-2rem))] flex-col gap-2"
    >
      {shown.map((each) => (
        <div
          key={each.id}
          className="pointer-events-auto flex items-start gap-3 rounded-xl border border-line bg-panel p-3 shadow-pop [&>svg]:mt-0.5 [&>svg]:size-[18px] [&>svg]:shrink-0"
        >
          {icons[each.tone ?? "plain"]}
          <div className="min-w-0 flex-1 text-sm">
            <p className="font-medium">{each.title}</p>
            {each.text ? <p className="mt-0.5 break-words text-muted">{each.text}</p> : null}
            {each.action ? (
              <button
                type="button"
                className="mt-1.5 font-medium text-accent-text hover:underline"
                onClick={() => {
                  each.action?.onClick();
                  toasts.close(each.id);
                }}
              >
                {each.action.label}
              </button>
            ) : null}
          </div>
          <IconButton
            small
            label={words.ui.close}
            icon={<X />}
            onClick={() => toasts.close(each.id)}
          />
        </div>
      ))}
    </section>
  );
}
