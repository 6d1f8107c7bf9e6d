/**
 * HTML where nothing of it runs: a frame without scripts, origin, forms or links that lead away.
 * What would make a browser look anybody up or go anywhere by itself is taken out before.
 */
import { useMemo } from "react";
import { cn } from "@/lib/cn";
import { words } from "@/words/en";

const OUT = "script, meta, link, base, iframe, frame, object, embed, form, portal, template";
const POLICY =
  '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'; img-src data:"><meta http-equiv="x-dns-prefetch-control" content="off">';

/** The same HTML at rest. */
export function atRest(html: string): string {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  for (const each of parsed.querySelectorAll(OUT)) each.remove();
  for (const each of parsed.querySelectorAll("[href], [ping], [action]")) {
    for (const name of ["href", "ping", "action"]) each.removeAttribute(name);
  }
  return `<!doctype html>${POLICY}${parsed.documentElement.outerHTML}`;
}

export interface FrameProps {
  html: string;
  title: string;
  className?: string;
}

export function Frame({ html, title, className }: FrameProps) {
  const rest = useMemo(() => atRest(html), [html]);
  return (
    <figure className="flex flex-col gap-1.5">
      <iframe
        sandbox=""
        srcDoc={rest}
        title={title.slice(0, 200)}
        referrerPolicy="no-referrer"
        className={cn("h-80 w-full rounded-lg border border-line bg-white", className)}
      />
      <figcaption className="text-faint text-xs">{words.results.html}</figcaption>
    </figure>
  );
}
