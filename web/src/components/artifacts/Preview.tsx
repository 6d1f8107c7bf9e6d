/**
 * A file of a conversation, looked at: pictures as pictures, pages and PDFs in a cage that the
 * server puts around them, tables as tables, and text as text. Nothing of it becomes this page's.
 */
import { useQuery } from "@tanstack/react-query";
import { Play } from "lucide-react";
import { useState } from "react";
import type { FileLine } from "@/api/__generated__/api";
import { ask } from "@/api/http";
import { fileAddress } from "@/api/queries/files";
import { Code } from "@/components/prose/Code";
import { Prose } from "@/components/prose/Prose";
import { Frame } from "@/components/results/Frame";
import { Tabular } from "@/components/results/Tabular";
import { Trouble } from "@/components/shell/Trouble";
import { parseCsv } from "@/lib/csv";
import { bytes } from "@/lib/format";
import { Button } from "@/ui/Button";
import { Skeleton } from "@/ui/Skeleton";
import { words } from "@/words/en";

/** Text of more bytes is not fetched to be looked at. */
const MOST = 1_000_000;

const LANGUAGES: Readonly<Record<string, string>> = {
  css: "css",
  html: "html",
  js: "javascript",
  json: "json",
  md: "markdown",
  py: "python",
  sh: "bash",
  sql: "sql",
  ts: "typescript",
  yaml: "yaml",
  yml: "yaml",
};
const PICTURES = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"]);
const PLAIN = /^text\/|json$|javascript$|xml$|yaml$|toml$|x-sh$|x-python$/;

const FRAME = "h-[70vh] w-full rounded-lg border border-line bg-white";

function ending(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1).toLowerCase();
}

export function Preview({ file }: { file: FileLine }) {
  const kind = file.media_type.split(";")[0] ?? "";
  if (PICTURES.has(kind)) {
    return (
      <img
        src={fileAddress(file.id, true)}
        alt={file.name}
        className="mx-auto max-w-full rounded-lg border border-line bg-white"
      />
    );
  }
  if (kind === "text/html") return <Page file={file} />;
  if (kind === "application/pdf") {
    // A browser's own PDF viewer does not start in a sandbox; the server's policy cages it.
    return <iframe src={fileAddress(file.id, true)} title={file.name} className={FRAME} />;
  }
  if (!PLAIN.test(kind) && !LANGUAGES[ending(file.name)]) {
    return <p className="text-muted text-sm">{words.artifacts.noPreview}</p>;
  }
  if (file.size > MOST) {
    return <p className="text-muted text-sm">{words.artifacts.tooLarge(bytes(file.size))}</p>;
  }
  return <Text file={file} kind={kind} />;
}

/**
 * A page that a machine made. Its scripts wait for a person's word: the cage keeps them from every
 * request, but no browser's policy covers WebRTC, by which a page could still tell somebody.
 */
function Page({ file }: { file: FileLine }) {
  const [runs, setRuns] = useState(false);
  return (
    <div className="flex flex-col gap-2">
      <div className="flex flex-wrap items-center gap-2 text-muted text-xs">
        <span className="min-w-40 flex-1">
          {runs ? words.artifacts.pageRuns : words.artifacts.pageRests}
        </span>
        {runs ? null : (
          <Button
            size="small"
            icon={<Play aria-hidden className="size-3.5" />}
            onClick={() => setRuns(true)}
          >
            {words.artifacts.pageRun}
          </Button>
        )}
      </div>
      {runs ? (
        <iframe
          src={fileAddress(file.id, true)}
          sandbox="allow-scripts"
          title={file.name}
          className={FRAME}
        />
      ) : (
        <Text file={file} kind="text/html" />
      )}
    </div>
  );
}

function Text({ file, kind }: { file: FileLine; kind: string }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["files", "text", file.id],
    queryFn: async ({ signal }) => (await ask(fileAddress(file.id), { signal })).text(),
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (error) return <Trouble error={error} onAgain={() => void refetch()} />;
  if (data === undefined) return <Skeleton className="h-40" />;
  const type = ending(file.name);
  if (kind === "text/csv" || type === "csv" || type === "tsv") {
    const [columns = [], ...rows] = parseCsv(data, 2000);
    return <Tabular columns={columns} rows={rows} />;
  }
  if (kind === "text/html") return <Frame html={data} title={file.name} className="h-[70vh]" />;
  if (kind === "text/markdown" || type === "md") return <Prose text={data} />;
  return (
    <pre
      tabIndex={0}
      className="focus-inset overflow-auto rounded-lg border border-line bg-bg p-3 font-mono text-[13px] leading-5"
    >
      <Code code={data} language={LANGUAGES[type] ?? ""} />
    </pre>
  );
}
