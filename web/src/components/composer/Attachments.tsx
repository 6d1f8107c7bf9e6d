/** Files that go with the next message, and how far they are. */
import { CircleAlert, FileText, RotateCw, X } from "lucide-react";
import type { Attachment } from "@/components/composer/useUploads";
import { cn } from "@/lib/cn";
import { bytes } from "@/lib/format";
import { IconButton } from "@/ui/IconButton";
import { words } from "@/words/en";

export interface AttachmentsProps {
  files: readonly Attachment[];
  onRemove: (key: number) => void;
  onRetry: (key: number) => void;
}

export function Attachments({ files, onRemove, onRetry }: AttachmentsProps) {
  if (files.length === 0) return null;
  return (
    <ul aria-label={words.chat.attachments} className="flex flex-wrap gap-2 px-3 pt-3">
      {files.map((each) => (
        <li
          key={each.key}
          className={cn(
            "relative flex w-56 min-w-0 items-center gap-2 overflow-hidden rounded-lg border border-line bg-bg py-1.5 pr-1 pl-2.5 text-sm [&>svg]:size-4 [&>svg]:shrink-0",
            each.state === "failed" && "border-bad-line bg-bad-soft",
          )}
        >
          {each.state === "failed" ? (
            <CircleAlert aria-hidden className="text-bad" />
          ) : (
            <FileText aria-hidden className="text-muted" />
          )}
          <span className="min-w-0 flex-1">
            <span className="block truncate leading-5">{each.name}</span>
            <span className="block truncate text-faint text-xs">{note(each)}</span>
          </span>
          {each.state === "failed" ? (
            <IconButton
              small
              label={words.problems.again}
              icon={<RotateCw />}
              onClick={() => onRetry(each.key)}
            />
          ) : null}
          <IconButton
            small
            label={words.chat.remove(each.name)}
            icon={<X />}
            onClick={() => onRemove(each.key)}
          />
          {each.state === "going" ? <Bar file={each} /> : null}
        </li>
      ))}
    </ul>
  );
}

function note(file: Attachment): string {
  if (file.state === "failed") return file.why;
  if (file.state === "done") return bytes(file.size);
  return `${Math.round(file.share * 100)} % · ${bytes(file.size)}`;
}

function Bar({ file }: { file: Attachment }) {
  const percent = Math.round(file.share * 100);
  return (
    <div
      role="progressbar"
      aria-label={words.chat.uploading(file.name, percent)}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent}
      className="absolute inset-x-0 bottom-0 h-0.5 bg-sunken"
    >
      <div
        className="h-full bg-accent transition-[width]"
        style={{ width: `${file.share * 100}%` }}
      />
    </div>
  );
}
