/**
 * Files on their way to the server: several at once, each with its progress, each to be taken back.
 * A few go at a time, so that the page's own questions find a connection free.
 */
import { useCallback, useEffect, useRef, useState } from "react";
import { type Upload, upload } from "@/api/queries/files";

export interface Attachment {
  key: number;
  name: string;
  size: number;
  /** From 0 to 1. */
  share: number;
  state: "waiting" | "going" | "done" | "failed";
  id: string | null;
  why: string;
}

/** A browser has six connections to a host; two are left for runs and two for all else. */
const AT_ONCE = 2;

interface Job {
  key: number;
  file: File;
  going: Upload | null;
}

export interface Uploads {
  files: readonly Attachment[];
  busy: boolean;
  add: (files: Iterable<File>) => void;
  remove: (key: number) => void;
  retry: (key: number) => void;
  clear: () => void;
}

export function useUploads(conversation: string | undefined): Uploads {
  const [files, setFiles] = useState<readonly Attachment[]>([]);
  const jobs = useRef(new Map<number, Job>());
  const next = useRef(1);

  const change = useCallback((key: number, what: Partial<Attachment>) => {
    setFiles((all) => all.map((each) => (each.key === key ? { ...each, ...what } : each)));
  }, []);

  const start = useCallback(
    (job: Job, onOver: () => void) => {
      change(job.key, { state: "going", share: 0, why: "" });
      job.going = upload(job.file, conversation, (share) => change(job.key, { share }));
      job.going.done
        .then((line) => change(job.key, { state: "done", share: 1, id: line.id, name: line.name }))
        .catch((error: unknown) => {
          const why = error instanceof Error ? error.message : String(error);
          change(job.key, { state: "failed", why });
        })
        .finally(onOver);
    },
    [change, conversation],
  );

  const pump = useCallback(() => {
    const all = [...jobs.current.values()];
    const going = all.filter((job) => job.going !== null).length;
    const waiting = all.filter((job) => job.going === null).slice(0, AT_ONCE - going);
    for (const job of waiting) {
      start(job, () => {
        jobs.current.delete(job.key);
        pump();
      });
    }
  }, [start]);

  useEffect(() => {
    const all = jobs.current;
    return () => {
      for (const job of all.values()) job.going?.abort();
      all.clear();
    };
  }, []);

  const kept = useRef(new Map<number, File>());

  const add = (given: Iterable<File>) => {
    const fresh = [...given].map((file) => {
      const key = next.current++;
      jobs.current.set(key, { key, file, going: null });
      kept.current.set(key, file);
      const { name, size } = file;
      return { key, name, size, share: 0, state: "waiting" as const, id: null, why: "" };
    });
    setFiles((all) => [...all, ...fresh]);
    pump();
  };

  const remove = (key: number) => {
    jobs.current.get(key)?.going?.abort();
    jobs.current.delete(key);
    kept.current.delete(key);
    setFiles((all) => all.filter((each) => each.key !== key));
  };

  const retry = (key: number) => {
    const file = kept.current.get(key);
    if (!file || jobs.current.has(key)) return;
    jobs.current.set(key, { key, file, going: null });
    pump();
  };

  const clear = () => {
    kept.current.clear();
    setFiles([]);
  };

  const busy = files.some((each) => each.state === "waiting" || each.state === "going");
  return { files, busy, add, remove, retry, clear };
}
