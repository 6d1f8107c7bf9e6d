/**
 * A rich result, in the best form that can be shown safely: an interactive figure, a table, a
 * picture, a formula, JSON, Markdown, HTML without scripts, and else its text. Whatever is in it
 * comes from a machine and is hostile: figures run in a frame without an origin, pictures are
 * pictures, HTML is cut down to its tables or shown where nothing of it can run.
 */
import { lazy, memo, Suspense } from "react";
import { Prose } from "@/components/prose/Prose";
import { Figure } from "@/components/results/Figure";
import { Frame } from "@/components/results/Frame";
import { tableOf } from "@/components/results/frames";
import { Tabular } from "@/components/results/Tabular";
import { words } from "@/words/en";

const Json = lazy(async () => ({ default: (await import("@/components/results/Json")).Json }));

export type Bundle = Readonly<Record<string, string>>;

const PICTURES = ["image/svg+xml", "image/png", "image/jpeg", "image/gif", "image/webp"] as const;
const FIGURE = "application/vnd.plotly.v1+json";

function Picture({ data, kind }: { data: Bundle; kind: string }) {
  const content = data[kind] ?? "";
  const source =
    kind === "image/svg+xml"
      ? `data:${kind};charset=utf-8,${encodeURIComponent(content)}`
      : `data:${kind};base64,${content.replace(/\s/g, "")}`;
  return (
    <img
      src={source}
      alt={data["text/plain"] || words.results.image}
      className="max-h-[34rem] max-w-full self-center rounded-lg bg-white"
    />
  );
}

function Html({ html, text }: { html: string; text: string | undefined }) {
  const table = tableOf(html);
  if (table) return <Tabular {...table} />;
  return <Frame html={html} title={text || words.results.html} />;
}

function Plain({ text }: { text: string }) {
  return (
    <pre
      tabIndex={0}
      className="focus-inset max-h-96 overflow-auto rounded font-mono text-[13px] leading-5"
    >
      {text}
    </pre>
  );
}

function Loading() {
  return <div className="h-24 animate-pulse rounded-lg bg-sunken" />;
}

/** JSON types of a program's own are JSON. */
function jsonOf(data: Bundle): string | undefined {
  const kind = Object.keys(data).find((each) => /^application\/(.+\+)?json$/.test(each));
  return kind && data[kind];
}

export const Display = memo(function Display({ data }: { data: Bundle }) {
  const picture = PICTURES.find((each) => data[each]);
  const text = data["text/plain"];
  const html = data["text/html"];
  if (data[FIGURE]) return <Figure json={data[FIGURE]} />;
  if (picture) return <Picture data={data} kind={picture} />;
  if (html) return <Html html={html} text={text} />;
  if (data["text/latex"]) return <Prose text={latex(data["text/latex"])} />;
  if (data["text/markdown"]) return <Prose text={data["text/markdown"]} />;
  const json = jsonOf(data);
  if (json) {
    return (
      <Suspense fallback={<Loading />}>
        <Json text={json} />
      </Suspense>
    );
  }
  return <Plain text={text ?? words.results.unknown} />;
});

/** A formula in lines of its own, whichever marks it came in. */
function latex(text: string): string {
  const inner = text.trim().replace(/^(\$\$?|\\\[|\\\()([\s\S]*?)(\$\$?|\\\]|\\\))$/, "$2");
  return `$$\n${inner.replaceAll("\\displaystyle", "").trim()}\n$$`;
}
