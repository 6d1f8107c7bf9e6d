/** The page `Money`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Money() {
  return (
    <Page title={words.pages.money}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
