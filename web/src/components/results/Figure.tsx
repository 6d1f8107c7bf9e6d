/**
 * An interactive Plotly figure. What draws it runs in a frame that has no origin and reaches
 * nothing; it is given the figure once it says that it is there.
 */
import { useEffect, useRef, useState } from "react";
import { Spinner } from "@/ui/Spinner";
import { words } from "@/words/en";

const TALLEST = 1200;
const USUAL = 420;

/** The height that a figure asks for. */
function heightOf(figure: unknown): number {
  const layout = (figure as { layout?: { height?: unknown } } | null)?.layout;
  const wanted = Number(layout?.height);
  return Number.isFinite(wanted) && wanted >= 80 ? Math.min(wanted, TALLEST) : USUAL;
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}

export function Figure({ json }: { json: string }) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [ready, setReady] = useState(false);
  const figure = parsed(json);
  useEffect(() => {
    const heard = (event: MessageEvent) => {
      const inside = frame.current?.contentWindow;
      if (!inside || event.source !== inside) return;
      if (event.data === "forge:there") {
        const dark = document.documentElement.dataset.theme === "dark";
        // The frame has no origin that could be named.
        inside.postMessage({ json, dark }, "*");
      }
      if (event.data === "forge:drawn") setReady(true);
    };
    window.addEventListener("message", heard);
    return () => window.removeEventListener("message", heard);
  }, [json]);
  if (figure === null) return <p className="text-muted text-sm">{words.results.unknown}</p>;
  return (
    <div className="relative" style={{ height: heightOf(figure) }}>
      {ready ? null : (
        <div className="absolute inset-0 flex items-center justify-center text-muted">
          <Spinner />
        </div>
      )}
      <iframe
        ref={frame}
        src="/frame/plotly.html"
        sandbox="allow-scripts allow-downloads"
        title={words.results.figure}
        className="relative size-full rounded-lg"
      />
    </div>
  );
}
