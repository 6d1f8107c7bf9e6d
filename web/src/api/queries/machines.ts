/** Machines: what this host can do, and a conversation's own machine with its files and ports. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type * as Api from "@/api/__generated__/api";
import { address, ask, json } from "@/api/http";

const one = (conversation: string) => `/api/sandbox/${encodeURIComponent(conversation)}`;

/** Making a machine, or resuming one, on a slow host without hardware acceleration. */
const MACHINE_MS = 180_000;

export const machineKeys = {
  ability: ["machines", "ability"] as const,
  one: (id: string) => ["machines", id] as const,
  files: (id: string, path: string) => ["machines", id, "files", path] as const,
  ports: (id: string) => ["machines", id, "ports"] as const,
};

/** What this server can do, as it was last found out. */
export function useAbility() {
  return useQuery({
    queryKey: machineKeys.ability,
    queryFn: ({ signal }) => json<Api.Ability>("/api/sandbox", { signal, patience: MACHINE_MS }),
    staleTime: 60_000,
  });
}

/** Find out now, by booting a real guest. */
export function useProbe() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () =>
      json<Api.Ability>("/api/sandbox/probe", { method: "POST", patience: MACHINE_MS }),
    onSuccess: (found) => client.setQueryData(machineKeys.ability, found),
  });
}

export function useMachine(conversation: string | undefined, everyMs?: number) {
  return useQuery({
    queryKey: machineKeys.one(conversation ?? ""),
    queryFn: ({ signal }) => json<Api.MachineLine>(one(conversation ?? ""), { signal }),
    enabled: Boolean(conversation),
    refetchInterval: everyMs ?? false,
  });
}

export type MachineVerb = "start" | "restart" | "pause" | "stop";

export function useMachineVerb(conversation: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (verb: MachineVerb) =>
      json<Api.MachineLine>(`${one(conversation)}/${verb}`, {
        method: "POST",
        patience: MACHINE_MS,
      }),
    onSettled: () => client.invalidateQueries({ queryKey: machineKeys.one(conversation) }),
  });
}

/** CPU, memory and disk of a machine now; its shape is the server's. */
export function useMachineMetrics<T>(conversation: string, everyMs: number, enabled = true) {
  return useQuery({
    queryKey: [...machineKeys.one(conversation), "metrics"],
    queryFn: ({ signal }) => json<T>(`${one(conversation)}/metrics`, { signal }),
    refetchInterval: everyMs,
    enabled,
  });
}

export function useMachineFiles(conversation: string, path: string, enabled = true) {
  return useQuery({
    queryKey: machineKeys.files(conversation, path),
    queryFn: ({ signal }) =>
      json<Api.Listing>(`${one(conversation)}/files`, {
        query: { path },
        signal,
        patience: MACHINE_MS,
      }),
    enabled,
  });
}

export function machineFileAddress(conversation: string, path: string): string {
  return address(`${one(conversation)}/files/content`, { path });
}

export function machineArchiveAddress(
  conversation: string,
  path: string,
  format: "tar" | "zip",
): string {
  return address(`${one(conversation)}/files/archive`, { path, format });
}

export async function readMachineFile(conversation: string, path: string): Promise<Blob> {
  return (await ask(machineFileAddress(conversation, path), { patience: MACHINE_MS })).blob();
}

export function writeMachineFile(
  conversation: string,
  path: string,
  content: Blob | string,
): Promise<Api.Written> {
  return json<Api.Written>(`${one(conversation)}/files/content`, {
    method: "PUT",
    query: { path },
    raw: content,
    headers: { "Content-Type": "application/octet-stream" },
    patience: MACHINE_MS,
  });
}

export function removeMachineFile(conversation: string, path: string): Promise<Api.Removed> {
  return json<Api.Removed>(`${one(conversation)}/files`, { method: "DELETE", query: { path } });
}

export function moveMachineFile(conversation: string, move: Api.Move): Promise<Api.Moved> {
  return json<Api.Moved>(`${one(conversation)}/files/move`, { method: "POST", body: move });
}

export function makeMachineFolder(conversation: string, path: string): Promise<Api.Made> {
  return json<Api.Made>(`${one(conversation)}/files/folder`, { method: "POST", body: { path } });
}

export function usePorts(conversation: string, enabled = true) {
  return useQuery({
    queryKey: machineKeys.ports(conversation),
    queryFn: ({ signal }) => json<Api.Ports>(`${one(conversation)}/ports`, { signal }),
    enabled,
  });
}

/** A signed address at which a frame shows what a port serves. */
export function linkPort(conversation: string, port: number): Promise<Api.SignedAddress> {
  return json<Api.SignedAddress>(`${one(conversation)}/ports/${port}/link`, { method: "POST" });
}
