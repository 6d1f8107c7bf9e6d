/** What is known of a conversation before the server has told it: pure changes of what it told last. */
import type { MessageLine, Talk } from "@/api/__generated__/api";
import type { Accepted } from "@/api/stream";

/** What was asked, and what it follows: undefined is the end of the branch in view. */
export interface Asked {
  text: string;
  parentId: string | null | undefined;
}

/** The messages up to one, which is the last; none for null. */
export function upTo(messages: readonly MessageLine[], id: string | null): MessageLine[] {
  if (id === null) return [];
  const at = messages.findIndex((each) => each.id === id);
  return at < 0 ? [...messages] : messages.slice(0, at + 1);
}

/** Those said in a message's place, with one more. */
function besides(messages: readonly MessageLine[], path: readonly MessageLine[], id: string) {
  const place = messages[path.length];
  return place ? [...place.siblings.filter((each) => each !== id), id] : [id];
}

/** A conversation in which something was just asked, whose answer is on its way. */
export function withAsked(
  talk: Talk | undefined,
  asked: Asked,
  where: Accepted,
  now: string,
): Talk {
  const said = talk?.messages ?? [];
  const parent = asked.parentId === undefined ? (said.at(-1)?.id ?? null) : asked.parentId;
  const path = upTo(said, parent);
  const line = { created_at: now, text: "", run_id: null };
  const question: MessageLine = {
    ...line,
    id: where.message_id,
    parent_id: parent,
    role: "user",
    text: asked.text,
    siblings: besides(said, path, where.message_id),
  };
  const answer: MessageLine = {
    ...line,
    id: where.answer_id,
    parent_id: where.message_id,
    role: "assistant",
    run_id: where.run_id,
    siblings: [where.answer_id],
  };
  const base: Talk = talk ?? {
    id: where.conversation_id,
    title: asked.text.slice(0, 80),
    created_at: now,
    updated_at: now,
    forked_from: null,
    head_id: null,
    messages: [],
  };
  return { ...base, head_id: where.answer_id, messages: [...path, question, answer] };
}

/** A conversation in which a message is answered once more. */
export function withAgain(talk: Talk, messageId: string, where: Accepted, now: string): Talk {
  const path = upTo(talk.messages, messageId);
  const answer: MessageLine = {
    id: where.answer_id,
    parent_id: messageId,
    role: "assistant",
    created_at: now,
    text: "",
    run_id: where.run_id,
    siblings: besides(talk.messages, path, where.answer_id),
  };
  return { ...talk, head_id: where.answer_id, messages: [...path, answer] };
}
