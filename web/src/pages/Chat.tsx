/** A conversation, or the beginning of one. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export function Chat({ id }: { id?: string }) {
  return (
    <Page title={words.pages.chat}>
      <EmptyState title={words.pages.unbuilt}>{id}</EmptyState>
    </Page>
  );
}
