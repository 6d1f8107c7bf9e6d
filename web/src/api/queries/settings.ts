/** One's own settings, the server's, and secrets, which go in and never come out. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type {
  MySettings,
  PreferencesInput,
  PreferencesOutput,
  SecretNames,
} from "@/api/__generated__/api";
import { json } from "@/api/http";

export const settingsKeys = {
  mine: ["settings"] as const,
  server: ["settings", "server"] as const,
  secrets: ["settings", "secrets"] as const,
};

export function useSettings() {
  return useQuery({
    queryKey: settingsKeys.mine,
    queryFn: ({ signal }) => json<MySettings>("/api/settings", { signal }),
  });
}

/** Set what is named; null unsets it. */
export function useChangeSettings() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wanted: PreferencesInput) =>
      json<MySettings>("/api/settings", { method: "PATCH", body: wanted }),
    onSuccess: (found) => client.setQueryData(settingsKeys.mine, found),
  });
}

export function useServerSettings(enabled = true) {
  return useQuery({
    queryKey: settingsKeys.server,
    queryFn: ({ signal }) => json<PreferencesOutput>("/api/admin/settings", { signal }),
    enabled,
  });
}

export function useChangeServerSettings() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wanted: PreferencesInput) =>
      json<PreferencesOutput>("/api/admin/settings", { method: "PATCH", body: wanted }),
    onSuccess: () => client.invalidateQueries({ queryKey: settingsKeys.mine }),
  });
}

export function useSecrets() {
  return useQuery({
    queryKey: settingsKeys.secrets,
    queryFn: ({ signal }) => json<SecretNames>("/api/settings/secrets", { signal }),
  });
}

export function usePutSecret() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ name, value }: { name: string; value: string }) =>
      json<void>(`/api/settings/secrets/${encodeURIComponent(name)}`, {
        method: "PUT",
        body: { value },
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: settingsKeys.secrets }),
  });
}

export function useRemoveSecret() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) =>
      json<void>(`/api/settings/secrets/${encodeURIComponent(name)}`, { method: "DELETE" }),
    onSuccess: () => client.invalidateQueries({ queryKey: settingsKeys.secrets }),
  });
}
