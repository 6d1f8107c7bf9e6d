/** What was typed and not sent survives a reload of its tab. */
import { useEffect, useState } from "react";

function kept(name: string): string {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

function keep(name: string, text: string): void {
  try {
    if (text) sessionStorage.setItem(name, text);
    else sessionStorage.removeItem(name);
  } catch {
    // A browser that keeps nothing for pages: the draft lives as long as the page.
    return;
  }
}

export function useDraft(conversation: string | undefined): [string, (text: string) => void] {
  const name = `forge.draft.${conversation ?? "new"}`;
  const [text, setText] = useState(() => kept(name));
  useEffect(() => keep(name, text), [name, text]);
  return [text, setText];
}
