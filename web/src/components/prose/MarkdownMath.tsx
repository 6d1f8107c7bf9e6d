/** Markdown with formulas in it; KaTeX is loaded with it, and only where there are some. */
import "katex/dist/katex.min.css";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeKatex from "rehype-katex";
import remarkGfm from "remark-gfm";
import remarkMath from "remark-math";
import { dollars } from "@/lib/math";

export function MarkdownMath(props: { text: string; components: Components }) {
  return (
    <ReactMarkdown
      remarkPlugins={[remarkGfm, remarkMath]}
      rehypePlugins={[
        [rehypeKatex, { throwOnError: false, trust: false, maxSize: 20, maxExpand: 200 }],
      ]}
      components={props.components}
    >
      {dollars(props.text)}
    </ReactMarkdown>
  );
}
