/** Code, in a box that follows its end while it is written. */
import { useEffect, useRef } from "react";
import { Code } from "@/components/prose/Code";
import { CopyButton } from "@/ui/CopyButton";

export interface WrittenProps {
  code: string;
  language: string;
  growing: boolean;
}

export function Written({ code, language, growing }: WrittenProps) {
  const box = useRef<HTMLPreElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it follows the code
  useEffect(() => {
    if (growing && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [code, growing]);
  return (
    <div className="group relative">
      <pre
        ref={box}
        tabIndex={0}
        className="focus-inset max-h-96 overflow-auto p-3.5 font-mono text-[13px] leading-5"
      >
        <Code code={code} language={language} />
      </pre>
      {growing ? null : (
        <div className="absolute top-1.5 right-1.5 rounded-lg bg-panel opacity-0 transition-opacity focus-within:opacity-100 group-hover:opacity-100">
          <CopyButton text={code} />
        </div>
      )}
    </div>
  );
}
