/** What admins see and do. */
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import type { EventPage, MadeInvite, NewInvite, UserPage } from "@/api/__generated__/api";
import { json } from "@/api/http";

export const adminKeys = {
  users: ["admin", "users"] as const,
  events: ["admin", "events"] as const,
};

export function useUsers() {
  return useInfiniteQuery({
    queryKey: adminKeys.users,
    queryFn: ({ pageParam, signal }) =>
      json<UserPage>("/api/admin/users", { query: { cursor: pageParam, limit: 100 }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
}

export function useAllowUser() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, allowed }: { id: string; allowed: boolean }) =>
      json<void>(`/api/admin/users/${encodeURIComponent(id)}/${allowed ? "enable" : "disable"}`, {
        method: "POST",
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["admin"] }),
  });
}

export function useInvite() {
  return useMutation({
    mutationFn: (wanted: NewInvite) =>
      json<MadeInvite>("/api/admin/invites", { method: "POST", body: wanted }),
  });
}

export function useAccountEvents() {
  return useInfiniteQuery({
    queryKey: adminKeys.events,
    queryFn: ({ pageParam, signal }) =>
      json<EventPage>("/api/admin/events", { query: { cursor: pageParam, limit: 100 }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
}
