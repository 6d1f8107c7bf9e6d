/** The page `Diff`. */
import { EmptyState } from "@/ui/EmptyState";
import { Page } from "@/ui/Page";
import { words } from "@/words/en";

export default function Diff() {
  return (
    <Page title={words.pages.diff}>
      <EmptyState title={words.pages.unbuilt} />
    </Page>
  );
}
