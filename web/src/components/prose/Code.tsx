/** Code with its words coloured, once what colours it is there; plain until then. */
import { lazy, Suspense } from "react";

const Highlight = lazy(async () => ({
  default: (await import("@/components/prose/Highlight")).Highlight,
}));

export function Code({ code, language }: { code: string; language: string }) {
  return (
    <Suspense fallback={<code>{code}</code>}>
      <Highlight code={code} language={language} />
    </Suspense>
  );
}
