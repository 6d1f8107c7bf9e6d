/** A block of code, with what it is in, copy and download. */
import { Download } from "lucide-react";
import { Highlight } from "@/components/prose/Highlight";
import { save } from "@/lib/save";
import { CopyButton } from "@/ui/CopyButton";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

const ENDINGS: Readonly<Record<string, string>> = {
  bash: "sh",
  javascript: "js",
  markdown: "md",
  python: "py",
  shell: "sh",
  typescript: "ts",
};

export function CodeBlock({ code, language }: { code: string; language: string }) {
  const ending = ENDINGS[language] ?? (/^[a-z0-9]{1,8}$/.test(language) ? language : "txt");
  return (
    <figure className="my-4 overflow-hidden rounded-xl border border-line bg-panel">
      <figcaption className="flex items-center gap-1 border-line border-b py-1 pr-1.5 pl-3.5">
        <span className="flex-1 font-mono text-muted text-xs">{language || "text"}</span>
        <IconButton
          small
          label={words.ui.download}
          icon={<Download />}
          onClick={() => save(code, `code.${ending}`)}
        />
        <CopyButton text={code} />
      </figcaption>
      <pre className="overflow-x-auto p-3.5 font-mono text-[13px] leading-5" tabIndex={0}>
        <Highlight code={code} language={language} />
      </pre>
    </figure>
  );
}
