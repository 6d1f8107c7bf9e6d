/** Copies a text, and says that it did. */
import { Check, Copy } from "lucide-react";
import { useEffect, useState } from "react";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface CopyButtonProps {
  /** The text, or what makes it when it is wanted. */
  text: string | (() => string);
  label?: string;
  small?: boolean;
}

export function CopyButton({ text, label = words.ui.copy, small = true }: CopyButtonProps) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1600);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    await copyText(typeof text === "string" ? text : text());
    setDone(true);
  };
  return (
    <>
      <IconButton
        small={small}
        label={done ? words.ui.copied : label}
        icon={done ? <Check className="text-ok" /> : <Copy />}
        onClick={copy}
      />
      <span aria-live="polite" className="sr-only">
        {done ? words.ui.copied : ""}
      </span>
    </>
  );
}

/** Also where the page came over plain HTTP and the clipboard's own way is closed. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.setAttribute("aria-hidden", "true");
  area.className = "fixed opacity-0";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
