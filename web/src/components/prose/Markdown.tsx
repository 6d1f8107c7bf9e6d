/**
 * What a model says, as it says it. Cut into blocks, of which only the last is drawn again while it
 * grows; what is open at the end (a fence, a star) is closed for the moment. Markup in it is text.
 * This module is heavy and loaded late: `Prose` shows the words meanwhile.
 */
import { type ComponentProps, lazy, memo, Suspense, useMemo, useRef } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import remend from "remend";
import { CodeBlock } from "@/components/prose/CodeBlock";
import { Growing, withoutHead } from "@/lib/blocks";
import { mathless } from "@/lib/math";

const WithMath = lazy(async () => ({
  default: (await import("@/components/prose/MarkdownMath")).MarkdownMath,
}));
const PLUGINS = [remarkGfm];

function Link({ href, children }: ComponentProps<"a">) {
  return (
    <a
      href={href}
      target="_blank"
      rel="noopener noreferrer nofollow"
      className="text-accent-text underline decoration-1 underline-offset-2"
    >
      {children}
    </a>
  );
}

/** Pictures from elsewhere are not loaded: their addresses would tell of the reader. */
function Picture({ alt, src }: ComponentProps<"img">) {
  const text = alt || String(src ?? "");
  return typeof src === "string" && /^https?:/.test(src) ? <Link href={src}>{text}</Link> : text;
}

function Pre({ children }: ComponentProps<"pre">) {
  const child = Array.isArray(children) ? children[0] : children;
  const props =
    typeof child === "object" && child !== null && "props" in child
      ? (child.props as { className?: string; children?: unknown })
      : {};
  const language = /language-([\w+-]+)/.exec(props.className ?? "")?.[1] ?? "";
  return <CodeBlock code={String(props.children ?? "").replace(/\n$/, "")} language={language} />;
}

export const COMPONENTS: Components = {
  a: Link,
  img: Picture,
  pre: Pre,
  table: ({ children }) => (
    <section className="my-4 overflow-x-auto rounded-xl border border-line" tabIndex={0}>
      <table className="w-full text-sm">{children}</table>
    </section>
  ),
  h1: ({ children }) => <h3>{children}</h3>,
  h2: ({ children }) => <h3>{children}</h3>,
  h3: ({ children }) => <h4>{children}</h4>,
  input: ({ checked }) => (
    <span aria-hidden className="mr-1.5">
      {checked ? "☑" : "☐"}
    </span>
  ),
};

const Block = memo(function Block({ text }: { text: string }) {
  const plain = (
    <ReactMarkdown remarkPlugins={PLUGINS} components={COMPONENTS}>
      {text}
    </ReactMarkdown>
  );
  if (mathless(text)) return plain;
  return (
    <Suspense fallback={plain}>
      <WithMath text={text} components={COMPONENTS} />
    </Suspense>
  );
});

export function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const cutter = useRef(new Growing());
  const blocks = useMemo(() => {
    const found = cutter.current.blocks(text);
    const last = found.length - 1;
    return growing
      ? found.map((each, at) => (at === last ? remend(withoutHead(each)) : each))
      : found;
  }, [text, growing]);
  return (
    <div className="prose">
      {blocks.map((block, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks only grow at the end
        <Block key={at} text={block} />
      ))}
    </div>
  );
}
