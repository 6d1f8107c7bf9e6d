/**
 * A file of a conversation, looked at: pictures as pictures, pages and PDFs in a cage that the
 * server puts around them, tables as tables, and text as text. Nothing of it becomes this page's.
 */
import { useQuery } from "@tanstack/react-query";
import type { FileLine } from "@/api/__generated__/api";
import { ask } from "@/api/http";
import { fileAddress } from "@/api/queries/files";
import { Code } from "@/components/prose/Code";
import { Prose } from "@/components/prose/Prose";
import { Tabular } from "@/components/results/Tabular";
import { Trouble } from "@/components/shell/Trouble";
import { parseCsv } from "@/lib/csv";
import { bytes } from "@/lib/format";
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
  if (kind === "text/html" || kind === "application/pdf") {
    return (
      <iframe
        src={fileAddress(file.id, true)}
        // A browser's own PDF viewer does not start in a sandbox; the server's policy cages both.
        {...(kind === "text/html" ? { sandbox: "allow-scripts" } : {})}
        title={file.name}
        className="h-[70vh] w-full rounded-lg border border-line bg-white"
      />
    );
  }
  if (!PLAIN.test(kind) && !LANGUAGES[ending(file.name)]) {
    return <p className="text-muted text-sm">{words.artifacts.noPreview}</p>;
  }
  if (file.size > MOST) {
    return <p className="text-muted text-sm">{words.artifacts.tooLarge(bytes(file.size))}</p>;
  }
  return <Text file={file} kind={kind} />;
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
