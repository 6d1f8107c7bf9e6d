/** The page `Shared`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Shared() {
  return (
    <Page title={words.pages.shared}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
