/** Words of a model; plain until what draws Markdown is there. */
import { lazy, Suspense } from "react";

const load = () => import("@/components/prose/Markdown");
const Markdown = lazy(async () => ({ default: (await load()).Markdown }));

/** Fetch it before it is wanted. */
export function warmMarkdown(): void {
  void load();
}

export function Prose({ text, growing = false }: { text: string; growing?: boolean }) {
  return (
    <Suspense fallback={<p className="whitespace-pre-wrap break-words">{text}</p>}>
      <Markdown text={text} growing={growing} />
    </Suspense>
  );
}
