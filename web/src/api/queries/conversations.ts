/** Conversations: listed and searched by page, read, changed, forked, shared, taken away. */
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type {
  Changes,
  ConversationLine,
  ConversationPage,
  ForkAt,
  MadeShare,
  SharePage,
  Shown,
  Talk,
} from "@/api/__generated__/api";
import { json } from "@/api/http";

const one = (id: string) => `/api/conversations/${encodeURIComponent(id)}`;

export const conversationKeys = {
  all: ["conversations"] as const,
  list: (query: string) => ["conversations", "list", query] as const,
  one: (id: string) => ["conversations", "one", id] as const,
  shares: (id: string) => ["conversations", "shares", id] as const,
};

/** The list, the last used first; with words, those in which they were said. */
export function useConversations(query = "") {
  return useInfiniteQuery({
    queryKey: conversationKeys.list(query),
    queryFn: ({ pageParam, signal }) =>
      json<ConversationPage>("/api/conversations", {
        query: { cursor: pageParam, limit: 40, query: query || null },
        signal,
      }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
}

export function useConversation(id: string | undefined, everyMs?: number) {
  return useQuery({
    queryKey: conversationKeys.one(id ?? ""),
    queryFn: ({ signal }) => json<Talk>(one(id ?? ""), { signal }),
    enabled: Boolean(id),
    refetchInterval: everyMs ?? false,
  });
}

export function useChangeConversation() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, changes }: { id: string; changes: Changes }) =>
      json<ConversationLine>(one(id), { method: "PATCH", body: changes }),
    onSuccess: () => client.invalidateQueries({ queryKey: conversationKeys.all }),
  });
}

export function useDeleteConversation() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => json<void>(one(id), { method: "DELETE" }),
    // The lists alone: it may still be in view, and is not there to be asked for again.
    onSuccess: () => client.invalidateQueries({ queryKey: ["conversations", "list"] }),
  });
}

export function useForkConversation() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ id, at }: { id: string; at: ForkAt }) =>
      json<ConversationLine>(`${one(id)}/fork`, { method: "POST", body: at, patience: 120_000 }),
    onSuccess: () => client.invalidateQueries({ queryKey: conversationKeys.all }),
  });
}

export function useShares(id: string) {
  return useQuery({
    queryKey: conversationKeys.shares(id),
    queryFn: ({ signal }) => json<SharePage>(`${one(id)}/shares`, { signal }),
  });
}

export function useShare(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => json<MadeShare>(`${one(id)}/shares`, { method: "POST" }),
    onSuccess: () => client.invalidateQueries({ queryKey: conversationKeys.shares(id) }),
  });
}

export function useRevokeShare(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (share: string) => json<void>(`${one(id)}/shares/${share}`, { method: "DELETE" }),
    onSuccess: () => client.invalidateQueries({ queryKey: conversationKeys.shares(id) }),
  });
}

export type ExportFormat = "json" | "markdown" | "ipynb";

/** Where a conversation can be downloaded. */
export function exportAddress(id: string, format: ExportFormat): string {
  return `${one(id)}/export?format=${format}`;
}

/** What a shared link shows; nobody needs to be logged in. */
export function useShared(token: string) {
  return useQuery({
    queryKey: ["shared", token],
    queryFn: ({ signal }) => json<Shown>(`/api/shared/${encodeURIComponent(token)}`, { signal }),
    enabled: token !== "",
  });
}
