/** The beginning of a conversation: what this is, where to say something, and what to try. */
import type { ReactNode } from "react";
import { Link } from "wouter";
import { useSettings } from "@/api/queries/settings";
import { words } from "@/words/en";

export interface StartProps {
  composer: ReactNode;
  onExample: (text: string) => void;
  /** An example that one changes before it is sent. */
  onFill: (text: string) => void;
}

export function Start({ composer, onExample, onFill }: StartProps) {
  const { data: settings } = useSettings();
  const offline = settings?.model.name.startsWith("offline:") ?? false;
  const examples = offline ? words.chat.offlineExamples : words.chat.examples;
  return (
    <div className="min-h-0 flex-1 overflow-y-auto">
      <div className="mx-auto flex min-h-full w-full max-w-[48rem] flex-col justify-center px-4 py-10">
        <p className="text-center font-semibold text-[1.75rem] leading-tight tracking-tight">
          {words.chat.emptyTitle}
        </p>
        <p className="mx-auto mt-2 mb-7 max-w-xl text-balance text-center text-muted">
          {offline ? words.chat.offlineHint : words.chat.emptyHint}{" "}
          {offline ? (
            <Link href="/settings/models" className="text-accent-text underline underline-offset-2">
              {words.chat.offlineSetUp}
            </Link>
          ) : null}
        </p>
        {composer}
        <ul aria-label={words.chat.emptyExamples} className="mt-5 grid gap-2 sm:grid-cols-2">
          {examples.map((each) => (
            <li key={each.title}>
              <button
                type="button"
                onClick={() => ("fill" in each ? onFill(each.text) : onExample(each.text))}
                className="h-full w-full rounded-xl border border-line bg-panel px-4 py-3 text-left hover:border-line-strong hover:bg-hover"
              >
                <span className="block font-medium text-sm">{each.title}</span>
                <span className="mt-0.5 block text-muted text-sm">{each.note}</span>
              </button>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
