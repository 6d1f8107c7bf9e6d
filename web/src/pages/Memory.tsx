/** The page `Memory`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Memory() {
  return (
    <Page title={words.pages.memory}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
