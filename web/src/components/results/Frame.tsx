/** HTML where nothing of it runs: a frame without scripts, origin, forms or links that lead away. */
import { words } from "@/words/en";

export function Frame({ html, title }: { html: string; title: string }) {
  return (
    <figure className="flex flex-col gap-1.5">
      <iframe
        sandbox=""
        srcDoc={html}
        title={title.slice(0, 200)}
        referrerPolicy="no-referrer"
        className="h-80 w-full rounded-lg border border-line bg-white"
      />
      <figcaption className="text-faint text-xs">{words.results.html}</figcaption>
    </figure>
  );
}
