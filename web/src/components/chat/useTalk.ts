/** A conversation as it is looked at: what was said, and the ways to say more. */
import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useState } from "react";
import { useLocation } from "wouter";
import type { Talk } from "@/api/__generated__/api";
import {
  conversationKeys,
  useChangeConversation,
  useConversation,
} from "@/api/queries/conversations";
import { begin } from "@/api/stream";
import { say } from "@/components/chat/say";
import { withAgain, withAsked } from "@/components/chat/talk";

export interface Asking {
  text: string;
  /** Ids of uploads, and their names to show meanwhile. */
  files: readonly { id: string; name: string }[];
  /** The answer that it follows; left out, the end of the branch in view. */
  parentId?: string | null;
  model?: string | undefined;
  route?: string | undefined;
}

export interface TalkWays {
  talk: Talk | undefined;
  problem: unknown;
  /** What is on its way to the server. */
  pending: Asking | null;
  ask: (asking: Asking) => Promise<boolean>;
  again: (messageId: string, model?: string) => Promise<void>;
  show: (messageId: string) => void;
  refresh: () => void;
}

/** Another tab may say something too: how often that is looked for, in ms. */
const LOOK_MS = 15_000;

function bodyOf(id: string | undefined, asking: Asking) {
  return {
    message: asking.text,
    ...(id ? { conversation_id: id } : {}),
    ...(asking.parentId === undefined ? {} : { parent_id: asking.parentId }),
    ...(asking.model ? { model: asking.model } : {}),
    ...(asking.route ? { route: asking.route } : {}),
    files: asking.files.map((each) => each.id),
  };
}

export function useTalk(id: string | undefined): TalkWays {
  const client = useQueryClient();
  const [, go] = useLocation();
  const [pending, setPending] = useState<Asking | null>(null);
  const { data: talk, error } = useConversation(id, LOOK_MS);
  const change = useChangeConversation();

  const refresh = useCallback(() => {
    void client.invalidateQueries({ queryKey: conversationKeys.all });
    if (id) void client.invalidateQueries({ queryKey: ["files", id] });
  }, [client, id]);

  const ask = async (asking: Asking): Promise<boolean> => {
    setPending(asking);
    try {
      const where = await begin("/api/chat", bodyOf(id, asking));
      const { text, parentId } = asking;
      client.setQueryData<Talk>(conversationKeys.one(where.conversation_id), (old) =>
        withAsked(old, { text, parentId }, where, new Date().toISOString()),
      );
      refresh();
      if (!id) go(`/c/${where.conversation_id}`, { replace: true });
      return true;
    } catch (problem) {
      say(problem);
      return false;
    } finally {
      setPending(null);
    }
  };

  const again = async (messageId: string, model?: string): Promise<void> => {
    if (!id) return;
    try {
      const path = `/api/conversations/${id}/messages/${messageId}/regenerate`;
      const where = await begin(path, model ? { model } : {});
      client.setQueryData<Talk>(conversationKeys.one(id), (old) =>
        old ? withAgain(old, messageId, where, new Date().toISOString()) : old,
      );
      refresh();
    } catch (problem) {
      say(problem);
    }
  };

  const show = (messageId: string) => {
    if (id) change.mutate({ id, changes: { head_id: messageId } }, { onError: say });
  };

  return { talk, problem: error, pending, ask, again, show, refresh };
}
