/** A conversation, or the beginning of one. */
import { ChatView } from "@/components/chat/ChatView";

export function Chat({ id }: { id?: string }) {
  return <ChatView id={id} />;
}
