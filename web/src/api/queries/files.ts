/** Files that were given and made. An upload is XMLHttpRequest: fetch does not tell its progress. */
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import type { FileLine, FilePage, SignedAddress } from "@/api/__generated__/api";
import { address, freshKey, json, Problem } from "@/api/http";
import { words } from "@/words/en";

export const fileKeys = { list: (conversation: string) => ["files", conversation] as const };

/** What a conversation was given and made, the newest first. */
export function useFiles(conversation: string | undefined) {
  return useInfiniteQuery({
    queryKey: fileKeys.list(conversation ?? ""),
    queryFn: ({ pageParam, signal }) =>
      json<FilePage>("/api/artifacts", {
        query: { conversation_id: conversation, cursor: pageParam, limit: 200 },
        signal,
      }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
    enabled: Boolean(conversation),
  });
}

/** A file's bytes, as a download; `shown` in a frame where it can do nothing. */
export function fileAddress(id: string, shown = false): string {
  return `/api/artifacts/${encodeURIComponent(id)}/content${shown ? "?shown=true" : ""}`;
}

/** All that a conversation made, as a zip. */
export function filesArchiveAddress(conversation: string): string {
  return `/api/conversations/${encodeURIComponent(conversation)}/artifacts/archive`;
}

export function useSignFile() {
  return useMutation({
    mutationFn: ({ id, seconds }: { id: string; seconds: number }) =>
      json<SignedAddress>(`/api/artifacts/${encodeURIComponent(id)}/link`, {
        method: "POST",
        query: { seconds },
      }),
  });
}

export interface Upload {
  done: Promise<FileLine>;
  abort: () => void;
}

/** Give the server a file. `progress` is told the share that is sent, from 0 to 1. */
export function upload(
  file: File,
  conversation: string | undefined,
  progress: (share: number) => void,
): Upload {
  const request = new XMLHttpRequest();
  const done = new Promise<FileLine>((resolve, reject) => {
    request.upload.onprogress = (event) => {
      if (event.lengthComputable && event.total > 0) progress(event.loaded / event.total);
    };
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText) as FileLine);
      else reject(problem(request));
    };
    request.onerror = () => reject(problem(request));
    request.onabort = () => reject(new DOMException("aborted", "AbortError"));
    const query = { name: file.name.slice(0, 255) || "file", conversation_id: conversation };
    request.open("POST", address("/api/upload", query));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("Idempotency-Key", freshKey());
    request.send(file);
  });
  return { done, abort: () => request.abort() };
}

function problem(request: XMLHttpRequest): Problem {
  try {
    return new Problem({ status: request.status, ...JSON.parse(request.responseText) });
  } catch {
    const detail = request.status === 0 ? words.problems.offline : words.problems.unexpected;
    return new Problem({ code: "unreachable", detail, status: request.status, retry: true });
  }
}
