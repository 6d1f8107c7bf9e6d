/** The files of a conversation, given and made: a list, each in its versions, looked at and taken. */
import { ArrowLeft, Download, FileText, FolderOpen, Upload } from "lucide-react";
import { useState } from "react";
import type { FileLine } from "@/api/__generated__/api";
import { fileAddress, filesArchiveAddress, useFiles } from "@/api/queries/files";
import { Preview } from "@/components/artifacts/Preview";
import { Trouble } from "@/components/shell/Trouble";
import { ago, bytes } from "@/lib/format";
import { EmptyState } from "@/ui/EmptyState";
import { Select } from "@/ui/Field";
import { IconButton } from "@/ui/IconButton";
import { Skeleton } from "@/ui/Skeleton";
import { words } from "@/words/en";

/** Every version of each name, the newest first. */
function versionsOf(files: readonly FileLine[]): FileLine[][] {
  const found = new Map<string, FileLine[]>();
  for (const file of files) {
    const known = found.get(file.name);
    if (known) known.push(file);
    else found.set(file.name, [file]);
  }
  return [...found.values()].map((each) => each.sort((one, other) => other.version - one.version));
}

export function ArtifactsPanel({ conversation }: { conversation: string }) {
  const { data, error, refetch, isPending } = useFiles(conversation);
  const [name, setName] = useState<string | null>(null);
  const all = versionsOf(data?.pages.flatMap((page) => page.items) ?? []);
  const chosen = all.find((each) => each[0]?.name === name);
  if (error) {
    return (
      <div className="p-4">
        <Trouble error={error} onAgain={() => void refetch()} />
      </div>
    );
  }
  if (isPending) {
    return (
      <div className="flex flex-col gap-3 p-4">
        <Skeleton className="h-10" />
        <Skeleton className="h-10" />
      </div>
    );
  }
  if (chosen) return <One versions={chosen} onBack={() => setName(null)} />;
  if (all.length === 0) {
    return (
      <EmptyState icon={<FolderOpen />} title={words.artifacts.empty}>
        {words.artifacts.emptyHint}
      </EmptyState>
    );
  }
  return (
    <div className="p-2">
      <ul aria-label={words.artifacts.title}>
        {all.map((versions) => (
          <Line key={versions[0]?.name} versions={versions} onOpen={setName} />
        ))}
      </ul>
      <a
        href={filesArchiveAddress(conversation)}
        className="mx-2 mt-3 inline-flex items-center gap-2 rounded text-accent-text text-sm underline underline-offset-2"
      >
        {words.artifacts.downloadAll}
      </a>
    </div>
  );
}

interface LineProps {
  versions: readonly FileLine[];
  onOpen: (name: string) => void;
}

function Line({ versions, onOpen }: LineProps) {
  const [file] = versions;
  if (!file) return null;
  const given = file.kind === "upload";
  return (
    <li className="flex items-center rounded-lg hover:bg-hover">
      <button
        type="button"
        onClick={() => onOpen(file.name)}
        className="focus-inset flex min-w-0 flex-1 items-center gap-3 rounded-lg px-2.5 py-2 text-left [&>svg]:size-4 [&>svg]:shrink-0 [&>svg]:text-muted"
      >
        {given ? <Upload aria-hidden /> : <FileText aria-hidden />}
        <span className="min-w-0 flex-1">
          <span className="block truncate text-sm">{file.name}</span>
          <span className="block truncate text-faint text-xs">
            {[
              bytes(file.size),
              given ? words.artifacts.given : words.artifacts.made,
              ago(file.created_at),
              versions.length > 1 ? words.artifacts.version(file.version) : null,
            ]
              .filter(Boolean)
              .join(" · ")}
          </span>
        </span>
      </button>
      <Taken file={file} />
    </li>
  );
}

function Taken({ file }: { file: FileLine }) {
  return (
    <a
      href={fileAddress(file.id)}
      download
      aria-label={`${words.ui.download} ${file.name}`}
      className="focus-inset mr-1 inline-flex size-8 shrink-0 items-center justify-center rounded-lg text-muted hover:bg-hover hover:text-ink [&>svg]:size-4"
    >
      <Download aria-hidden />
    </a>
  );
}

function One({ versions, onBack }: { versions: readonly FileLine[]; onBack: () => void }) {
  const [id, setId] = useState<string | null>(null);
  const file = versions.find((each) => each.id === id) ?? versions[0];
  if (!file) return null;
  return (
    <div className="flex flex-col gap-3 p-3">
      <div className="flex items-center gap-1.5">
        <IconButton small label={words.artifacts.back} icon={<ArrowLeft />} onClick={onBack} />
        <h2 className="min-w-0 flex-1 truncate font-medium text-sm">{file.name}</h2>
        {versions.length > 1 ? (
          <Select
            aria-label={words.artifacts.versions}
            className="w-32"
            value={file.id}
            onChange={(event) => setId(event.target.value)}
            options={versions.map((each) => ({
              value: each.id,
              label: words.artifacts.version(each.version),
            }))}
          />
        ) : null}
        <Taken file={file} />
      </div>
      <Preview key={file.id} file={file} />
    </div>
  );
}
