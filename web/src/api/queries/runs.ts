/** Runs: listed, looked at, told something while they go on, begun again, compared, taken away. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { Caps, Cost, DiffLine, RunLine, RunPage, Verification } from "@/api/__generated__/api";
import { json } from "@/api/http";
import { begin } from "@/api/stream";

const one = (id: string) => `/api/runs/${encodeURIComponent(id)}`;

export interface RunFilter {
  status?: string | null;
  model?: string | null;
  [name: string]: string | number | boolean | null | undefined;
}

export const runKeys = {
  all: ["runs"] as const,
  list: (filter: RunFilter) => ["runs", "list", filter] as const,
  one: (id: string) => ["runs", "one", id] as const,
};

export function useRuns(filter: RunFilter = {}) {
  return useInfiniteQuery({
    queryKey: runKeys.list(filter),
    queryFn: ({ pageParam, signal }) =>
      json<RunPage>("/api/runs", { query: { ...filter, cursor: pageParam, limit: 50 }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
}

export function useRunCost(id: string) {
  return useQuery({
    queryKey: [...runKeys.one(id), "cost"],
    queryFn: ({ signal }) => json<Cost>(`${one(id)}/cost`, { signal }),
  });
}

export function useRunDiff(id: string, other: string) {
  return useQuery({
    queryKey: [...runKeys.one(id), "diff", other],
    queryFn: ({ signal }) =>
      json<DiffLine>(`${one(id)}/diff/${encodeURIComponent(other)}`, { signal }),
  });
}

export function useVerification(id: string) {
  return useQuery({
    queryKey: [...runKeys.one(id), "verify"],
    queryFn: ({ signal }) => json<Verification>(`${one(id)}/verify`, { signal }),
  });
}

/** Where a run's evidence can be downloaded. */
export function runExportAddress(id: string): string {
  return `${one(id)}/export`;
}

/** The bytes of what a run made, by their digest. */
export function runArtifactAddress(id: string, sha256: string): string {
  return `${one(id)}/artifacts/${sha256}`;
}

export function stopRun(id: string): Promise<RunLine> {
  return json<RunLine>(`${one(id)}/stop`, { method: "POST" });
}

export function steerRun(id: string, text: string): Promise<RunLine> {
  return json<RunLine>(`${one(id)}/steer`, { method: "POST", body: { text } });
}

export function decideCall(
  id: string,
  decision: { approved: boolean; callId: string; why?: string },
): Promise<RunLine> {
  return json<RunLine>(`${one(id)}/${decision.approved ? "approve" : "deny"}`, {
    method: "POST",
    body: { call_id: decision.callId, why: decision.why ?? "" },
  });
}

export function resumeRun(id: string, caps: Caps): Promise<RunLine> {
  return json<RunLine>(`${one(id)}/resume`, { method: "POST", body: { caps } });
}

/** Another answer to what a run was asked. */
export function useRerun() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, model }: { id: string; model?: string }) =>
      begin(`${one(id)}/rerun`, { model: model ?? "" }),
    onSuccess: () => client.invalidateQueries({ queryKey: runKeys.all }),
  });
}
