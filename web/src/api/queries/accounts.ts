/** Who asks, how people come in, and one's own logins and keys. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type {
  Keys,
  LogIn,
  MadeKey,
  Me,
  NewKey,
  NewPassword,
  Sessions,
  SignUp,
  Ways,
} from "@/api/__generated__/api";
import { json } from "@/api/http";

export const accountKeys = {
  me: ["me"] as const,
  ways: ["ways"] as const,
  keys: ["me", "keys"] as const,
  sessions: ["me", "sessions"] as const,
};

export function useMe() {
  return useQuery({
    queryKey: accountKeys.me,
    queryFn: ({ signal }) => json<Me>("/api/me", { signal }),
    staleTime: 60_000,
  });
}

/** How people log in here; asked for without a login. */
export function useWays() {
  return useQuery({
    queryKey: accountKeys.ways,
    queryFn: ({ signal }) => json<Ways>("/api/auth/ways", { signal }),
    staleTime: 60_000,
  });
}

export function useLogIn() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (who: LogIn) => json<void>("/api/auth/log-in", { method: "POST", body: who }),
    onSuccess: () => client.clear(),
  });
}

export function useSignUp() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (who: SignUp) => json<void>("/api/auth/sign-up", { method: "POST", body: who }),
    onSuccess: () => client.clear(),
  });
}

export function useLogOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ everywhere = false }: { everywhere?: boolean }) =>
      json<void>(`/api/auth/log-out${everywhere ? "-everywhere" : ""}`, { method: "POST" }),
    onSuccess: () => client.clear(),
  });
}

export function useChangePassword() {
  return useMutation({
    mutationFn: (wanted: NewPassword) =>
      json<void>("/api/me/password", { method: "PUT", body: wanted }),
  });
}

export function useSessions() {
  return useQuery({
    queryKey: accountKeys.sessions,
    queryFn: ({ signal }) => json<Sessions>("/api/me/sessions", { signal }),
  });
}

export function useKeys() {
  return useQuery({
    queryKey: accountKeys.keys,
    queryFn: ({ signal }) => json<Keys>("/api/me/keys", { signal }),
  });
}

export function useMakeKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wanted: NewKey) => json<MadeKey>("/api/me/keys", { method: "POST", body: wanted }),
    onSuccess: () => client.invalidateQueries({ queryKey: accountKeys.keys }),
  });
}

export function useRevokeKey() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      json<void>(`/api/me/keys/${encodeURIComponent(id)}`, { method: "DELETE" }),
    onSuccess: () => client.invalidateQueries({ queryKey: accountKeys.keys }),
  });
}
