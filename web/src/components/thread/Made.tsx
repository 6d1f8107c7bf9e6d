/** The files that a run made, the newest of each name, to be downloaded. */
import { Download, FileText } from "lucide-react";
import { runArtifactAddress } from "@/api/queries/runs";
import { base, bytes } from "@/lib/format";
import type { Artifact, RunView } from "@/state/view";
import { words } from "@/words/en";

/** So many are shown; the panel of files has them all. */
const MOST = 12;

function newest(artifacts: readonly Artifact[]): Artifact[] {
  return [...new Map(artifacts.map((each) => [each.name, each])).values()];
}

export function Made({ run }: { run: RunView }) {
  const files = newest(run.artifacts);
  if (files.length === 0) return null;
  return (
    <ul aria-label={words.chat.madeFiles} className="my-4 grid gap-2 sm:grid-cols-2">
      {files.slice(0, MOST).map((file) => (
        <li key={file.name}>
          <a
            href={runArtifactAddress(run.id, file.sha256)}
            download={base(file.name)}
            className="group flex items-center gap-3 rounded-xl border border-line bg-panel px-3.5 py-2.5 text-sm shadow-card hover:border-line-strong hover:bg-hover [&>svg]:size-4 [&>svg]:shrink-0 [&>svg]:text-muted"
          >
            <FileText aria-hidden />
            <span className="min-w-0 flex-1">
              <span className="block truncate font-medium">
                <span className="sr-only">{words.ui.download} </span>
                {file.name}
              </span>
              <span className="block text-faint text-xs">{bytes(file.size)}</span>
            </span>
            <Download aria-hidden className="group-hover:text-ink" />
          </a>
        </li>
      ))}
      {files.length > MOST ? (
        <li className="self-center px-2 text-muted text-sm">
          {words.chat.filesMore(files.length - MOST)}
        </li>
      ) : null}
    </ul>
  );
}
